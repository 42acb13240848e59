"""A node: the Linux kernel as a process, with a root disk that it shares with every other node until it writes."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

from podium.embedded import network, spans
from podium.embedded.controlplane import argv, kubeconfig
from podium.embedded.files import Bundle
from podium.embedded.pki import Authority, Pair, write_secret

COMPONENTS = ("containerd", "kubelet", "kube-proxy")

# https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/
_KUBELET: dict[str, Any] = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "authentication": {
        "anonymous": {"enabled": False},
        "webhook": {"enabled": True},
        "x509": {"clientCAFile": "/etc/kubernetes/pki/ca.crt"},
    },
    "authorization": {"mode": "Webhook"},
    "tlsCertFile": "/etc/kubernetes/pki/kubelet.crt",
    "tlsPrivateKeyFile": "/etc/kubernetes/pki/kubelet.key",
    "rotateCertificates": False,
    "cgroupDriver": "cgroupfs",
    "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
    "clusterDomain": "cluster.local",
    "clusterDNS": [network.DNS_SERVICE],
    "staticPodPath": "/etc/kubernetes/manifests",
    "failSwapOn": False,
    "serializeImagePulls": False,
    "imageGCHighThresholdPercent": 100,
    "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
    "healthzBindAddress": "127.0.0.1",
}


def name_of(number: int) -> str:
    """The name of the node with this number, as Kubernetes knows it."""
    return f"node-{number}"


def process(bundle: Bundle, number: int, memory_mb: int) -> dict[str, Any]:
    """What the supervisor runs for a node.

    The kernel's own arguments are explained in https://docs.kernel.org/virt/uml/user_mode_linux_howto_v2.html.

    Args:
        bundle: Where the kernel and the disk are.
        number: From 1.
        memory_mb: The node's memory, in MiB.
    """
    name = name_of(number)
    kernel = [
        str(bundle.kernel),
        f"mem={memory_mb}M",
        "seccomp=on",
        f"uml_dir={name}/",
        "umid=uml",
        "root=/dev/ubda",
        "rw",
        "rootflags=nobarrier,errors=panic",  # the disk needs to outlive the kernel, not the machine
        "init=/sbin/podium-node",
        f"ubd0={name}/disk.cow,{bundle.disk}",
        f"ubd1r={name}/settings.tar",
        f"vec0:transport=bess,dst=switch.sock,depth=128,gro=1,mac=5a:94:ef:00:00:{number:02x}",
        "con=null",
        "con0=null,fd:1",
        "quiet",
        "loglevel=4",
    ]
    return {"name": name, "argv": kernel, "log": f"{name}/console.log", "needs": "network", "bound": True}


def write_settings(folder: Path, number: int, api_port: int, tracing: bool = False) -> None:
    """Write what makes a node this node: its names, keys and programs, in an archive that only the node reads.

    Args:
        folder: The cluster's folder.
        number: The node's, from 1.
        api_port: The API server's.
        tracing: Whether kubelet and containerd tell OpenTelemetry's spans.
    """
    name, address = name_of(number), network.node_address(number)
    authority, agents = (_authority(folder / "pki", name) for name in ("ca", "agent-ca"))
    ca = authority.pair.certificate
    server = f"https://{network.GATEWAY}:{api_port}"
    kubelet = argv(
        "/usr/local/bin/kubelet",
        {
            "config": "/etc/kubernetes/kubelet.json",
            "kubeconfig": "/etc/kubernetes/kubelet.conf",
            "hostname-override": name,
            "node-ip": address,
            "root-dir": "/var/lib/kubelet",
            "v": 2,
        },
    )
    proxy = argv(
        "/usr/local/bin/kube-proxy",
        {
            "kubeconfig": "/etc/kubernetes/kube-proxy.conf",
            "hostname-override": name,
            "proxy-mode": "iptables",
            "cluster-cidr": network.PODS,
            "conntrack-max-per-core": 0,
            "conntrack-tcp-timeout-established": "0s",
            "conntrack-tcp-timeout-close-wait": "0s",
            "metrics-bind-address": "127.0.0.1:10249",
            "healthz-bind-address": "127.0.0.1:10256",
            "v": 2,
        },
    )
    collector = f"{network.GATEWAY}:{network.SPANS_PORT}"
    variables = spans.node_variables(name, collector)
    told = [f"{name}={value}" for name, value in variables.items()] if tracing else []
    node = {
        "hostname": name,
        "address": f"{address}/{network.SUBNET.partition('/')[2]}",
        "gateway": network.GATEWAY,
        "listen": f"{address}:{network.AGENT_PORT}",
        "components": [
            {
                "name": "containerd",
                "argv": ["/usr/local/bin/containerd"],
                "env": told,
                "socket": "/run/containerd/containerd.sock",  # kubelet ends where nothing answers there
            },
            {"name": "kubelet", "argv": kubelet, "env": told},
            {"name": "kube-proxy", "argv": proxy},
        ],
    }
    serving = authority.issue(f"system:node:{name}", ["system:nodes"], [name, address])
    agent = agents.issue(name, hosts=[name, address])
    kubelet_user = authority.issue(f"system:node:{name}", ["system:nodes"])
    proxy_user = authority.issue("system:kube-proxy")
    settings = _KUBELET | ({"tracing": spans.SAMPLING | {"endpoint": collector}} if tracing else {})
    files = {
        "etc/podium/node.json": json.dumps(node, indent=1).encode(),
        "etc/podium/agent-ca.crt": agents.pair.certificate,
        "etc/podium/agent.crt": agent.certificate,
        "etc/podium/agent.key": agent.key,
        "etc/kubernetes/pki/ca.crt": ca,
        "etc/kubernetes/pki/kubelet.crt": serving.certificate,
        "etc/kubernetes/pki/kubelet.key": serving.key,
        "etc/kubernetes/manifests/.keep": b"",  # kubelet complains every second without the folder
        "etc/kubernetes/kubelet.json": json.dumps(settings, indent=1).encode(),
        "etc/kubernetes/kubelet.conf": kubeconfig(server, ca, kubelet_user, folder.name).encode(),
        "etc/kubernetes/kube-proxy.conf": kubeconfig(server, ca, proxy_user, folder.name).encode(),
    }
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o600
            tar.addfile(entry, io.BytesIO(content))
    place = folder / name
    place.mkdir(mode=0o700, exist_ok=True)
    write_secret(place / "settings.tar", archive.getvalue())


def _authority(pki: Path, name: str) -> Authority:
    return Authority.load(Pair((pki / f"{name}.crt").read_bytes(), (pki / f"{name}.key").read_bytes()))
