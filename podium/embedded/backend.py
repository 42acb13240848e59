"""The embedded backend of :class:`podium.cluster.Cluster`."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from podium.embedded import controlplane, network, nodes, spans, supervisor
from podium.embedded.agent import Agent
from podium.embedded.api import Api
from podium.embedded.components import AgentComponent, HostComponent, PodComponent
from podium.embedded.files import Bundle
from podium.embedded.pki import write_secret
from podium.errors import PodiumError, UsageError
from podium.machine import is_small
from podium.waiting import wait_until

MOST_NODES = 5
START_LIMIT = 120.0  # seconds for the API server, and for each node
NODE_MEMORY_MB, SMALL_NODE_MEMORY_MB = 640, 448  # the smaller leave room for a notebook server and two kernels in 2 GB
CONTROL_PLANE_DISK_MB = 250  # the logs of etcd, as long when empty as when full, and the audit log
NODE_DISK_MB = 250  # what it writes in the course
OTHER_DISK = "Free some space, or set PODIUM_STATE to a folder on another disk."
Say = Callable[[str], object]


def node_memory_mb() -> int:
    """A node's memory, in MiB: less where there is little, for a node fills its own with the pages of files."""
    return SMALL_NODE_MEMORY_MB if is_small() else NODE_MEMORY_MB


class Exists(PodiumError):
    """A cluster of that name runs already."""


