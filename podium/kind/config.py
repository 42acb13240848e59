"""What a cluster in kind is made like: https://kind.sigs.k8s.io/docs/user/configuration/.

It differs from kind's own defaults where the course needs more: the audit log, verbosity, the nodes' names, a cluster
that need not outlive the machine.
"""

import json
from pathlib import Path
from typing import Any

# What kind 0.33.0 pins itself: pkg/apis/config/defaults/image.go of its source.
IMAGE = "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
POLICY, AUDIT_LOG = "/etc/kubernetes/audit/policy.json", "/var/log/kubernetes/audit.log"
PODS = "10.244.0.0/16"
_VERBOSITY = [{"op": "add", "path": "/nodeRegistration/kubeletExtraArgs/-", "value": {"name": "v", "value": "2"}}]


def cluster(name: str, nodes: list[str], policy: Path, old_cgroups: bool, own_network: bool) -> str:
    """The configuration of a cluster, as YAML (which JSON is).

    Args:
        name: kind's name for it.
        nodes: The names of its nodes; the first one runs the control plane, and Pods like the others.
        policy: The audit policy.
        old_cgroups: The machine has control groups of version 1, which kubelet would refuse.
        own_network: The image brings a network of its own in place of kindnet.
    """
    taints = {"taints": []} if nodes[1:] else {}  # kind itself takes the taint off the only node, and fails without one
    mount = {"hostPath": str(policy), "containerPath": POLICY, "readOnly": True}
    first = {
        "role": "control-plane",
        "extraMounts": [mount],
        "kubeadmConfigPatches": [_patch("InitConfiguration", nodeRegistration={"name": nodes[0]} | taints)],
    }
    others = [
        {"role": "worker", "kubeadmConfigPatches": [_patch("JoinConfiguration", nodeRegistration={"name": node})]}
        for node in nodes[1:]
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
                _patch("ClusterConfiguration", **_control_plane()),
                _patch("KubeletConfiguration", **_kubelet(old_cgroups)),
                _patch("KubeProxyConfiguration", logging={"verbosity": 2}),
            ],
            "kubeadmConfigPatchesJSON6902": [
                {"group": "kubeadm.k8s.io", "version": "v1beta4", "kind": kind, "patch": json.dumps(_VERBOSITY)}
                for kind in ("InitConfiguration", "JoinConfiguration")
            ],
            "nodes": [first, *others],
        },
        indent=1,
    )


def _control_plane() -> dict[str, Any]:
    """https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/."""
    audit = {
        "audit-policy-file": POLICY, "audit-log-path": AUDIT_LOG, "audit-log-maxsize": 100, "audit-log-maxbackup": 1,
    }  # fmt: skip
    volumes = [
        {"name": name, "hostPath": str(folder), "mountPath": str(folder), "readOnly": locked}
        for name, folder, locked in (("policy", Path(POLICY).parent, True), ("audit", Path(AUDIT_LOG).parent, False))
    ]
    for volume in volumes:
        volume["pathType"] = "DirectoryOrCreate"
    alone = {"leader-elect": "false"}  # there is no other to elect
    return {
        "apiServer": {"extraArgs": _arguments(audit), "extraVolumes": volumes},
        "controllerManager": {"extraArgs": _arguments(alone)},
        "scheduler": {"extraArgs": _arguments(alone | {"v": 2})},
        "etcd": {"local": {"extraArgs": _arguments({"unsafe-no-fsync": "true"})}},  # it does not outlive the machine
    }


def _kubelet(old_cgroups: bool) -> dict[str, Any]:
    """https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/."""
    settings: dict[str, Any] = {"serializeImagePulls": False, "containerLogMaxSize": "100Mi"}
    return settings | ({"failCgroupV1": False} if old_cgroups else {})


def _arguments(flags: dict[str, Any]) -> list[dict[str, str]]:
    return [{"name": name, "value": str(value)} for name, value in flags.items()]


def _patch(kind: str, **fields: Any) -> str:
    return json.dumps({"kind": kind} | fields)
