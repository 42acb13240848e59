"""The kind backend of :class:`podium.cluster.Cluster`, over :class:`pytest_kind.KindCluster`."""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from node import RECIPE
from podium.embedded import controlplane, spans
from podium.embedded.components import PodComponent
from podium.embedded.files import Bundle
from podium.errors import CannotRunHere, PodiumError, UsageError, WaitedTooLong
from podium.kind import config, engine, guard
from podium.kind.components import PROXY, SERVICES, STATIC, Proxy, Service, StaticPod
from podium.kind.engine import LABEL, Engine
from podium.waiting import wait_until

if TYPE_CHECKING:
    from pytest_kind import KindCluster

MOST_NODES = 5
NODE_LIMIT = 180.0  # seconds for each node to be Ready
FIRST_MEMORY_MB, NODE_MEMORY_MB = 1200, 400  # with the control plane and room for a notebook server; each further one
NODE_DISK_MB = 1500  # a copy of the images in the node image, and what a node writes in the course
CREATE_LIMIT = 600.0  # seconds that kind is given to make a cluster
MANIFESTS = ("storage.yaml", "metrics-server.yaml")
Say = Callable[[str], object]
KindComponent = StaticPod | Proxy | Service | PodComponent

# What kind itself starts a node with: pkg/cluster/internal/providers/docker/provision.go of its source.
_RUN = (
    "--detach", "--tty", "--privileged", "--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined",
    "--tmpfs=/tmp", "--tmpfs=/run", "--volume=/var", "--volume=/lib/modules:/lib/modules:ro", "--net=kind",
    "--restart=on-failure:1", "--init=false", "--cgroupns=private", "--label=io.x-k8s.kind.role=worker",
)  # fmt: skip

_ETCDCTL = """
exec nsenter --target "$(pidof etcd)" --mount etcdctl --endpoints=https://127.0.0.1:2379 \
    --cacert=/etc/kubernetes/pki/etcd/ca.crt --cert=/etc/kubernetes/pki/etcd/server.crt \
    --key=/etc/kubernetes/pki/etcd/server.key "$@"
"""

# A node's way to the Pods of the others, and theirs to the world: what kindnet would do.
_ROUTES = """
while read -r pods node; do ip route replace "$pods" via "$node"; done
iptables -t nat -C POSTROUTING -s "$1" ! -d "$1" -j MASQUERADE 2>/dev/null ||
    iptables -t nat -A POSTROUTING -s "$1" ! -d "$1" -j MASQUERADE
"""


class Exists(PodiumError):
    """A cluster of that name runs already."""


def lacks(found: Engine, nodes: int) -> Iterator[tuple[bool, str, str]]:
    """What a cluster of so many nodes needs of the machine: whether it is short, what there is, and what would help."""
    memory, need = found.memory_mb(), FIRST_MEMORY_MB + (nodes - 1) * NODE_MEMORY_MB
    yield memory < need, f"{memory} MB of memory can be had", f"Free some: {need} MB are needed."
    space, place = found.room()
    need = nodes * NODE_DISK_MB
    hint = f"Free some: {need} MB are needed; `{found.name} system df` tells what lies there."
    yield space < need, f"{space} MB are free in {place}, where {found.name} keeps containers", hint


def without_folder(place: Path) -> list[str]:
    """The names of clusters that are this place's, and run, or lie there, without the folder that they had in it."""
    found = engine.answering()
    containers = found.call("ps", "--all", "--filter", f"label={LABEL}", "--format", "{{.Names}}") if found else ""
    ours = re.findall(r"^podium-(.+)-([0-9a-f]{6})-control-plane$", containers, re.MULTILINE)
    return [name for name, mark in ours if mark == _mark(place / name) and not (place / name / "cluster.json").exists()]


def _mark(folder: Path) -> str:
    return hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:6]


