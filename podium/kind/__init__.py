"""The kind backend: nodes are containers of Docker, Podman or nerdctl, by kind (https://kind.sigs.k8s.io)."""
