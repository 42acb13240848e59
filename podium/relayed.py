"""The backend in a sandbox: a cluster that runs outside of it, of which a relay lets through what a notebook needs."""

import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from podium.errors import PodiumError

ANSWER_LIMIT = 8 * 2**20
"""Bytes that one answer of the relay may have: the API server's metrics are the longest."""

READ = ("node", "state", "pid", "restarts", "version", "flags", "health", "metrics", "log")
"""What may be asked of every component."""


class Relayed:
    """A cluster at the other end of a socket. It can be used, and neither started nor ended nor changed.

    Args:
        name: The cluster's name.
        folder: Holds ``kubeconfig``, ``cluster.json`` with the path of ``kubectl``, and the socket ``components.sock``.
    """

    backend = "relayed"
    tracing = False

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder

    @property
    def kubeconfig_path(self) -> Path:
        """The kubeconfig of the learner."""
        return self.folder / "kubeconfig"

    @property
    def kubectl_path(self) -> Path:
        """kubectl, of the cluster's version."""
        return Path(json.loads((self.folder / "cluster.json").read_text())["kubectl"])

    def is_running(self) -> bool:
        """True: the sandbox ends before the cluster does."""
        return True

    def is_starting(self) -> bool:
        """False, for the same reason."""
        return False

    def left_behind(self) -> bool:
        """False, for the same reason."""
        return False

    def clean(self) -> None:
        """Nothing: what there is belongs to the sandbox."""

    def nodes(self) -> list[str]:
        """The nodes' names."""
        return self.ask("nodes")

    def components(self) -> Mapping[str, "RelayedComponent"]:
        """Every component by its name."""
        return {name: RelayedComponent(self, name) for name in self.ask("names")}

    def ask(self, do: str, name: str = "", *arguments: Any) -> Any:
        """Ask the relay.

        Raises:
            PodiumError: It refused, or what was asked for failed.
        """
        with socket.socket(socket.AF_UNIX) as wire:
            wire.connect(str(self.folder / "components.sock"))
            wire.sendall(json.dumps({"do": do, "name": name, "arguments": arguments}).encode() + b"\n")
            with wire.makefile("rb") as answers:
                answer = json.loads(answers.readline(ANSWER_LIMIT) or '{"error": "The relay does not answer."}')
        if "error" in answer:
            raise PodiumError(answer["error"], answer.get("hint", ""))
        return answer["value"]

    def _refuse(self, *_: object) -> NoReturn:
        raise PodiumError(
            "A notebook that is being graded can use its cluster, but not start, end or open it up.",
            "No task of a lab asks for that.",
        )

    up = down = reset = add_node = remove_node = node_exec = load_image = reports = etcdctl = _refuse

    def audit_lines(self) -> Iterator[str]:
        """Refused, like all that only the cluster's administrator can see."""
        self._refuse()

    span_lines = audit_lines


class RelayedComponent:
    """One component, as :class:`podium.cluster.Component` has it."""

    def __init__(self, backend: Relayed, name: str) -> None:
        self._backend = backend
        self.name = name

    def _ask(self, do: str, *arguments: Any) -> Any:
        return self._backend.ask(do, self.name, *arguments)

    node = property(lambda self: self._ask("node"))
    state = property(lambda self: self._ask("state"))
    pid = property(lambda self: self._ask("pid"))
    restarts = property(lambda self: self._ask("restarts"))
    version = property(lambda self: self._ask("version"))
    flags = property(lambda self: self._ask("flags"))

    def health(self) -> bool:
        """Whether its own health check says ok."""
        return self._ask("health")

    def metrics(self) -> str:
        """Its metrics, in Prometheus' text format."""
        return self._ask("metrics")

    def log(self, lines: int = 50) -> str:
        """The last lines of its log."""
        return self._ask("log", lines)

    def stop(self) -> None:
        """Stop it, where a task of the lab is about that."""
        self._ask("stop")

    def start(self) -> None:
        """Start it, where a task of the lab is about that."""
        self._ask("start")

    def set_verbosity(self, level: int) -> None:
        """Refused."""
        self._ask("set_verbosity", level)
