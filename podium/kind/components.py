"""The components of a cluster in kind: what runs where, how it is, and how to stop and start it.

All kinds answer to the same names: see :class:`podium.cluster.Component`.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from podium.embedded.components import STOP_LIMIT, parse_flags
from podium.errors import PodiumError, UsageError
from podium.waiting import wait_until

START_LIMIT = 90.0  # seconds
STATIC = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
SERVICES = ("containerd", "kubelet")
PROXY = "kube-proxy"

_MANIFESTS, _STOPPED = "/etc/kubernetes/manifests", "/etc/kubernetes/stopped"
_STOPPED_LABEL = "podium.test/kube-proxy-stopped"
# The components sign their own certificates: https://kubernetes.io/docs/setup/best-practices/certificates/
_ASK = (
    "kubectl", "--kubeconfig=/etc/kubernetes/super-admin.conf", "--insecure-skip-tls-verify", "--request-timeout=10s",
)  # fmt: skip
_PORTS = {"kube-apiserver": 6443, "kube-controller-manager": 10257, "kube-scheduler": 10259}

Run = Callable[..., tuple[int, bytes, bytes]]
"""Runs a command on the component's node: exit status, standard output, standard error."""
Kubectl = Callable[..., str]


class _Component(ABC):
    """What the components of a node in kind have in common.

    Args:
        run: Runs a command on the node.
        kubectl: Runs kubectl.
        node: The node.
        program: The component's program.
        name: The component's name.
    """

    def __init__(self, run: Run, kubectl: Kubectl, node: str, program: str, name: str) -> None:
        self._run, self._kubectl, self.node, self._program, self.name = run, kubectl, node, program, name

    def _said(self, *argv: str, stdin: bytes = b"") -> str:
        status, out, err = self._run(list(argv), stdin)
        if status:
            words = (err or out).decode(errors="replace").strip()
            raise PodiumError(f"{self.name}: {argv[0]} on {self.node} ended with {status}: {words}")
        return out.decode(errors="replace")

    @abstractmethod
    def report(self) -> dict[str, Any]:
        """Its name, state, pid, restarts, last_exit and since (seconds since 1970)."""

    state = property(lambda self: self.report()["state"], doc="``running``, ``restarting`` or ``stopped``.")
    restarts = property(lambda self: self.report()["restarts"], doc="How often it was started again, unasked.")
    pid = property(lambda self: self.report()["pid"], doc="Its process in its node; 0 when it does not run.")

    @property
    def flags(self) -> dict[str, str]:
        """Its command line flags."""
        pid = self.pid
        return parse_flags(self._said("cat", f"/proc/{pid}/cmdline").rstrip("\0").split("\0")) if pid else {}

    @property
    def version(self) -> str:
        """What the program says of its own version."""
        pid = self.pid
        if not pid:
            raise PodiumError(f"{self.name} does not run.", f"Start it: podium component {self.name} start")
        return self._said(f"/proc/{pid}/exe", "--version").strip()

    def _fetch(self, address: str) -> str:
        """What an address answers, seen from the node."""
        server, _, path = address.removeprefix("https://").partition("/")
        if address.startswith("https"):
            return self._said(*_ASK, f"--server=https://{server}", "get", "--raw", f"/{path}")
        return self._said("curl", "--silent", "--show-error", "--fail", "--max-time", "10", address)

    @abstractmethod
    def _address(self) -> str: ...

    def health(self) -> bool:
        """Whether its own health check says ok."""
        path = {"kube-apiserver": "livez", "kube-proxy": "livez", "etcd": "health"}.get(self._program, "healthz")
        try:
            return bool(self._fetch(f"{self._address()}/{path}"))
        except PodiumError:
            return False

    def metrics(self) -> str:
        """Its metrics, in Prometheus' text format."""
        return self._fetch(f"{self._address()}/metrics")

    def set_verbosity(self, level: int) -> None:
        """Let it log more or less from now on, as its flag ``--v`` would."""
        raise UsageError(f"{self.name}'s verbosity can't be changed while it runs.")

    def _wait_healthy(self) -> None:
        hint = f"See its log: podium component {self.name} logs"
        wait_until(self.health, f"{self.name} to be healthy", START_LIMIT, every=0.3, hint=hint)


