"""The components of an embedded cluster: what runs where, how it is, and how to stop and start it.

All three kinds answer to the same names: see :class:`podium.cluster.Component`.
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from podium.embedded import supervisor
from podium.embedded.agent import Agent
from podium.embedded.api import Api
from podium.errors import PodiumError, UsageError
from podium.waiting import wait_until

STOP_LIMIT = 15.0  # seconds; the supervisor kills after five


class HostComponent:
    """A component of the management node: a process of this machine."""

    node = "management"

    def __init__(self, folder: Path, name: str, ports: dict[str, int]) -> None:
        self._folder, self.name = folder, name
        port, self._health_path = {
            "etcd": (ports["etcd_metrics"], "/health"),
            "kube-apiserver": (ports["api"], "/livez"),
            "kube-controller-manager": (ports["controller_manager"], "/healthz"),
            "kube-scheduler": (ports["scheduler"], "/healthz"),
        }[name]
        self._url = f"https://127.0.0.1:{port}"

    def _report(self) -> dict[str, Any]:
        try:
            reports = supervisor.ask(self._folder, do="status")
        except OSError as error:
            raise PodiumError(f"Cluster {self._folder.name!r} does not run.", "Start it: podium up") from error
        return next(report for report in reports if report["name"] == self.name)

    @property
    def state(self) -> str:
        """``running``, ``restarting`` (it ended unasked) or ``stopped`` (on purpose)."""
        return self._report()["state"]

    @property
    def restarts(self) -> int:
        """How often it was started again after it had ended unasked."""
        return self._report()["restarts"]

    @property
    def pid(self) -> int:
        """Its process on this machine; 0 when it does not run."""
        return self._report()["pid"]

    @property
    def flags(self) -> dict[str, str]:
        """Its command line flags."""
        return parse_flags(self._report()["argv"])

    @property
    def version(self) -> str:
        """What the program says of its own version."""
        program = self._report()["argv"][0]
        return subprocess.run(
            [program, "--version"], capture_output=True, text=True, check=True, timeout=30
        ).stdout.strip()

    def health(self) -> bool:
        """Whether its own health check says ok."""
        try:
            return self._get(self._health_path)[0] == 200
        except OSError:
            return False

    def metrics(self) -> str:
        """Its metrics, in Prometheus' text format."""
        try:
            return self._get("/metrics")[1].decode()
        except OSError as error:
            raise PodiumError(f"{self.name} does not answer ({error}).", f"Its state is {self.state}.") from error

    def _get(self, path: str) -> tuple[int, bytes]:
        if self.name == "etcd":
            return Api.etcd(self._folder, self._url).get(path)
        return Api(self._folder / "super-admin.conf", self._url).get(path)

    def log(self, lines: int = 50) -> str:
        """The last lines of its log."""
        text = (self._folder / f"logs/{self.name}.log").read_text(errors="replace")
        return "".join(text.splitlines(keepends=True)[-lines:])

    def stop(self) -> None:
        """Stop it; it stays down until it is started."""
        supervisor.ask(self._folder, do="stop", name=self.name)
        wait_until(lambda: not self.pid, f"{self.name} to end", STOP_LIMIT, every=0.02)

    def start(self) -> None:
        """Start it again and wait until it is healthy."""
        supervisor.ask(self._folder, do="start", name=self.name)
        wait_until(
            self.health, f"{self.name} to be healthy", 60, hint=f"See its log: podium component {self.name} logs"
        )

    def set_verbosity(self, level: int) -> None:
        """Let it log more or less from now on, as its flag ``--v`` would."""
        if self.name == "etcd":
            raise UsageError("etcd's log has no verbosity.")
        set_verbosity(self.name, Api(self._folder / "super-admin.conf", self._url), "", level)


class AgentComponent:
    """A component of a node: a process inside the node's kernel, kept by the node's first process."""

    def __init__(self, agent: Agent, api: Callable[[], Api], node: str, program: str) -> None:
        self._agent, self._api, self.node, self._program = agent, api, node, program
        self.name = f"{node}/{program}"

    def _report(self) -> dict[str, Any]:
        return next(report for report in self._agent.components() if report["name"] == self._program)

    state = property(lambda self: self._report()["state"], doc=HostComponent.state.__doc__)
    restarts = property(lambda self: self._report()["restarts"], doc=HostComponent.restarts.__doc__)
    pid = property(lambda self: self._report()["pid"], doc="Its process in its node; 0 when it does not run.")
    flags = property(lambda self: parse_flags(self._report()["argv"]), doc=HostComponent.flags.__doc__)

    @property
    def version(self) -> str:
        """What the program says of its own version."""
        return self._run(self._report()["argv"][0], "--version").strip()

    def health(self) -> bool:
        """Whether its own health check says ok."""
        probe = {
            "kubelet": ["wget", "-q", "-O", "-", "http://127.0.0.1:10248/healthz"],
            "kube-proxy": ["wget", "-q", "-O", "-", "http://127.0.0.1:10256/livez"],
            "containerd": ["ctr", "version"],
        }[self._program]
        if probe[0] == "wget":
            probe = ["busybox", *probe]
        return self._agent.execute(probe)[0] == 0

    def metrics(self) -> str:
        """Its metrics, in Prometheus' text format."""
        if self._program == "kubelet":
            try:
                status, body = self._api().get(f"/api/v1/nodes/{self.node}/proxy/metrics")
            except OSError as error:
                raise PodiumError(f"The API server, the way to {self.name}, does not answer ({error}).") from error
            if status != 200:
                raise PodiumError(f"{self.name} answered {status}: {body.decode()}")
            return body.decode()
        port, path = {"kube-proxy": (10249, "/metrics"), "containerd": (1338, "/v1/metrics")}[self._program]
        return self._run("busybox", "wget", "-q", "-O", "-", f"http://127.0.0.1:{port}{path}")

    def _run(self, *argv: str) -> str:
        status, out, err = self._agent.execute(list(argv))
        if status:
            raise PodiumError(f"{' '.join(argv)} on {self.node} ended with {status}: {err.decode().strip()}")
        return out.decode()

    def log(self, lines: int = 50) -> str:
        """The last lines of its log."""
        return self._agent.log(self._program, lines)

    def stop(self) -> None:
        """Stop it; it stays down until it is started. Containers go on: containerd's shims hold them."""
        self._agent.stop(self._program)

    def start(self) -> None:
        """Start it again and wait until it is healthy."""
        self._agent.start(self._program)
        wait_until(
            self.health, f"{self.name} to be healthy", 60, hint=f"See its log: podium component {self.name} logs"
        )

    def set_verbosity(self, level: int) -> None:
        """Let it log more or less from now on, as its flag ``--v`` would: kubelet only."""
        if self._program != "kubelet":
            raise UsageError(f"{self.name}'s verbosity can't be changed while it runs.")
        set_verbosity(self.name, self._api(), f"/api/v1/nodes/{self.node}/proxy", level)


