"""The embedded backend: a control plane of ordinary processes, and nodes that are Linux kernels run as processes."""