class _Container(_Component):
    """A component that kubelet runs in a Pod."""

    def _containers(self) -> list[dict[str, Any]]:
        """Its containers as the runtime has them, the newest first."""
        listed = json.loads(
            self._said("crictl", "ps", "--all", "--output", "json", "--name", f"^{self._program}$",
                       "--label", "io.kubernetes.pod.namespace=kube-system")
        )["containers"]  # fmt: skip
        return sorted(listed, key=lambda each: int(each["createdAt"]), reverse=True)

    def report(self) -> dict[str, Any]:
        found = self._containers()
        running = [each for each in found if each["state"] == "CONTAINER_RUNNING"]
        report: dict[str, Any] = {
            "name": self.name, "state": "running", "pid": 0, "last_exit": "", "since": 0.0,
            "restarts": found[0]["metadata"].get("attempt", 0) if found else 0,
        }  # fmt: skip
        if running:
            about = json.loads(self._said("crictl", "inspect", "--output", "json", running[0]["id"]))
            report |= {"pid": about["info"]["pid"], "since": int(running[0]["createdAt"]) / 1e9}
        else:
            report["state"] = "stopped" if self._is_stopped() else "restarting"
        return report

    def _is_stopped(self) -> bool:
        return self._run(["test", "-e", f"{_STOPPED}/{self._program}.yaml"])[0] == 0

    def log(self, lines: int = 50) -> str:
        """The last lines of its log."""
        found = self._containers()
        if not found:
            return ""
        _, out, err = self._run(["crictl", "logs", "--tail", str(lines), found[0]["id"]])
        return (out + err).decode(errors="replace")

    def _wait_gone(self) -> None:
        wait_until(lambda: not self.pid, f"{self.name} to end", 2 * STOP_LIMIT, every=0.3)


class StaticPod(_Container):
    """A component of the control plane: a static Pod of the first node.

    https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/

    Its place is called ``management``, as in the embedded backend, where the control plane is no node.
    """

    def __init__(self, run: Run, kubectl: Kubectl, program: str) -> None:
        super().__init__(run, kubectl, "management", program, program)

    def _address(self) -> str:
        return "http://127.0.0.1:2381" if self._program == "etcd" else f"https://127.0.0.1:{_PORTS[self._program]}"

    def stop(self) -> None:
        """Take its manifest away, and end it; it stays down until it is started."""
        self._said(
            "sh", "-c", 'mkdir -p "$2" && if [ -e "$1/$3" ]; then mv "$1/$3" "$2/$3"; fi',
            "sh", _MANIFESTS, _STOPPED, f"{self._program}.yaml",
        )  # fmt: skip
        for each in self._containers():
            if each["state"] == "CONTAINER_RUNNING":
                self._run(["crictl", "stop", "--timeout", "5", each["id"]])
        self._wait_gone()

    def start(self) -> None:
        """Put its manifest back and wait until it is healthy."""
        self._said(
            "sh", "-c", 'if [ -e "$2/$3" ]; then mv "$2/$3" "$1/$3"; fi',
            "sh", _MANIFESTS, _STOPPED, f"{self._program}.yaml",
        )  # fmt: skip
        self._wait_healthy()

    def set_verbosity(self, level: int) -> None:
        """Let it log more or less from now on, as its flag ``--v`` would."""
        if self._program == "etcd":
            raise UsageError("etcd's log has no verbosity.")
        try:
            put = ("replace", "--raw", "/debug/flags/v", "--filename", "-")
            self._said(*_ASK, f"--server={self._address()}", *put, stdin=str(level).encode())
        except PodiumError as error:
            raise PodiumError(
                f"{self.name} does not answer ({error.what}).", "Does it run? `podium status` tells."
            ) from error