class PodComponent:
    """CoreDNS: a Deployment in kube-system."""

    name = "coredns"
    node = "kube-system"
    _labels = "k8s-app=kube-dns"

    def __init__(self, kubeconfig: Path, kubectl: Path) -> None:
        self._kubeconfig, self._kubectl_path = kubeconfig, kubectl

    def _kubectl(self, *argv: str) -> str:
        done = subprocess.run(
            [self._kubectl_path, "-n", "kube-system", "--request-timeout=20s", *argv],
            env=os.environ | {"KUBECONFIG": str(self._kubeconfig)},
            capture_output=True, text=True, timeout=90, check=False,
        )  # fmt: skip
        if done.returncode:
            raise PodiumError(f"kubectl {' '.join(argv)}: {done.stderr.strip()}")
        return done.stdout

    def _pods(self) -> list[dict[str, Any]]:
        return json.loads(self._kubectl("get", "pods", "-l", self._labels, "-o", "json"))["items"]

    @property
    def state(self) -> str:
        """``running``, ``restarting`` (wanted, but no Pod of it is Ready) or ``stopped`` (scaled to none)."""
        if self._kubectl("get", "deployment", self.name, "-o", "jsonpath={.spec.replicas}") == "0":
            return "stopped"
        return "running" if self.health() else "restarting"

    @property
    def restarts(self) -> int:
        """How often its containers were started again."""
        return sum(c["restartCount"] for pod in self._pods() for c in pod["status"].get("containerStatuses", []))

    pid = 0

    @property
    def flags(self) -> dict[str, str]:
        """Its command line flags."""
        template = json.loads(self._kubectl("get", "deployment", self.name, "-o", "json"))["spec"]["template"]
        args = template["spec"]["containers"][0].get("args", [])
        return dict(zip(args[::2], args[1::2], strict=True))

    @property
    def version(self) -> str:
        """The tag of its image."""
        image = self._kubectl(
            "get", "deployment", self.name, "-o", "jsonpath={.spec.template.spec.containers[0].image}"
        )
        return image.rpartition(":")[2]

    def health(self) -> bool:
        """Whether one of its Pods is Ready."""
        return any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for pod in self._pods()
            for condition in pod["status"].get("conditions", [])
        )

    def metrics(self) -> str:
        """Its metrics, in Prometheus' text format."""
        pods = self._pods()
        if not pods:
            raise PodiumError("CoreDNS has no Pod.", "Start it: podium component coredns start")
        return self._kubectl(
            "get", "--raw", f"/api/v1/namespaces/kube-system/pods/{pods[0]['metadata']['name']}:9153/proxy/metrics"
        )

    def log(self, lines: int = 50) -> str:
        """The last lines of its log."""
        return self._kubectl("logs", "-l", self._labels, f"--tail={lines}")

    def stop(self) -> None:
        """Scale it to none and wait until its Pods are gone."""
        self._kubectl("scale", "deployment", self.name, "--replicas=0")
        wait_until(lambda: not self._pods(), "CoreDNS's Pods to go", 60)

    def start(self) -> None:
        """Scale it to one and wait until it is Ready."""
        self._kubectl("scale", "deployment", self.name, "--replicas=1")
        wait_until(self.health, "a Pod of CoreDNS to be Ready", 90)

    def set_verbosity(self, level: int) -> None:
        """CoreDNS's log has no verbosity."""
        raise UsageError(f"{self.name}'s log has no verbosity.")


def set_verbosity(name: str, api: Api, prefix: str, level: int) -> None:
    """Ask a component of Kubernetes for another verbosity of its log: what ``/debug/flags/v`` is for.

    Raises:
        PodiumError: It does not answer, or it refuses.
    """
    try:
        status, body = api.put(f"{prefix}/debug/flags/v", str(level))
    except OSError as error:
        raise PodiumError(f"{name} does not answer ({error}).", "Does it run? `podium status` tells.") from error
    if status != 200:
        raise PodiumError(f"{name} answered {status}: {body.decode().strip()}")


def parse_flags(argv: list[str]) -> dict[str, str]:
    """The flags of a command line in the form ``--name=value``."""
    pairs = (argument.removeprefix("--").partition("=") for argument in argv[1:])
    return {name: value for name, _, value in pairs}
