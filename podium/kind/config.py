"""What a cluster in kind is made like: https://kind.sigs.k8s.io/docs/user/configuration/.

It differs from kind's own defaults where the course needs more: the audit log, verbosity, the nodes' names, a cluster
that need not outlive the machine.
"""

import json
from pathlib import Path
from typing import Any

from podium.embedded import controlplane, spans

# What kind 0.33.0 pins itself: pkg/apis/config/defaults/image.go of its source.
IMAGE = "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
EXCHANGE = "/exchange"  # where a node sees the folder of this machine that is meant for it
SPANS = "/spans"  # where a node sees the folder of the collector's socket
POLICY, TRACING, AUDIT_LOG = "audit-policy.json", "tracing.json", "/var/log/kubernetes/audit.log"
PODS = "10.244.0.0/16"
UNITS = [f"/etc/systemd/system/{name}.service.d/podium.conf" for name in ("containerd", "kubelet")]
_COLLECTOR = f"{SPANS}/{spans.SOCKET}"
COLLECTOR = f"unix://{_COLLECTOR}"  # as a node sees it
_VERBOSITY = [{"op": "add", "path": "/nodeRegistration/kubeletExtraArgs/-", "value": {"name": "v", "value": "2"}}]


def cluster(name: str, mounts: dict[str, dict[str, Path]], old_cgroups: bool, own_network: bool, tracing: bool) -> str:
    """The configuration of a cluster, as YAML (which JSON is).

    Args:
        name: kind's name for it.
        mounts: For each node by name, what it sees of this machine, by where it sees it; the first node runs the
            control plane, and Pods like the others.
        old_cgroups: The machine has control groups of version 1, which kubelet would refuse.
        own_network: The image brings a network of its own in place of kindnet.
        tracing: Whether API server and kubelets tell OpenTelemetry's spans; containerd's own settings come by a mount.
    """
    first, *others = mounts
    taints = {"taints": []} if others else {}  # kind itself takes the taint off the only node, and fails without one
    made = [("control-plane", "InitConfiguration", {"name": first} | taints)]
    made += [("worker", "JoinConfiguration", {"name": node}) for node in others]
    nodes = [
        {
            "role": role,
            "extraMounts": [
                {"hostPath": str(path), "containerPath": place, "readOnly": True}
                for place, path in mounts[said["name"]].items()
            ],
            "kubeadmConfigPatches": [_patch(kind, nodeRegistration=said)],
        }
        for role, kind, said in made
    ]
    return json.dumps(
        {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "name": name,
            "networking": {
                "apiServerAddress": "127.0.0.1",
                "podSubnet": PODS,
                "disableDefaultCNI": own_network,
            },
            "kubeadmConfigPatches": [
                _patch("ClusterConfiguration", **_control_plane(tracing)),
                _patch("KubeletConfiguration", **_kubelet(old_cgroups, tracing)),
                _patch("KubeProxyConfiguration", logging={"verbosity": 2}),
            ],
            "kubeadmConfigPatchesJSON6902": [
                {"group": "kubeadm.k8s.io", "version": "v1beta4", "kind": kind, "patch": json.dumps(_VERBOSITY)}
                for kind in ("InitConfiguration", "JoinConfiguration")
            ],
            "nodes": nodes,
        },
        indent=1,
    )


def node_tracing(node: str) -> str:
    """A drop-in for the units of a node's kubelet and containerd (systemd.unit(5)) that tells them of the collector."""
    # OpenTelemetry's Go SDK leaves the scheme out, and what remains is a gRPC address.
    variables = spans.node_variables(node, f"unix:{_COLLECTOR}")
    return "[Service]\n" + "".join(f"Environment={name}={value}\n" for name, value in variables.items())


def plain(count: int, old_cgroups: bool) -> str:
    """The configuration of so many nodes as kind itself makes them, with only what this machine asks for, as YAML."""
    nodes = [{"role": "control-plane"}, *[{"role": "worker"}] * (count - 1)]
    patch = _patch("KubeletConfiguration", **_cgroups(old_cgroups))
    made = {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": nodes, "kubeadmConfigPatches": [patch]}
    return json.dumps(made)


def _control_plane(tracing: bool) -> dict[str, Any]:
    """https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/."""
    api = {
        "audit-policy-file": f"{EXCHANGE}/{POLICY}",
        "audit-log-path": AUDIT_LOG,
        "audit-log-maxsize": 100,
        "audit-log-maxbackup": 1,
    }
    folders = {"exchange": EXCHANGE, "audit": str(Path(AUDIT_LOG).parent)}
    delay = spans.DELAY if tracing else {}
    if tracing:
        api |= {"tracing-config-file": f"{EXCHANGE}/{TRACING}"}
        folders |= {"spans": SPANS}
    volumes = [
        {
            "name": name,
            "hostPath": folder,
            "mountPath": folder,
            "readOnly": name != "audit",
            "pathType": "DirectoryOrCreate",
        }
        for name, folder in folders.items()
    ]
    alone = {"leader-elect": "false"}  # there is no other to elect
    return {
        "apiServer": {"extraArgs": _arguments(api), "extraVolumes": volumes, "extraEnvs": _arguments(delay)},
        "controllerManager": {"extraArgs": _arguments(alone | controlplane.QUICK)},
        "scheduler": {"extraArgs": _arguments(alone | {"v": 2})},
        "etcd": {"local": {"extraArgs": _arguments({"unsafe-no-fsync": "true"})}},  # it does not outlive the machine
    }


def _kubelet(old_cgroups: bool, tracing: bool) -> dict[str, Any]:
    """https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/."""
    told = {"tracing": spans.SAMPLING | {"endpoint": COLLECTOR}} if tracing else {}
    return {"serializeImagePulls": False, "containerLogMaxSize": "100Mi"} | told | _cgroups(old_cgroups)


def _cgroups(old: bool) -> dict[str, Any]:
    return {"failCgroupV1": False} if old else {}


def _arguments(flags: dict[str, Any]) -> list[dict[str, str]]:
    return [{"name": name, "value": str(value)} for name, value in flags.items()]


def _patch(kind: str, **fields: Any) -> str:
    return json.dumps({"kind": kind} | fields)