class Embedded:
    """One embedded cluster.

    Args:
        name: The cluster's name.
        folder: Its folder, which need not exist.
        bundle: Finds what a new cluster runs. One that runs keeps what it was started with.
        tracing: Whether a new cluster tells OpenTelemetry's spans.
    """

    backend = "embedded"

    def __init__(self, name: str, folder: Path, bundle: Callable[[], Bundle], tracing: bool = False) -> None:
        self.name = name
        self.folder = folder
        self._find_bundle = bundle
        self._tracing = tracing

    @property
    def _bundle(self) -> Bundle:
        running = (self.folder / "cluster.json").exists()
        return Bundle(Path(self._state()["bundle"])) if running else self._find_bundle()

    @property
    def tracing(self) -> bool:
        """Whether it tells OpenTelemetry's spans."""
        return self._state()["tracing"]

    # -- life

    def is_running(self) -> bool:
        """Whether the cluster has a supervisor."""
        try:
            lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(lock)
        return False

    def is_starting(self) -> bool:
        """Whether it runs, and whoever started it still waits for it."""
        return self.is_running() and not self._state()["ready"]

    def up(self, count: int, owner: int | None, say: Say) -> None:
        """Start the cluster; return when it is ready.

        Args:
            count: The number of nodes, 1 to 5.
            owner: The process with which the cluster ends; None for a cluster that stays until ``down``.
            say: Called with each thing that is waited for.

        Raises:
            UsageError: The number of nodes is out of range.
            PodiumError: It did not start; nothing of it is left.
        """
        if not 1 <= count <= MOST_NODES:
            raise UsageError(f"A cluster has 1 to {MOST_NODES} nodes, not {count}.")
        me = os.getpid()
        try:
            self._lay_and_launch(list(range(1, count + 1)), me)
            self._wait_ready(say)
            if owner != me:
                supervisor.ask(self.folder, do="own", owner=_identity(owner))
            self._save(self._state() | {"ready": True})
        except Exists:
            raise
        except BaseException:
            self.down()
            raise

    def up_empty(self) -> None:
        """Start a control plane without nodes on an empty store, for as long as this process lives."""
        try:
            self._lay_and_launch([], os.getpid(), seeded=False)
            self._wait_api(Api(self.folder / "super-admin.conf"))
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """End everything that runs and remove the folder."""
        if self.is_running():
            supervisor.ask(self.folder, do="down")
            wait_until(
                lambda: not self.is_running(), f"the processes of cluster {self.name!r} to end", limit=10, every=0.02
            )
        self.clean()

    def clean(self) -> None:
        """Remove the folder, unless something runs in it."""
        with self._alone():
            if not self.is_running():
                shutil.rmtree(self.folder, ignore_errors=True)

    def left_behind(self) -> bool:
        """Whether a crash left something that can be taken up: never, all that runs ends with the supervisor."""
        return False

    def reset(self, say: Say) -> None:
        """Make the cluster anew: same name, same number of nodes, same owner, same port, pristine."""
        state = self._state()
        self._tracing = state["tracing"]
        owner = json.loads((self.folder / "supervisor.json").read_text())["owner"]
        me = os.getpid()
        self._find_bundle()  # before anything is lost
        self.down()
        try:
            self._lay_and_launch(state["nodes"], me, controlplane.Ports(**state["ports"]))
            self._wait_ready(say)
            supervisor.ask(self.folder, do="own", owner=owner)
            self._save(self._state() | {"ready": True})
        except BaseException:
            self.down()
            raise

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold off every other process that lays or removes a cluster's folder."""
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = os.open(self.folder.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(place, fcntl.LOCK_EX)
            yield
        finally:
            os.close(place)

    def _lay_and_launch(
        self, numbers: list[int], owner: int, ports: controlplane.Ports | None = None, seeded: bool = True
    ) -> None:
        with self._alone():
            if self.is_running():
                raise Exists(f"Another process has just started cluster {self.name!r}.", "Use it, or another name.")
            self._lay(numbers, ports, seeded)
            self._launch(owner)

    def _lay(self, numbers: list[int], ports: controlplane.Ports | None, seeded: bool) -> None:
        """Lay the cluster's folder, and clear away what a crash may have left there."""
        bundle = self._find_bundle()
        shutil.rmtree(self.folder, ignore_errors=True)
        ports = ports.still_free() if ports else controlplane.Ports.free(self._ports_of_others())
        self._check_room(CONTROL_PLANE_DISK_MB + len(numbers) * NODE_DISK_MB)
        try:
            self.folder.mkdir(mode=0o700, parents=True)
            (self.folder / "logs").mkdir()
            if seeded:
                shutil.copytree(bundle.seed, self.folder / "etcd")
            controlplane.write_files(self.folder, ports)
            for number in numbers:
                nodes.write_settings(self.folder, number, ports.api, self._tracing)
            state = {"nodes": numbers, "ports": ports.as_dict(), "bundle": str(bundle.path), "ready": False}
            self._save(state | {"tracing": self._tracing})
        except OSError as error:
            reason = error.args[0][0][2] if isinstance(error, shutil.Error) else error  # copytree collects its errors
            raise PodiumError(f"The cluster's folder {self.folder} could not be laid: {reason}.", OTHER_DISK) from error

    def _ports_of_others(self) -> set[int]:
        """What the user's other clusters have, or will have in a moment."""
        states = [json.loads(file.read_text()) for file in self.folder.parent.glob("*/cluster.json")]
        return {port for state in states for port in state.get("ports", {}).values()}

    def _check_room(self, need: int) -> None:
        """Raise PodiumError unless the disk has so many MiB to spare: a kernel that can't write to its disk panics."""
        free = shutil.disk_usage(self.folder.parent).free >> 20
        if free < need:
            raise PodiumError(f"{need} MB are needed in {self.folder.parent}, and {free} MB are free.", OTHER_DISK)

    def _launch(self, owner: int) -> None:
        state = self._state()
        processes = controlplane.processes(self._bundle, controlplane.Ports(**state["ports"]), state["tracing"])
        processes += [nodes.process(self._bundle, number, node_memory_mb()) for number in state["nodes"]]
        self._write_plan(_identity(owner), processes)
        with open(self.folder / "logs/supervisor.log", "ab") as log:
            started = subprocess.run(
                [sys.executable, "-I", "-S", supervisor.__file__, str(self.folder)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False,
            )  # fmt: skip
        if started.returncode:
            raise PodiumError(
                f"The supervisor of cluster {self.name!r} did not start.",
                (self.folder / "logs/supervisor.log").read_text(),
            )

    def _write_plan(self, owner: dict[str, int] | None, processes: list[dict[str, Any]]) -> None:
        plan = json.dumps({"owner": owner, "processes": processes}, indent=1)
        write_secret(self.folder / "supervisor.json", plan.encode())

    def _wait_ready(self, say: Say) -> None:
        say("waiting for the API server")
        self._wait_api(self._api())
        for number in self._state()["nodes"]:
            self._wait_node(nodes.name_of(number), say)
        supervisor.ask(self.folder, do="start", name=controlplane.ADD_ONS)

    def _wait_api(self, api: Api) -> None:
        self._wait(api.ready, "the API server to be ready", "kube-apiserver")
        for name in controlplane.CLIENTS:
            supervisor.ask(self.folder, do="start", name=name)

    def _wait_node(self, name: str, say: Say) -> None:
        say(f"waiting for {name}")
        api = self._api()

        def ready() -> bool:
            node = api.object(f"/api/v1/nodes/{name}")
            conditions = node["status"].get("conditions", []) if node else []
            return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

        self._wait(ready, f"{name} to be Ready", name)

    def _wait(self, condition: Callable[[], bool], what: str, process: str) -> None:
        log = (
            self.folder / f"{process}/console.log"
            if process.startswith("node-")
            else self.folder / f"logs/{process}.log"
        )

        def still() -> bool:
            if not self.is_running():
                raise PodiumError(f"The cluster ended while Podium waited for {what}.", f"Its last words are in {log}.")
            return condition()

        try:
            wait_until(still, what, START_LIMIT, every=0.03)
        except PodiumError as error:
            error.hint = error.hint or f"The last lines of {log}:\n{_tail(log, 15)}"
            raise

    # -- nodes

    def nodes(self) -> list[str]:
        """The nodes' names."""
        return [nodes.name_of(number) for number in self._state()["nodes"]]

    def add_node(self, say: Say) -> str:
        """Add a node; return its name when it is Ready."""
        state = self._state()
        free = sorted(set(range(1, MOST_NODES + 1)) - set(state["nodes"]))
        if not free:
            raise UsageError(f"A cluster has at most {MOST_NODES} nodes.", "Remove one first.")
        self._check_room(NODE_DISK_MB)
        number, name = free[0], nodes.name_of(free[0])
        nodes.write_settings(self.folder, number, state["ports"]["api"], state["tracing"])
        self._save(state | {"nodes": sorted([*state["nodes"], number])})
        supervisor.ask(self.folder, do="add", process=nodes.process(self._bundle, number, node_memory_mb()))
        self._wait_node(name, say)
        return name

    def remove_node(self, name: str) -> None:
        """Switch a node off, remove its disk and its Node object."""
        state, number = self._state(), self._number(name)
        if state["nodes"] == [number]:
            raise UsageError("A cluster needs a node.", "Use `down` to end the cluster.")
        supervisor.ask(self.folder, do="remove", name=name)
        self._api().delete(f"/api/v1/nodes/{name}")
        self._save(state | {"nodes": [n for n in state["nodes"] if n != number]})
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def node_exec(self, node: str, argv: list[str], stdin: bytes | Iterable[bytes] = b"") -> tuple[int, bytes, bytes]:
        """Run a command as root on a node: its exit status, standard output and standard error."""
        return self._agent(node).execute(argv, stdin)

    def load_image(self, archive: Path) -> None:
        """Put a container image archive (OCI or docker-archive) into the store of every node."""
        for node in self.nodes():
            with archive.open("rb") as file:
                chunks = iter(lambda file=file: file.read(1 << 20), b"")
                status, out, err = self.node_exec(node, ["ctr", "-n", "k8s.io", "images", "import", "-"], chunks)
            if status:
                raise PodiumError(
                    f"{node} could not import {archive}: {(err or out).decode().strip()}",
                    "Is it an OCI or a docker-archive image, and not compressed as a whole?",
                )

    def _agent(self, node: str) -> Agent:
        return Agent(self.folder, node, network.node_address(self._number(node)))

    def _number(self, node: str) -> int:
        if node not in self.nodes():
            raise UsageError(f"There is no node {node!r}.", f"The nodes are {', '.join(self.nodes())}.")
        return int(node.removeprefix("node-"))

    # -- what runs

    def _api(self) -> Api:
        return Api(self.kubeconfig_path)

    @property
    def kubeconfig_path(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "kubeconfig"

    @property
    def kubectl_path(self) -> Path:
        """kubectl, of the cluster's version."""
        return self._bundle.program("kubectl")

    def etcdctl(self) -> tuple[list[str], Path]:
        """The beginning of an etcdctl command line with this cluster's credentials, and the folder it must run in."""
        port = self._state()["ports"]["etcd"]
        flags = {
            "endpoints": f"https://127.0.0.1:{port}",
            "cacert": "pki/etcd-ca.crt",
            "cert": "pki/etcd-client.crt",
            "key": "pki/etcd-client.key",
        }
        return controlplane.argv(self._bundle.program("etcdctl"), flags), self.folder

    def audit_lines(self) -> Iterator[str]:
        """The lines of the API server's audit log, oldest first."""
        for path in [*sorted(self.folder.glob("audit-*.log")), self.folder / "audit.log"]:
            with path.open() as file:
                yield from file

    def span_lines(self) -> Iterator[str]:
        """What the collector of spans has written, oldest first; nothing in a cluster without tracing."""
        return spans.lines(self.folder)

    def components(self) -> dict[str, "HostComponent | AgentComponent | PodComponent"]:
        """Every component by its name; those of a node as ``<node>/<name>``."""
        ports = self._state()["ports"]
        found: dict[str, HostComponent | AgentComponent | PodComponent] = {
            name: HostComponent(self.folder, name, ports) for name in controlplane.COMPONENTS
        }
        for node in self.nodes():
            for name in nodes.COMPONENTS:
                found[f"{node}/{name}"] = AgentComponent(self._agent(node), self._api, node, name)
        found["coredns"] = PodComponent(self.kubeconfig_path, self.kubectl_path)
        return found

    def reports(self) -> list[dict[str, Any]]:
        """What runs: name, state, pid, restarts, last_exit, since (seconds since 1970) of each component."""
        waiting = controlplane.ADD_ONS, "stopped"  # for the nodes: nobody needs to know
        found = [r for r in supervisor.ask(self.folder, do="status") if (r["name"], r["state"]) != waiting]
        for node in self.nodes():
            try:
                inside = self._agent(node).components()
            except PodiumError as error:
                inside = [
                    {
                        "name": "agent",
                        "state": "unreachable",
                        "pid": 0,
                        "restarts": 0,
                        "last_exit": error.what,
                        "since": 0.0,
                    }
                ]
            found += [
                report | {"name": f"{node}/{report['name']}"} for report in sorted(inside, key=lambda r: r["name"])
            ]
        return [{key: r[key] for key in ("name", "state", "pid", "restarts", "last_exit", "since")} for r in found]

    def _state(self) -> dict[str, Any]:
        try:
            return json.loads((self.folder / "cluster.json").read_text())
        except FileNotFoundError:
            raise PodiumError(f"There is no cluster {self.name!r}.", "Start one: podium up") from None

    def _save(self, state: dict[str, Any]) -> None:
        new = self.folder / "cluster.json.new"
        new.write_text(json.dumps(state | {"backend": self.backend, "saved": time.time()}, indent=1))
        new.rename(self.folder / "cluster.json")


def _identity(pid: int | None) -> dict[str, int] | None:
    """A process that cannot be mistaken for a later one with the same number."""
    if pid is None:
        return None
    started = supervisor.start_time(pid)
    if started is None:
        raise UsageError(f"The owner, process {pid}, does not run.")
    return {"pid": pid, "start_time": started}


def _tail(path: Path, lines: int) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return "(there is none)"
