"""The one who keeps the cluster of a notebook server: starts, resets and stops it beside the server's work."""

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from podium.cluster import Cluster
from podium.errors import PodiumError, UsageError
from podium.progress import Progress

DOING = {"start": "starting", "reset": "resetting", "stop": "stopping"}


class _Steps(Progress):
    """Progress that is asked for, instead of printed."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.said: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)


class Keeper:
    """Does one thing at a time with a cluster, in a thread of its own. The cluster ends with this process.

    Args:
        name: The cluster's name.
        nodes: How many nodes a new one gets.
    """

    def __init__(self, name: str, nodes: int) -> None:
        self.name, self.nodes = name, nodes
        self.problem: PodiumError | None = None
        self._doing = ""
        self._steps, self._began = _Steps(), 0.0
        self._lock = threading.Lock()
        self._found: Cluster | None = None

    @property
    def cluster(self) -> Cluster:
        """The cluster. To find its backend may mean to ask a container engine, which can take seconds.

        Raises:
            PodiumError: What was asked for can't be, such as a backend that does not exist.
        """
        if self._found is None:
            self._found = Cluster(self.name, self.nodes)
        return self._found

    def lend(self) -> None:
        """Let every kernel and terminal that this process starts from now on have the cluster.

        Raises:
            PodiumError: There is nothing to run a cluster with.
        """
        os.environ.update(self.cluster.environment() | {"PODIUM_CLUSTER": self.name})

    def begin(self, verb: str) -> None:
        """Begin to ``start``, ``reset`` or ``stop`` the cluster, and return at once.

        Raises:
            UsageError: Nothing of that name can be done.
            PodiumError: Something is being done already.
        """
        if verb not in DOING:
            raise UsageError(f"A cluster can't be asked to {verb!r}.", f"It can: {', '.join(DOING)}.")
        with self._lock:
            if self._doing:
                raise PodiumError(f"The cluster is {self._doing} just now.", "Wait until that is done.")
            self._doing, self._steps, self._began = DOING[verb], _Steps(), time.monotonic()
        threading.Thread(target=self._do, args=[getattr(self, f"_{verb}")], name="podium-cluster", daemon=True).start()

    def _do(self, work: Callable[[], None]) -> None:
        self.problem = PodiumError(f"{self._doing.capitalize()} broke off.", "The notebook server's log says why.")
        try:
            work()
            self.problem = None
        except PodiumError as error:
            self.problem = error
            logging.getLogger("podium").warning("%s the cluster: %s", self._doing.capitalize(), error)
        finally:
            self._doing = ""

    def _start(self) -> None:
        self._found = None  # the engine may be another one by now
        self.lend()
        self.cluster.up(progress=self._steps)

    def _reset(self) -> None:
        if self.cluster.is_running():
            self.cluster.reset(self._steps)
        else:
            self._start()

    def _stop(self) -> None:
        self.cluster.down()

    def state(self) -> dict[str, Any]:
        """What a page shows of the cluster.

        Returns:
            ``state``: ``off``, ``starting``, ``resetting``, ``stopping``, ``running`` or ``failed``; ``name``;
            ``step``, what is waited for; ``done``, how much of it, 0 to 1; ``seconds`` since it began; ``nodes``;
            ``stopped``, the names of components that don't run; ``problem``, the sentences of what went wrong last.
        """
        shown: dict[str, Any] = {"name": self.name, "step": "", "done": 0.0, "seconds": 0, "nodes": [], "stopped": []}
        shown["problem"] = {"what": self.problem.what, "hint": self.problem.hint} if self.problem else None
        if doing := self._doing:
            said = self._steps.said
            # A backend says one thing for the control plane and one for each node, or as good as that.
            done = min(0.95, max(0, len(said) - 1) / (self.nodes + 1))
            seconds = round(time.monotonic() - self._began)
            return shown | {"state": doing, "step": said[-1] if said else "", "done": done, "seconds": seconds,
                            "problem": None}  # fmt: skip
        try:
            if self.cluster.is_starting():
                return shown | {"state": "starting", "step": "waiting for the process that starts it"}
            if self.cluster.is_running():
                status = self.cluster.status()
                stopped = [each["name"] for each in status["components"] if each["state"] != "running"]
                return shown | {"state": "running", "nodes": status["nodes"], "stopped": stopped}
        except OSError:
            pass  # it ended while it was asked
        except PodiumError as error:
            shown["problem"] = shown["problem"] or {"what": error.what, "hint": error.hint}
        return shown | {"state": "failed" if shown["problem"] else "off"}