class Proxy(_Container):
    """kube-proxy on one node: a Pod of a DaemonSet, kept off the node by a label while it is stopped."""

    def _address(self) -> str:
        return "http://127.0.0.1:10249"

    def health(self) -> bool:
        """Whether its own health check says ok."""
        try:
            return bool(self._fetch("http://127.0.0.1:10256/livez"))
        except PodiumError:
            return False

    def stop(self) -> None:
        """Keep it off its node; it stays down until it is started. For this the control plane has to run."""
        rule = [{"matchExpressions": [{"key": _STOPPED_LABEL, "operator": "DoesNotExist"}]}]
        affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": rule}}}
        # With OnDelete no other node's Pod is replaced: https://kubernetes.io/docs/tasks/manage-daemon/update-daemon-set/
        spec = {"updateStrategy": {"type": "OnDelete"}, "template": {"spec": {"affinity": affinity}}}
        patch = ("patch", "daemonset", PROXY, "--namespace", "kube-system", "--patch", json.dumps({"spec": spec}))
        self._kubectl(*patch)
        self._said("sh", "-c", 'mkdir -p "$1" && touch "$1/$2"', "sh", _STOPPED, f"{self._program}.yaml")
        self._kubectl("label", "node", self.node, "--overwrite", f"{_STOPPED_LABEL}=")
        self._wait_gone()

    def start(self) -> None:
        """Let it come back to its node and wait until it is healthy."""
        self._said("rm", "-f", f"{_STOPPED}/{self._program}.yaml")
        self._kubectl("label", "node", self.node, f"{_STOPPED_LABEL}-")
        self._wait_healthy()


class Service(_Component):
    """kubelet or containerd: a service that the node's systemd keeps."""

    def report(self) -> dict[str, Any]:
        fields = ("ActiveState", "MainPID", "NRestarts", "ExecMainStatus", "ActiveEnterTimestamp")
        said = self._said("systemctl", "show", "--timestamp=unix", f"--property={','.join(fields)}", self._program)
        found = dict(line.split("=", 1) for line in said.splitlines())
        states = {"active": "running", "reloading": "running", "inactive": "stopped"}
        since = found["ActiveEnterTimestamp"].removeprefix("@")
        return {
            "name": self.name,
            "state": states.get(found["ActiveState"], "restarting"),
            "pid": int(found["MainPID"]),
            "restarts": int(found["NRestarts"]),
            "last_exit": f"exit status {found['ExecMainStatus']}" if found["ExecMainStatus"] != "0" else "",
            "since": float(since) if since and found["ActiveState"] == "active" else 0.0,
        }

    def _address(self) -> str:
        return "http://127.0.0.1:10248"

    @property
    def version(self) -> str:
        """What the program says of its own version."""
        return self._said(self._program, "--version").strip()

    def health(self) -> bool:
        """Whether its own health check says ok."""
        return super().health() if self._program == "kubelet" else self._run(["ctr", "version"])[0] == 0

    def metrics(self) -> str:
        """Its metrics, in Prometheus' text format."""
        if self._program == "kubelet":
            return self._kubectl("get", "--raw", f"/api/v1/nodes/{self.node}/proxy/metrics")
        return self._fetch("http://127.0.0.1:1338/v1/metrics")

    def log(self, lines: int = 50) -> str:
        """The last lines of its log."""
        return self._said(
            "journalctl", "--no-pager", "--quiet", "--output=cat", f"--unit={self._program}", f"--lines={lines}"
        )

    def stop(self) -> None:
        """Stop it; it stays down until it is started. Containers go on: containerd's shims hold them."""
        self._said("systemctl", "stop", self._program)

    def start(self) -> None:
        """Start it again and wait until it is healthy."""
        self._said("systemctl", "start", self._program)
        self._wait_healthy()

    def set_verbosity(self, level: int) -> None:
        """Let it log more or less from now on, as its flag ``--v`` would: kubelet only."""
        if self._program != "kubelet":
            super().set_verbosity(level)
        path = f"/api/v1/nodes/{self.node}/proxy/debug/flags/v"
        self._kubectl("replace", "--raw", path, "--filename", "-", input=str(level))
