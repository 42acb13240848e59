"""The management node: etcd, the API server, the controller manager and the scheduler as ordinary processes.

Every flag is explained in https://kubernetes.io/docs/reference/command-line-tools-reference/ and, for etcd, in
https://etcd.io/docs/latest/op-guide/configuration/.
"""

import base64
import json
import secrets
import socket
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from node import RECIPE
from podium.embedded import network, spans
from podium.embedded.files import Bundle
from podium.embedded.pki import Authority, Pair, signing_keys, write_secret
from podium.errors import PodiumError
from podium.machine import is_small

COMPONENTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
CLIENTS = ("kube-controller-manager", "kube-scheduler")
"""What starts when the API server is ready: earlier, each would only wait, and look again a second later."""
SLACK_MS = 20
"""Milliseconds by which timers may be late in etcd and the controller manager, which sleep in hundreds of small pieces
each second. A request to the API server, or a Pod's way through the scheduler, would take longer."""
QUICK = {"kube-api-qps": 100, "kube-api-burst": 200}
"""The controller manager's requests a second. At its start it asks for a token for each controller: with the usual 20,
for two seconds."""
ADD_ONS = "add-ons"
"""What starts when the nodes are ready, adds the rest of the cluster's manifests, and ends."""

_UNRECORDED = ("healthz*", "livez*", "readyz*", "metrics", "openapi/*", "version")
_SECRET = ["secrets", "configmaps", "serviceaccounts/token"]

# Pods of learners are recorded with what was asked and answered; what components ask all the time, not at all.
_AUDIT_POLICY: dict[str, Any] = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "resources": [{"group": "coordination.k8s.io", "resources": ["leases"]}]},
        {"level": "None", "nonResourceURLs": [f"/{path}" for path in _UNRECORDED]},
        {"level": "None", "users": ["system:apiserver"]},
        {"level": "Metadata", "verbs": ["get", "list", "watch"]},
        {"level": "Metadata", "resources": [{"group": "", "resources": _SECRET}]},
        {"level": "Metadata", "namespaces": ["kube-system", "kube-public", "kube-node-lease", "local-path-storage"]},
        {"level": "RequestResponse"},
    ],
}  # fmt: skip

_EGRESS: dict[str, Any] = {
    "apiVersion": "apiserver.k8s.io/v1beta1",
    "kind": "EgressSelectorConfiguration",
    "egressSelections": [
        {
            "name": "cluster",
            "connection": {"proxyProtocol": "HTTPConnect", "transport": {"uds": {"udsName": "egress.sock"}}},
        }
    ],
}


# A node starts few containers at a time. The cluster's DNS comes first, with the user's first Pods; then the rest.
# (`rollout status` would give up at once: its deadline was over long ago, counted from when the seed was made.)
# What waits ends with the shell that waits for it.
_ADD_ONS = """
setpriv --pdeathsig KILL "$1" wait deployment/coredns --namespace=kube-system --timeout=300s \\
    --for=jsonpath='{.status.availableReplicas}'=1
exec "$1" apply --filename="$2"
"""


@dataclass(frozen=True)
class Ports:
    """The ports of the management node, all on loopback."""

    api: int
    controller_manager: int
    scheduler: int
    etcd: int
    etcd_peer: int
    etcd_metrics: int

    @classmethod
    def free(cls, taken: set[int]) -> "Ports":
        """Ports that nobody listens on at this moment, and that are none of those ``taken``.

        They lie below those that the kernel gives to whoever does not ask for one (ip_local_port_range, 32768 and up):
        else a component that ends could find its port taken by some connection when it is started again.
        """
        found: list[int] = []
        while len(found) < len(cls.__dataclass_fields__):
            port = secrets.choice(range(10000, 32768))
            if port not in taken.union(found) and _is_free(port):
                found.append(port)
        return cls(*found)

    def still_free(self) -> "Ports":
        """The same ports.

        Raises:
            PodiumError: Somebody has taken one meanwhile.
        """
        for name, port in self.as_dict().items():
            if not _is_free(port):
                raise PodiumError(
                    f"Port {port}, which the cluster's {name} had, is taken by another process.",
                    "Start the cluster again, on other ports: podium up",
                )
        return self

    def as_dict(self) -> dict[str, int]:
        """The ports by name."""
        return asdict(self)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what has just closed is no hindrance
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def write_files(folder: Path, ports: Ports) -> None:
    """Write the certificates, kubeconfigs and settings of a new cluster into its folder."""
    pki = folder / "pki"
    pki.mkdir(mode=0o700)
    authority, agents, etcd, front = (
        Authority(name) for name in ("kubernetes", "podium-agents", "etcd-ca", "front-proxy-ca")
    )
    authority.pair.write(pki, "ca")
    agents.pair.write(pki, "agent-ca")
    etcd.pair.write(pki, "etcd-ca")
    front.pair.write(pki, "front-proxy-ca")
    signing_keys().write(pki, "sa")
    here = ["localhost", "127.0.0.1"]
    inside = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
    authority.issue("kube-apiserver", hosts=[*here, *inside, network.API_SERVICE, network.GATEWAY]).write(
        pki, "apiserver"
    )
    authority.issue("kube-apiserver-kubelet-client", ["kubeadm:cluster-admins"]).write(pki, "apiserver-kubelet-client")
    authority.issue("kube-controller-manager", hosts=here).write(pki, "controller-manager")
    authority.issue("kube-scheduler", hosts=here).write(pki, "scheduler")
    etcd.issue("etcd", hosts=here).write(pki, "etcd")
    etcd.issue("podium-etcd-client").write(pki, "etcd-client")
    front.issue("front-proxy-client").write(pki, "front-proxy-client")
    agents.issue("podium").write(pki, "agent-client")

    server = f"https://127.0.0.1:{ports.api}"
    ca = authority.pair.certificate
    for name, user, groups in (
        ("kubeconfig", "kubernetes-admin", ["kubeadm:cluster-admins"]),
        ("super-admin.conf", "kubernetes-super-admin", ["system:masters"]),
        ("controller-manager.conf", "system:kube-controller-manager", []),
        ("scheduler.conf", "system:kube-scheduler", []),
    ):
        write_kubeconfig(folder / name, server, ca, authority.issue(user, groups), folder.name)
    (folder / "audit-policy.json").write_text(json.dumps(_AUDIT_POLICY, indent=1))
    (folder / "egress.json").write_text(json.dumps(_EGRESS, indent=1))
    (folder / "tracing.json").write_text(spans.api_server_settings(f"unix://{folder / spans.SOCKET}"))


