"""Clusters: what a lesson, a lab or a check may ask for, whichever backend serves it."""

import json
import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from podium import bundle, paths
from podium.embedded.backend import Embedded
from podium.errors import PodiumError, UsageError
from podium.kind import engine
from podium.kind.backend import Kind, without_folder
from podium.progress import Progress
from podium.relayed import Relayed
from podium.waiting import wait_until

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

DEFAULT_NAME = "podium"
BACKENDS = ("auto", "embedded", "kind")
START_LIMIT = 900.0
"""Seconds for which a start by another process is waited for: kind may have to load images."""


class Component(Protocol):
    """One component of a cluster: https://kubernetes.io/docs/concepts/overview/components/."""

    @property
    def name(self) -> str:
        """Its name; a node's component is called ``<node>/<name>``."""

    @property
    def node(self) -> str:
        """Where it runs: a node, ``management``, or a namespace."""

    @property
    def state(self) -> str:
        """``running``, ``restarting`` (it ended unasked) or ``stopped`` (on purpose)."""

    @property
    def pid(self) -> int:
        """Its process, where it is one; 0 when it does not run."""

    @property
    def restarts(self) -> int:
        """How often it was started again after it had ended unasked."""

    @property
    def version(self) -> str:
        """Its version, in its own words."""

    @property
    def flags(self) -> dict[str, str]:
        """Its command line flags."""

    def health(self) -> bool:
        """Whether its own health check says ok."""

    def metrics(self) -> str:
        """Its metrics, in Prometheus' text format."""

    def log(self, lines: int = 50) -> str:
        """The last lines of its log."""

    def stop(self) -> None:
        """Stop it; it stays down until it is started."""

    def start(self) -> None:
        """Start it and wait until it is healthy."""

    def set_verbosity(self, level: int) -> None:
        """Let it log more or less from now on, as its flag ``--v`` would.

        Args:
            level: 0 to 10.

        Raises:
            PodiumError: It does not answer, or it is none of the components that can.
        """


class Backend(Protocol):
    """What a backend does for :class:`Cluster`, whose methods of the same names say what each means."""

    backend: str
    folder: Path

    @property
    def tracing(self) -> bool: ...
    @property
    def kubeconfig_path(self) -> Path: ...
    @property
    def kubectl_path(self) -> Path: ...
    def is_running(self) -> bool: ...
    def is_starting(self) -> bool: ...
    def up(self, count: int, owner: int | None, say: Callable[[str], object]) -> None: ...
    def down(self) -> None: ...
    def clean(self) -> None:
        """Remove what a crash left, unless the cluster runs or can be taken up."""

    def left_behind(self) -> bool:
        """Whether a crash left a cluster that can be taken up by ``up``."""

    def reset(self, say: Callable[[str], object]) -> None: ...
    def nodes(self) -> list[str]: ...
    def add_node(self, say: Callable[[str], object]) -> str: ...
    def remove_node(self, name: str) -> None: ...
    def node_exec(self, node: str, argv: list[str], stdin: bytes = b"") -> tuple[int, bytes, bytes]:
        """Exit status, standard output and standard error of a command on a node."""

    def load_image(self, archive: Path) -> None: ...
    def components(self) -> Mapping[str, Component]: ...
    def reports(self) -> list[dict[str, Any]]:
        """Name, state, pid, restarts, last_exit and since of each component."""

    def audit_lines(self) -> Iterator[str]:
        """The lines of the API server's audit log, oldest first."""

    def span_lines(self) -> Iterator[str]:
        """The spans of OpenTelemetry, one a line, oldest first."""

    def etcdctl(self) -> tuple[list[str], Path]:
        """The beginning of an etcdctl command line, and the folder it must run in."""