class Kind:
    """One cluster in kind.

    Args:
        name: The cluster's name.
        folder: Its folder, which need not exist.
        bundle: Finds the programs: kind and kubectl, and the images of the course.
        image: The name that the node image has where it was made by ``podium bundle kind-image``.
        tracing: Whether a new cluster tells OpenTelemetry's spans.
    """

    backend = "kind"

    def __init__(
        self, name: str, folder: Path, bundle: Callable[[], Bundle], image: Callable[[], str], tracing: bool = False
    ) -> None:
        self.name = name
        self.folder = folder
        self._find_bundle = bundle
        self._own_image = image
        self._tracing = tracing
        self._kind = f"podium-{name}-{_mark(folder)}"  # nobody else's: another user's, another folder's

    @property
    def tracing(self) -> bool:
        """Whether it tells OpenTelemetry's spans."""
        return self._state()["tracing"]

    # -- life

    @property
    def _engine(self) -> Engine:
        return Engine(self._state()["engine"])

    def is_running(self) -> bool:
        """Whether the cluster was made and its first node runs."""
        try:
            state = self._state()
        except PodiumError:
            return False
        if not state["ready"]:
            return False
        try:
            return Engine(state["engine"]).containers(self._kind).get(self._container("node-1"), False)
        except PodiumError:  # the engine does not run any more
            return False

    def is_starting(self) -> bool:
        """Whether it is being made, and whoever makes it still lives."""
        return (self.folder / "cluster.json").exists() and not self._state()["ready"] and bool(self._guarded())

    def up(self, count: int, owner: int | None, say: Say) -> None:
        """Start the cluster, or take up the one that a crash left; return when it is ready.

        Args:
            count: The number of nodes, 1 to 5. The first one runs the control plane, and Pods like the others.
            owner: The process with which the cluster ends; None for a cluster that stays until ``down``.
            say: Called with each thing that is waited for.

        Raises:
            UsageError: The number of nodes is out of range.
            CannotRunHere: No container engine can be used.
            PodiumError: It did not start; nothing of it is left.
        """
        if not 1 <= count <= MOST_NODES:
            raise UsageError(f"A cluster has 1 to {MOST_NODES} nodes, not {count}.")
        if self.left_behind():
            self._take_up(owner, say)
            return
        found = engine.find()
        for short, what, hint in lacks(found, count):
            if short:
                raise CannotRunHere(f"There is too little room here: {what}.", hint)
        bundle = self._find_bundle()
        with self._alone():
            if self.is_running() or self.is_starting():
                raise Exists(f"Another process has just started cluster {self.name!r}.", "Use it, or another name.")
            self._remove()  # what a crash may have left
            self.folder.mkdir(mode=0o700, parents=True)
            image = self._own_image()
            self._save(
                {
                    "engine": found.name, "bundle": str(bundle.path), "nodes": list(range(1, count + 1)),
                    "image": image if found.has_image(image) else "", "tracing": self._tracing, "owner": owner,
                    "ready": False,
                }
            )  # fmt: skip
            self._guard(os.getpid())
        try:
            self._create(say)
            self._save(self._state() | {"ready": True})
            self._guard(owner)
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """End everything that runs and remove the folder."""
        with self._alone():
            self._remove()

    def clean(self) -> None:
        """Remove what is left of the cluster, unless it runs, is being started or can be taken up."""
        with self._alone():
            if not self.is_running() and not self._guarded() and not self.left_behind():
                self._remove()

    def left_behind(self) -> bool:
        """Whether a crash left the cluster: it can be taken up, but does not run, or nobody is left to end it."""
        try:
            state = self._state()
            there = Engine(state["engine"]).containers(self._kind)
        except PodiumError:
            return False
        names = [self._container(f"node-{number}") for number in state["nodes"]]
        if not state["ready"] or self._guarded() or not there.keys() >= set(names):
            return False
        return state["owner"] is not None or not all(there[name] for name in names)

    def _take_up(self, owner: int | None, say: Say) -> None:
        """Let a cluster that a crash left run again, as it was, and end with its new owner."""
        say(f"taking up cluster {self.name!r}, which a crash left")
        began = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with self._alone():
            if not self.left_behind():
                raise Exists(f"Another process has just taken up cluster {self.name!r}.", "Use it.")
            self._guard(os.getpid())
            self._collect()
            there = self._engine.containers(self._kind)
            stopped = [name for name, runs in there.items() if not runs]
            if stopped:
                self._engine.call("start", *stopped)
        say("waiting for the nodes")
        try:
            wait_until(self._answers, "the API server to answer", NODE_LIMIT, every=0.3)
            self._finish(since=began if stopped else "")
        except PodiumError as error:
            self._unguard()
            error.hint = f"Remove it, it can't be used: podium down --name {self.name}"
            raise
        self._save(self._state() | {"owner": owner})
        self._guard(owner)

    def _answers(self) -> bool:
        try:
            return bool(self._api_nodes())
        except PodiumError:
            return False

    def reset(self, say: Say) -> None:
        """Make the cluster anew: same name, same number of nodes, same owner, pristine."""
        state = self._state()
        self._find_bundle()  # before anything is lost
        self._tracing = state["tracing"]
        self.down()
        self.up(len(state["nodes"]), state["owner"], say)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold off every other process that makes or removes a cluster's folder."""
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        place = os.open(self.folder.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(place, fcntl.LOCK_EX)
            yield
        finally:
            os.close(place)

    def _remove(self) -> None:
        self._unguard()
        try:
            found: Engine | None = self._engine
        except PodiumError:
            found = engine.answering()
        if found and engine.obstacle(found.name) is None:
            found.remove(f"label={LABEL}={self._kind}")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _guard(self, owner: int | None) -> None:
        """Let the cluster end with a process, and no longer with the one that it was to end with before."""
        before = self._guarded()
        if owner is not None:
            self._start_guard(owner)
        if before:
            os.kill(before, signal.SIGKILL)

    def _start_guard(self, owner: int) -> None:
        try:
            watch = os.pidfd_open(owner)
        except ProcessLookupError:
            raise UsageError(f"The owner, process {owner}, does not run.") from None
        remove = f"{self._engine.removal(f'label={LABEL}={self._kind}')}; rm -rf {shlex.quote(str(self.folder))}"
        try:
            with open(self.folder / "guard.log", "ab") as log:
                subprocess.run(
                    [sys.executable, "-I", "-S", guard.__file__, str(self.folder), str(watch), "sh", "-c", remove],
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[watch], check=True,
                )  # fmt: skip
        finally:
            os.close(watch)

    def _guarded(self) -> int:
        """The process that watches the owner; 0 where there is none."""
        try:
            pid = int((self.folder / "guard.pid").read_text())
            line = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return 0
        return pid if str(self.folder).encode() in line else 0

    def _unguard(self) -> None:
        if pid := self._guarded():
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: not self._guarded(), "the cluster's guard to end", limit=5, every=0.02)

    def _create(self, say: Say) -> None:
        state, bundle = self._state(), Bundle(Path(self._state()["bundle"]))
        mounts = {name: self._mounts(name) for name in self.nodes()}
        exchange = mounts["node-1"][config.EXCHANGE]
        (exchange / config.POLICY).write_text(json.dumps(controlplane._AUDIT_POLICY, indent=1))
        (exchange / config.TRACING).write_text(spans.api_server_settings(config.COLLECTOR))
        self._collect()
        old = self._engine.cgroup_version() == 1
        settings = self.folder / "kind.yaml"
        settings.write_text(config.cluster(self._kind, mounts, old, bool(state["image"]), state["tracing"]))
        say(f"starting {len(self.nodes())} nodes with kind in {state['engine']}")
        try:
            self._pytest_kind(bundle, state).create(settings)
        except subprocess.CalledProcessError as error:
            raise self._failed() from error
        text = self.kubeconfig_path.read_text()
        self.kubeconfig_path.write_text(text.replace(f"kind-{self._kind}", f"podium-{self.name}"))
        if not state["image"]:
            say("loading the images of the course")
            for archive in sorted(bundle.images.glob("*.tar")):
                self.load_image(archive)
        manifests = "---\n".join((RECIPE / "manifests" / manifest).read_text() for manifest in MANIFESTS)
        # kubeadm's kubelets sign their own certificates: https://kubernetes.io/docs/reference/access-authn-authz/kubelet-tls-bootstrapping/
        manifests = manifests.replace(_VERIFIED, "--kubelet-insecure-tls")
        say("waiting for the nodes")
        scale = ("scale", "deployment", "coredns", "--namespace=kube-system", "--replicas=1")
        with ThreadPoolExecutor() as pool:  # at once: each of them waits more than it works
            given = [
                pool.submit(self._kubectl, "apply", "--filename", "-", input=manifests),
                pool.submit(self._kubectl, *scale),
            ]
            self._finish()
        for each in given:
            each.result()

        def account() -> bool:
            found = self._kubectl("get", "serviceaccounts", "--namespace=default", "--output=name")
            return "serviceaccount/default" in found

        wait_until(account, "the default service account", limit=60)

    def _pytest_kind(self, bundle: Bundle, state: dict[str, Any]) -> "KindCluster":
        """pytest-kind's cluster, with our programs, and kind's words in a log."""
        from pytest_kind import KindCluster  # slow to import

        program = self.folder / "kind"
        program.write_text(
            f"#!/bin/sh\nexport {engine.PROVIDER}={state['engine']}\n"
            f'exec timeout {CREATE_LIMIT:g} {shlex.quote(str(bundle.program("kind")))} "$@"'
            f" 2>>{shlex.quote(str(self.folder / 'kind.log'))}\n"
        )
        program.chmod(0o700)
        with contextlib.chdir(self.folder):  # it makes a folder where it is
            return KindCluster(
                self._kind, self.kubeconfig_path, state["image"] or config.IMAGE, program, self.kubectl_path
            )

    def _failed(self) -> PodiumError:
        log = (self.folder / "kind.log").read_text(errors="replace")
        if "failed to pull image" in log or "Unable to find image" in log:
            return PodiumError(
                "The node image can't be pulled: this machine does not reach its registry.",
                "Make one here: `podium bundle kind-image`; or take the embedded backend: --backend embedded",
            )
        last = "\n".join(log.strip().splitlines()[-12:])
        return PodiumError(f"kind could not make the cluster:\n{last}", "`podium doctor` may know why.")

    def _finish(self, since: str = "") -> None:
        """Wait for what kind does not wait for, and give the nodes their ways to each other.

        Args:
            since: Believe only what a kubelet has said from this moment on, as Kubernetes writes it.
        """
        nodes = self._wait_nodes(lambda node: "podCIDR" in node["spec"], "the nodes to have their Pods' addresses")
        if self._state()["image"]:
            self._route(nodes)
        self._wait_nodes(lambda node: _is_ready(node, since), "the nodes to be Ready")

    def _wait_nodes(self, good: Callable[[dict[str, Any]], bool], what: str) -> list[dict[str, Any]]:
        def all_good() -> list[dict[str, Any]]:
            found = self._api_nodes()
            return found if len(found) == len(self.nodes()) and all(map(good, found)) else []

        try:
            return wait_until(all_good, what, NODE_LIMIT, every=0.2)
        except WaitedTooLong as error:
            error.hint = f"What the first node's kubelet says: {self.components()['node-1/kubelet'].log(5)}"
            raise

    def _route(self, nodes: list[dict[str, Any]]) -> None:
        at = {node["metadata"]["name"]: (node["spec"]["podCIDR"], _address(node)) for node in nodes}

        def tell(name: str) -> None:
            ways = "".join(f"{pods} {address}\n" for other, (pods, address) in at.items() if other != name)
            self._on(name, ["sh", "-c", _ROUTES, "sh", config.PODS], ways.encode())

        with ThreadPoolExecutor() as pool:
            list(pool.map(tell, at))

    def _on(self, node: str, argv: list[str], stdin: bytes = b"") -> str:
        status, out, err = self.node_exec(node, argv, stdin)
        if status:
            raise PodiumError(f"{argv[0]} on {node} ended with {status}: {(err or out).decode().strip()}")
        return out.decode()

    def _kubectl(self, *argv: str, input: str | None = None) -> str:
        done = subprocess.run(
            [self.kubectl_path, "--request-timeout=20s", *argv], input=input, capture_output=True, text=True,
            timeout=90, env=os.environ | {"KUBECONFIG": str(self.kubeconfig_path)}, check=False,
            stdin=subprocess.DEVNULL if input is None else None,
        )  # fmt: skip
        if done.returncode:
            raise PodiumError(f"kubectl {' '.join(argv[:3])}: {done.stderr.strip()}")
        return done.stdout

    def _api_nodes(self) -> list[dict[str, Any]]:
        return json.loads(self._kubectl("get", "nodes", "--output=json"))["items"]

    # -- nodes

    def nodes(self) -> list[str]:
        """The nodes' names."""
        return [f"node-{number}" for number in self._state()["nodes"]]

    def _container(self, node: str) -> str:
        """The container of a node, as kind names it."""
        number = int(node.removeprefix("node-"))
        role = {1: "control-plane", 2: "worker"}.get(number, f"worker{number - 1}")
        return f"{self._kind}-{role}"

    def _exchange(self, node: str) -> Path:
        """The only folder of this machine that a node sees: what is for the node to read."""
        folder = self.folder / node
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def _mounts(self, node: str) -> dict[str, Path]:
        """What a node sees of this machine, by where it sees it. It can change none of it."""
        mounts = {config.EXCHANGE: self._exchange(node)}
        if self.tracing:
            (unit := self.folder / f"{node}.conf").write_text(config.node_tracing(node))
            mounts |= {config.SPANS: self.folder / "spans"} | dict.fromkeys(config.UNITS, unit)
        return mounts

    def _collect(self) -> None:
        """Run a collector of spans, where there is to be one. It ends with the folder, or when another one begins."""
        if not self.tracing:
            return
        (folder := self.folder / "spans").mkdir(mode=0o700, exist_ok=True)
        with (self.folder / "collector.log").open("ab") as log:
            subprocess.run(
                ["sh", "-c", '"$@" &', "sh", sys.executable, "-m", spans.__name__, "."], cwd=folder,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, check=True,
            )  # fmt: skip

    def add_node(self, say: Say) -> str:
        """Add a node; return its name when it is Ready."""
        state = self._state()
        free = sorted(set(range(1, MOST_NODES + 1)) - set(state["nodes"]))
        if not free:
            raise UsageError(f"A cluster has at most {MOST_NODES} nodes.", "Remove one first.")
        name = f"node-{free[0]}"
        container = self._container(name)
        image = self._engine.call("inspect", "--format", "{{.Image}}", self._container("node-1")).strip()
        labels = (f"--name={container}", f"--hostname={container}", f"--label={LABEL}={self._kind}")
        say(f"waiting for {name}")
        try:
            mounts = [f"--volume={path}:{place}:ro" for place, path in self._mounts(name).items()]
            self._engine.call("run", *_RUN, *labels, *mounts, image, limit=120)
            self._save(state | {"nodes": sorted([*state["nodes"], free[0]])})
            wait_until(
                lambda: self.node_exec(name, ["test", "-S", "/run/containerd/containerd.sock"])[0] == 0,
                f"{name}'s containerd", limit=60,
            )  # fmt: skip
            self._on(name, ["sh", "-c", "cat >/kind/kubeadm.conf"], self._join_settings(name, container).encode())
            self._on(name, ["kubeadm", "join", "--config=/kind/kubeadm.conf"])
            self._finish()
        except BaseException:
            self._save(state)
            self._engine.remove(f"name=^{container}$")
            raise
        return name

    def _join_settings(self, name: str, container: str) -> str:
        """The settings with which a node joins, made from the first one's."""
        import yaml

        documents = yaml.safe_load_all(self._on("node-1", ["cat", "/kind/kubeadm.conf"]))
        join = next(document for document in documents if document["kind"] == "JoinConfiguration")
        join.pop("controlPlane", None)
        network = '{{(index .NetworkSettings.Networks "kind").IPAddress}}'
        own = {
            "node-ip": self._engine.call("inspect", "--format", network, container).strip(),
            "provider-id": f"kind://{self._engine.name}/{self._kind}/{container}",
        }
        registration = join["nodeRegistration"]
        registration["name"] = name
        for argument in registration["kubeletExtraArgs"]:
            argument["value"] = own.get(argument["name"], argument["value"])
        join["discovery"]["bootstrapToken"]["token"] = self._on("node-1", ["kubeadm", "token", "create"]).strip()
        return yaml.safe_dump(join)

    def remove_node(self, name: str) -> None:
        """Remove a node and its Node object."""
        self._check(name)
        if name == "node-1":
            raise UsageError("node-1 runs the control plane.", "Remove another node, or end the cluster: podium down")
        state = self._state()
        self._engine.remove(f"name=^{self._container(name)}$")
        self._kubectl("delete", "node", name)
        self._save(state | {"nodes": [number for number in state["nodes"] if f"node-{number}" != name]})

    def node_exec(self, node: str, argv: list[str], stdin: bytes | Iterable[bytes] = b"") -> tuple[int, bytes, bytes]:
        """Run a command as root on a node: its exit status, standard output and standard error."""
        self._check(node)
        return self._engine.execute(self._container(node), argv, stdin)

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

    def _check(self, node: str) -> None:
        if node not in self.nodes():
            raise UsageError(f"There is no node {node!r}.", f"The nodes are {', '.join(self.nodes())}.")

    # -- what runs

    @property
    def kubeconfig_path(self) -> Path:
        """The administrator's kubeconfig."""
        return self.folder / "kubeconfig"

    @property
    def kubectl_path(self) -> Path:
        """kubectl, of the cluster's version."""
        made = (self.folder / "cluster.json").exists()
        return (Bundle(Path(self._state()["bundle"])) if made else self._find_bundle()).program("kubectl")

    def etcdctl(self) -> tuple[list[str], Path]:
        """The beginning of an etcdctl command line with this cluster's credentials, and the folder it must run in."""
        return self._engine.exec_command(self._container("node-1"), "sh", "-c", _ETCDCTL, "etcdctl"), self.folder

    def audit_lines(self) -> Iterator[str]:
        """The lines of the API server's audit log, oldest first."""
        folder, name = os.path.split(config.AUDIT_LOG)
        show = f"cat {folder}/{name.removesuffix('.log')}-*.log {config.AUDIT_LOG} 2>/dev/null || true"
        yield from self._on("node-1", ["sh", "-c", show]).splitlines(keepends=True)

    def span_lines(self) -> Iterator[str]:
        """What the collector of spans has written, oldest first; nothing in a cluster without tracing."""
        return spans.lines(self.folder / "spans")

    def components(self) -> dict[str, KindComponent]:
        """Every component by its name; those of a node as ``<node>/<name>``."""

        def run(node: str) -> Callable[..., tuple[int, bytes, bytes]]:
            return lambda argv, stdin=b"": self.node_exec(node, argv, stdin)

        found: dict[str, KindComponent] = {name: StaticPod(run("node-1"), self._kubectl, name) for name in STATIC}
        for node in self.nodes():
            for name in SERVICES:
                found[f"{node}/{name}"] = Service(run(node), self._kubectl, node, name, f"{node}/{name}")
            found[f"{node}/{PROXY}"] = Proxy(run(node), self._kubectl, node, PROXY, f"{node}/{PROXY}")
        found["coredns"] = PodComponent(self.kubeconfig_path, self.kubectl_path)
        return found

    def reports(self) -> list[dict[str, Any]]:
        """What runs: name, state, pid, restarts, last_exit, since (seconds since 1970) of each component."""
        found = []
        for name, component in self.components().items():
            if isinstance(component, PodComponent):
                continue
            try:
                found.append(component.report())
            except PodiumError as error:
                nothing = {"pid": 0, "restarts": 0, "last_exit": error.what, "since": 0.0}
                found.append({"name": name, "state": "unreachable"} | nothing)
        return found

    def _state(self) -> dict[str, Any]:
        try:
            return json.loads((self.folder / "cluster.json").read_text())
        except FileNotFoundError:
            raise PodiumError(f"There is no cluster {self.name!r}.", "Start one: podium up") from None

    def _save(self, state: dict[str, Any]) -> None:
        new = self.folder / "cluster.json.new"
        new.write_text(json.dumps(state | {"backend": self.backend, "saved": time.time()}, indent=1))
        new.rename(self.folder / "cluster.json")


_VERIFIED = "--kubelet-certificate-authority=/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"


def _is_ready(node: dict[str, Any], since: str) -> bool:
    conditions = node["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" and c["lastHeartbeatTime"] >= since for c in conditions)


def _address(node: dict[str, Any]) -> str:
    return next(each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP")