def write_kubeconfig(path: Path, server: str, ca: bytes, user: Pair, cluster: str) -> None:
    """Write a kubeconfig whose context is named as kind would: ``podium-<cluster>``."""
    write_secret(path, kubeconfig(server, ca, user, cluster).encode())


def kubeconfig(server: str, ca: bytes, user: Pair, cluster: str) -> str:
    """The text of a kubeconfig (https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/)."""
    name = f"podium-{cluster}"
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {"server": server, "certificate-authority-data": _base64(ca)}}],
            "users": [
                {
                    "name": name,
                    "user": {
                        "client-certificate-data": _base64(user.certificate),
                        "client-key-data": _base64(user.key),
                    },
                }
            ],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        },
        indent=1,
    )


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def processes(bundle: Bundle, ports: Ports, tracing: bool = False) -> list[dict[str, Any]]:
    """What the supervisor runs for the management node, the network included.

    Args:
        bundle: Where the programs are.
        ports: Where they listen.
        tracing: Whether they tell OpenTelemetry's spans, and a collector runs that is told.
    """
    etcd_url = f"https://127.0.0.1:{ports.etcd}"
    peer_url = f"https://127.0.0.1:{ports.etcd_peer}"
    metrics_url = f"https://127.0.0.1:{ports.etcd_metrics}"
    etcd = {
        "data-dir": "etcd",
        "listen-client-urls": etcd_url,
        "advertise-client-urls": etcd_url,
        "listen-metrics-urls": metrics_url,
        "listen-peer-urls": peer_url,
        "initial-advertise-peer-urls": peer_url,
        "initial-cluster": f"default={peer_url}",
        "client-cert-auth": True,
        "trusted-ca-file": "pki/etcd-ca.crt",
        "cert-file": "pki/etcd.crt",
        "key-file": "pki/etcd.key",
        "peer-client-cert-auth": True,
        "peer-trusted-ca-file": "pki/etcd-ca.crt",
        "peer-cert-file": "pki/etcd.crt",
        "peer-key-file": "pki/etcd.key",
        "unsafe-no-fsync": True,  # the cluster does not outlive the machine
        "snapshot-count": 10000,
    }
    api = {
        "etcd-servers": etcd_url,
        "etcd-cafile": "pki/etcd-ca.crt",
        "etcd-certfile": "pki/etcd-client.crt",
        "etcd-keyfile": "pki/etcd-client.key",
        "bind-address": "127.0.0.1",
        "secure-port": ports.api,
        "advertise-address": network.GATEWAY,
        "client-ca-file": "pki/ca.crt",
        "tls-cert-file": "pki/apiserver.crt",
        "tls-private-key-file": "pki/apiserver.key",
        "anonymous-auth": False,
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "allow-privileged": True,
        "kubelet-certificate-authority": "pki/ca.crt",
        "kubelet-client-certificate": "pki/apiserver-kubelet-client.crt",
        "kubelet-client-key": "pki/apiserver-kubelet-client.key",
        "kubelet-preferred-address-types": "InternalIP",
        "egress-selector-config-file": "egress.json",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": "pki/sa.crt",
        "service-account-signing-key-file": "pki/sa.key",
        "service-cluster-ip-range": network.SERVICES,
        "proxy-client-cert-file": "pki/front-proxy-client.crt",
        "proxy-client-key-file": "pki/front-proxy-client.key",
        "requestheader-client-ca-file": "pki/front-proxy-ca.crt",
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-username-headers": "X-Remote-User",
        "enable-aggregator-routing": True,
        "audit-policy-file": "audit-policy.json",
        "audit-log-path": "audit.log",
        "audit-log-maxsize": 100,
        "audit-log-maxbackup": 1,
    }
    manager = {
        "kubeconfig": "controller-manager.conf",
        "authentication-kubeconfig": "controller-manager.conf",
        "authorization-kubeconfig": "controller-manager.conf",
        "authorization-always-allow-paths": "",
        "authentication-skip-lookup": True,  # nobody comes through the aggregator
        "client-ca-file": "pki/ca.crt",
        "bind-address": "127.0.0.1",
        "secure-port": ports.controller_manager,
        "tls-cert-file": "pki/controller-manager.crt",
        "tls-private-key-file": "pki/controller-manager.key",
        "root-ca-file": "pki/ca.crt",
        "service-account-private-key-file": "pki/sa.key",
        "cluster-signing-cert-file": "pki/ca.crt",
        "cluster-signing-key-file": "pki/ca.key",
        "use-service-account-credentials": True,
        **QUICK,
        "allocate-node-cidrs": True,
        "cluster-cidr": network.PODS,
        "service-cluster-ip-range": network.SERVICES,
        "leader-elect": False,  # there is no other to elect
    }
    scheduler = {
        "kubeconfig": "scheduler.conf",
        "authentication-kubeconfig": "scheduler.conf",
        "authorization-kubeconfig": "scheduler.conf",
        "authorization-always-allow-paths": "",
        "authentication-skip-lookup": True,  # nobody comes through the aggregator
        "client-ca-file": "pki/ca.crt",
        "bind-address": "127.0.0.1",
        "secure-port": ports.scheduler,
        "tls-cert-file": "pki/scheduler.crt",
        "tls-private-key-file": "pki/scheduler.key",
        "leader-elect": False,
        "v": 2,
    }
    net = {
        "dir": ".",
        "subnet": network.SUBNET,
        "gateway": network.GATEWAY,
        "services": network.SERVICES,
        "api-port": ports.api,
    }
    collector = {
        "name": "spans",
        "argv": [sys.executable, "-m", spans.__name__, "."],
        "log": "logs/spans.log",
    }
    if tracing:
        api |= {"tracing-config-file": "tracing.json"}
        net |= {"spans-port": network.SPANS_PORT, "pods": network.PODS}
    utc = {"TZ": "UTC"}  # logs without a time zone are in UTC
    # Trades a little CPU for memory, which is scarcer where this runs; not for the API server, whose start it slows.
    lean = utc | {"GOGC": "50"}
    # That one is to collect its garbage more often as soon as it has grown: https://pkg.go.dev/runtime#hdr-Environment_Variables
    # One processor at a time is enough for it: with more, its goroutines, which wake for a moment each when it is idle,
    # wake threads on the others. Its start takes no longer.
    server = utc | {"GOMAXPROCS": "1"} | spans.DELAY | ({"GOMEMLIMIT": "160MiB"} if is_small() else {})
    return [
        {"name": "netd", "argv": argv(bundle.program("podium-netd"), net), "log": "logs/netd.log", "group": "network"},
        *([collector] if tracing else []),
        {
            "name": "etcd",
            "argv": argv(bundle.program("etcd"), etcd),
            "log": "logs/etcd.log",
            "env": lean,
            "slack_ms": SLACK_MS,
        },
        *(
            {
                "name": name,
                "argv": argv(bundle.program(name), flags),
                "log": f"logs/{name}.log",
                "env": server if name == "kube-apiserver" else lean,
                "slack_ms": SLACK_MS if name == "kube-controller-manager" else 0,
                "wanted": name not in CLIENTS,
            }
            for name, flags in (
                ("kube-apiserver", api),
                ("kube-controller-manager", manager),
                ("kube-scheduler", scheduler),
            )
        ),
        {
            "name": ADD_ONS,
            "argv": ["sh", "-ec", _ADD_ONS, "sh", str(bundle.program("kubectl")), str(RECIPE / "manifests")],
            "env": {"KUBECONFIG": "kubeconfig"},
            "log": f"logs/{ADD_ONS}.log",
            "wanted": False,
            "once": True,
        },
    ]


def argv(program: Path | str, flags: dict[str, Any]) -> list[str]:
    """A command line in the long form that every component takes: ``--name=value``."""
    return [str(program)] + [
        f"--{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in flags.items()
    ]