class Cluster:
    """A Kubernetes cluster. As a context manager it is ephemeral: it starts on entry and is gone after the block.

    Args:
        name: Its name: lower-case letters, digits and dashes, at most 32. Clusters of different names don't meet.
        nodes: How many nodes it gets when it starts, 1 to 5.
        backend: ``embedded``; ``kind``; or ``auto``: kind where a container engine answers, embedded elsewhere. Unless
            given, ``PODIUM_BACKEND``, else ``auto``. A cluster that runs already has the one that it was started with.
        tracing: Whether its API server, kubelets and containerds tell OpenTelemetry's spans, which they are told when
            they start. Unless given, whether ``PODIUM_TRACING`` is set.

    Raises:
        UsageError: The name or the backend is none.

    Example:
        >>> with Cluster("example", nodes=1) as cluster:  # doctest: +SKIP
        ...     print(cluster.kubectl("get", "nodes"))
    """

    def __init__(
        self, name: str = DEFAULT_NAME, nodes: int = 2, backend: str | None = None, tracing: bool | None = None
    ) -> None:
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?", name):
            raise UsageError(
                f"{name!r} is no name for a cluster.", "Use lower-case letters, digits and dashes, at most 32."
            )
        self.name = name
        self._count = nodes
        tracing = bool(os.environ.get("PODIUM_TRACING")) if tracing is None else tracing
        self._backend = _backend(name, backend or os.environ.get("PODIUM_BACKEND") or "auto", tracing)
        self._api: ApiClient | None = None

    def __enter__(self) -> "Cluster":
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def __repr__(self) -> str:
        return f"<Cluster {self.name!r}, {self.backend}, {'running' if self.is_running() else 'not running'}>"

    # -- life

    @property
    def backend(self) -> str:
        """``embedded`` or ``kind``."""
        return self._backend.backend

    @property
    def tracing(self) -> bool:
        """Whether its components tell OpenTelemetry's spans."""
        return self._backend.tracing

    def is_running(self) -> bool:
        """Whether the cluster runs."""
        return self._backend.is_running()

    def is_starting(self) -> bool:
        """Whether a process starts it just now, this one or another."""
        return self._backend.is_starting()

    def up(self, owner: int | None = 0, progress: Progress | None = None) -> None:
        """Start the cluster; return when its API server and all its nodes are ready. A running one is left as it is,
        one that another process starts just now is waited for, and one that a crash left is taken up as it was:
        :meth:`reset` makes it pristine.

        Args:
            owner: The process with whose end the cluster ends; 0 for this process, None for nobody: it then stays
                until :meth:`down`.
            progress: Where to show what happens.

        Raises:
            UsageError: The number of nodes is out of range.
            PodiumError: It did not start. Nothing of it is left.
        """
        say = progress.say if progress else _silent
        if self.is_starting():
            say("waiting for the process that starts it")
            wait_until(lambda: not self.is_starting(), f"another process to start cluster {self.name!r}", START_LIMIT)
        if not self.is_running() or self._backend.left_behind():
            self._backend.up(self._count, os.getpid() if owner == 0 else owner, say)

    def down(self) -> None:
        """End the cluster and everything that belongs to it. One that does not run is cleaned up after."""
        self._close()
        self._backend.down()

    def reset(self, progress: Progress | None = None) -> None:
        """Make the cluster pristine: everything that was created in it is gone, its nodes are new."""
        self._close()
        self._backend.reset(progress.say if progress else _silent)

    def _close(self) -> None:
        if self._api:
            self._api.close()
            self._api = None

    # -- nodes

    def nodes(self) -> list[str]:
        """The names of the nodes."""
        return self._backend.nodes()

    def add_node(self) -> str:
        """Add a node; return its name when it is Ready."""
        return self._backend.add_node(_silent)

    def remove_node(self, node: str) -> None:
        """Switch a node off and remove it from the cluster."""
        self._backend.remove_node(node)

    def node_exec(self, node: str, command: list[str], stdin: bytes = b"") -> str:
        """Run a command as root on a node.

        Args:
            node: The node's name.
            command: The command and its arguments; no shell.
            stdin: What it reads.

        Returns:
            What it wrote to standard output.

        Raises:
            PodiumError: It failed; what it wrote to standard error is in the message.
        """
        status, out, err = self._backend.node_exec(node, command, stdin)
        if status:
            raise PodiumError(
                f"{' '.join(command)} on {node} ended with {status}: {err.decode(errors='replace').strip()}"
            )
        return out.decode(errors="replace")

    def load_image(self, archive: str | Path) -> None:
        """Put an image archive (OCI layout or docker-archive) into the store of every node, as ``kind load`` does."""
        path = Path(archive)
        if not path.is_file():
            raise UsageError(f"There is no image archive {path}.")
        self._backend.load_image(path)

    # -- the API

    @property
    def kubeconfig_path(self) -> Path:
        """The administrator's kubeconfig."""
        return self._backend.kubeconfig_path

    @property
    def kubectl_path(self) -> Path:
        """A kubectl of the cluster's version."""
        return self._backend.kubectl_path

    @property
    def api(self) -> "ApiClient":
        """The official Python client, as the administrator: https://github.com/kubernetes-client/python."""
        if self._api is None:
            from kubernetes.config import new_client_from_config

            self._api = new_client_from_config(str(self.kubeconfig_path))
        return self._api

    def kubectl(self, *arguments: str, input: str | None = None, limit: float = 120) -> str:
        """Run kubectl.

        Args:
            arguments: Its arguments.
            input: What it reads from standard input: a manifest for ``apply -f -``.
            limit: Seconds after which it is ended.

        Returns:
            What it wrote to standard output.

        Raises:
            PodiumError: It failed; its own words are in the message.
        """
        try:
            done = subprocess.run(
                [self.kubectl_path, *arguments], input=input, text=True, capture_output=True, timeout=limit,
                env=self.environment(), check=False, stdin=subprocess.DEVNULL if input is None else None,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise PodiumError(f"kubectl {' '.join(arguments)} did not end within {limit:g} s.") from error
        if done.returncode:
            raise PodiumError(
                f"kubectl {' '.join(arguments)}: {done.stderr.strip() or f'exit status {done.returncode}'}"
            )
        return done.stdout

    def environment(self) -> dict[str, str]:
        """The environment in which ``kubectl`` is this cluster's."""
        programs, path = f"{self.kubectl_path.parent}:", os.environ.get("PATH", os.defpath)
        return os.environ | {"KUBECONFIG": str(self.kubeconfig_path), "PATH": programs + path.removeprefix(programs)}

    def exec(
        self,
        pod: str,
        command: list[str],
        namespace: str = "default",
        container: str | None = None,
        input: str | None = None,
    ) -> str:
        """Run a command in a container.

        Args:
            pod: The Pod's name.
            command: The command and its arguments; no shell.
            namespace: The Pod's namespace.
            container: The container's name; the Pod's first one unless given.
            input: What the command reads.

        Returns:
            What it wrote to standard output.

        Raises:
            PodiumError: It failed, or there is no such Pod.
        """
        flags = ["--namespace", namespace] + (["--container", container] if container else [])
        flags += ["--stdin"] if input is not None else []
        return self.kubectl("exec", pod, *flags, "--", *command, input=input)

    def logs(self, pod: str, namespace: str = "default", container: str | None = None, previous: bool = False) -> str:
        """What a container wrote to standard output and standard error.

        Args:
            pod: The Pod's name.
            namespace: The Pod's namespace.
            container: The container's name, where there are several.
            previous: The container before the last restart.
        """
        flags = ["--namespace", namespace] + (["--container", container] if container else [])
        return self.kubectl("logs", pod, *flags, *(["--previous"] if previous else []))

    @contextmanager
    def port_forward(
        self, service_or_pod_name: str, remote_port: int, *arguments: str, local_port: int | None = None
    ) -> Iterator[int]:
        """Forward a port of this machine's loopback to a Pod or a Service while the block runs.

        Args:
            service_or_pod_name: As kubectl has it: ``service/web`` or ``pod/web``.
            remote_port: The port there.
            arguments: More arguments for kubectl: ``"-n", "shop"``.
            local_port: The port here; a free one unless given.

        Yields:
            The port here.
        """
        command = [
            self.kubectl_path,
            "port-forward",
            service_or_pod_name,
            f"{local_port or ''}:{remote_port}",
            *arguments,
        ]
        with subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=self.environment(),
        ) as forwarding:  # fmt: skip
            try:
                assert forwarding.stdout
                assert forwarding.stderr
                found = re.search(r"127\.0\.0\.1:(\d+)", forwarding.stdout.readline())
                if not found:
                    raise PodiumError(f"kubectl port-forward {service_or_pod_name}: {forwarding.stderr.read().strip()}")
                port = int(found[1])
                wait_until(lambda: _listens(port), f"port {port} to be forwarded", limit=10)
                yield port
            finally:
                forwarding.kill()

    # -- the components and their records

    @property
    def components(self) -> Mapping[str, Component]:
        """Every component by name: ``kube-apiserver``, ``etcd``, ``kube-scheduler``, ``kube-controller-manager``,
        ``coredns`` and, for each node, ``<node>/kubelet``, ``<node>/kube-proxy`` and ``<node>/containerd``.
        """
        return self._backend.components()

    def audit_log(self, since: float = 0) -> Iterator[dict[str, Any]]:
        """The API server's audit log, oldest event first: https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/.

        Args:
            since: Leave out what was written before this moment, in seconds since 1970.
        """
        first = datetime.fromtimestamp(since, UTC).isoformat()
        for line in self._backend.audit_lines():
            written = line.rpartition('"stageTimestamp":"')[2]
            if written >= first and line.endswith("\n"):  # the last one may still be on its way
                yield json.loads(line)

    def spans(self, since: float = 0) -> Iterator[dict[str, Any]]:
        """OpenTelemetry's spans of API server, kubelets and containerds, in the order in which they were told.

        Each has a ``service``, a ``host`` (the node's name, or empty), a ``name``, the numbers ``trace``, ``id`` and
        ``parent``, ``start`` and ``end`` in seconds since 1970 by the clock of whoever told it, ``attributes`` and
        ``events``. A cluster that was started without tracing has none.

        Args:
            since: Leave out what began before this moment, in seconds since 1970.
        """
        for line in self._backend.span_lines():
            if line.endswith("\n") and (span := json.loads(line))["start"] >= since:
                yield span

    def etcd(self, *arguments: str) -> str:
        """Run etcdctl against the cluster's store.

        Args:
            arguments: Its arguments: ``"get", "/registry/pods/default/web", "--write-out=json"``.

        Returns:
            What it wrote to standard output.

        Raises:
            PodiumError: It failed.
        """
        command, folder = self._backend.etcdctl()
        done = subprocess.run(
            [*command, *arguments], cwd=folder, capture_output=True, timeout=60, check=False, stdin=subprocess.DEVNULL
        )
        if done.returncode:
            raise PodiumError(f"etcdctl {' '.join(arguments)}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode(errors="replace")

    @contextmanager
    def etcd_watch(self, prefix: str, revision: int) -> Iterator[Iterator[dict[str, Any]]]:
        """Watch the cluster's store while the block runs: https://etcd.io/docs/latest/learning/api/#watch-api.

        Args:
            prefix: Of the keys to watch: ``/registry/pods/``.
            revision: The first one that is told.

        Yields:
            etcd's answers as they come, each with its ``Events``. They end with the block.
        """
        command, folder = self._backend.etcdctl()
        ended = False

        def answers() -> Iterator[dict[str, Any]]:
            try:
                yield from map(json.loads, watching.stdout or ())
            except ValueError:  # closed while it was read, or half a line
                if not ended:
                    raise

        with subprocess.Popen(
            # It reads its orders from standard input, and so it ends with this process, however this one ends.
            [*command, "watch", "--interactive", "--write-out=json"], cwd=folder, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        ) as watching:  # fmt: skip
            assert watching.stdin
            try:
                print(f"watch --prefix {prefix} --rev={revision}", file=watching.stdin, flush=True)
                yield answers()
            finally:
                ended = True
                watching.kill()

    def status(self) -> dict[str, Any]:
        """What ``podium status --json`` says of it: name, backend, nodes, kubeconfig, and each component's name, state,
        pid, restarts, last_exit and since (seconds since 1970).
        """
        return {
            "name": self.name,
            "backend": self.backend,
            "nodes": self.nodes(),
            "kubeconfig": str(self.kubeconfig_path),
            "components": self._backend.reports(),
        }


def open(name: str | None = None, nodes: int = 2, owner: int | None = 0) -> Cluster:
    """The running cluster of that name, or a new one.

    Args:
        name: Its name; unless given, ``PODIUM_CLUSTER``, else ``podium``.
        nodes: How many nodes a new one gets. A running one that has fewer gets the rest.
        owner: The process with whose end a new one ends: see :meth:`Cluster.up`. In a notebook it is the notebook
            server, so that the cluster outlives a kernel's restart.

    Raises:
        PodiumError: It did not start.
    """
    cluster = Cluster(name or os.environ.get("PODIUM_CLUSTER") or DEFAULT_NAME, nodes)
    cluster.up(_server() if owner == 0 else owner)
    while len(cluster.nodes()) < nodes:
        cluster.add_node()
    return cluster


def clusters() -> list[Cluster]:
    """The clusters of this user that run. What a crashed one left behind is removed."""
    folders = sorted(path.parent for path in paths.state_dir().glob("*/cluster.json"))
    found = [Cluster(folder.name) for folder in folders]
    for cluster in found:
        cluster._backend.clean()
    return [cluster for cluster in found if cluster.is_running()]


def left_behind() -> list[str]:
    """The names of this user's clusters that a crash left: ``up`` takes one up, ``down`` removes it."""
    place = paths.state_dir()
    folders = sorted(path.parent for path in place.glob("*/cluster.json"))
    return [f.name for f in folders if Cluster(f.name)._backend.left_behind()] + without_folder(place)


def _backend(name: str, wanted: str, tracing: bool) -> Backend:
    folder = paths.state_dir() / name
    if wanted not in BACKENDS:
        raise UsageError(f"There is no backend {wanted!r}.", f"There are {', '.join(BACKENDS)}.")
    with suppress(FileNotFoundError):
        wanted = json.loads((folder / "cluster.json").read_text()).get("backend", "embedded")
    if wanted == "relayed":  # this is a sandbox
        return Relayed(name, folder)
    if wanted == "auto":
        wanted = "kind" if engine.answering() else "embedded"
    if wanted == "embedded":
        return Embedded(name, folder, bundle.current, tracing)
    return Kind(name, folder, bundle.current, bundle.kind_image_name, tracing)


def _server() -> int:
    """The process of the notebook server that started this kernel (jupyter_client sets it), else this process."""
    return int(os.environ.get("JPY_PARENT_PID") or os.getpid())


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _silent(_: str) -> None:
    return None
