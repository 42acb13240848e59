"""Podium's own figures, measured here: nothing in the documentation is typed in by hand."""

import json
import os
import platform
import random
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import combinations_with_replacement
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from podium import bundle
from podium.cluster import Cluster
from podium.errors import PodiumError
from podium.kind import config, engine
from podium.machine import control_groups
from podium.waiting import wait_until

KIND_MAY_ADD_S, EMBEDDED_PART = 2.0, 0.4
SETTLE_S, IDLE_S = 60.0, 20.0  # before idle CPU is measured (add-ons start for half a minute), and for how long
PAIRS = 25  # of Pods, one with a trace on and one without
RELIST_S = 1.0  # a kubelet lists all its containers once in so many seconds: no pair may keep step with it
UNITS = {
    "first_pod_s": "nothing to first Pod Ready, one node (s)",
    "node_s": "one more node (s)",
    "reset_s": "reset to a pristine cluster, two nodes (s)",
    "down_s": "down, two nodes (s)",
    "memory_mb": "memory charged, one node (MB)",
    "idle_cpu_percent": "idle, one node (% of a core)",
    "traced_percent": "a Pod gets Ready later with a trace on (%)",
}

_POD = """
apiVersion: v1
kind: Pod
metadata: {name: first}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {name: main, image: "podium.test/busybox:1.37", command: [sleep, infinity]}
"""


def measure(runs: int, say: Callable[[str], object]) -> dict[str, Any]:
    """Measure everything.

    Args:
        runs: How often; the figures are lists of that length.
        say: Called with what is done.

    Returns:
        ``{"embedded": {figure: [...]}, "kind": {...}, "plain": {...}, "machine": {...}}``, the figures as in
        :data:`UNITS`. ``plain`` is kind by itself, which has some of them; both are None where no engine answers.
    """
    found = engine.answering()
    measures: dict[str, Callable[[], dict[str, float]]] = {"embedded": partial(_one_run, "embedded")}
    if found:
        measures |= {"kind": partial(_one_run, "kind"), "plain": partial(_plain_run, found)}
    figures: dict[str, dict[str, list[float]] | None] = {"kind": None, "plain": None}
    for run in range(runs):
        for backend, measure_one in measures.items():
            say(f"{backend}, run {run + 1} of {runs}")
            for name, value in measure_one().items():
                known = figures[backend] = figures.get(backend) or {}
                known.setdefault(name, []).append(round(value, 2))
    machine = {
        "kernel": platform.release(),
        "processors": len(os.sched_getaffinity(0)),
        "load_before": round(os.getloadavg()[0], 2),
        "memory_by": "control group" if _memory_controller() else "proportional set size",
    }
    return figures | {"machine": machine}


def median(figures: dict[str, list[float]]) -> dict[str, float]:
    """The median of each figure."""
    return {name: statistics.median(values) for name, values in figures.items()}


def bars(found: dict[str, Any]) -> Iterator[tuple[bool, str]]:
    """What Podium promises of its two backends, as far as it was measured: whether it holds, and the figures.

    Args:
        found: What :func:`measure` has returned.
    """
    if not found["kind"]:
        return
    embedded, kind, plain = (median(found[name]) for name in ("embedded", "kind", "plain"))
    for name, bare in plain.items():
        most = bare + KIND_MAY_ADD_S
        words = f"{UNITS[name]}: kind {kind[name]:g}, plain kind {bare:g}; at most {KIND_MAY_ADD_S:g} more"
        yield kind[name] <= most, words
    part = embedded["first_pod_s"] / kind["first_pod_s"]
    words = f"{UNITS['first_pod_s']}: embedded {part:.2f} of kind; at most {EMBEDDED_PART:g}"
    yield part <= EMBEDDED_PART, words


def _plain_run(found: engine.Engine) -> dict[str, float]:
    """The same with ``kind create cluster`` and ``kind delete cluster`` alone, with the same node image."""
    here, name = bundle.current(), f"bench-plain-{os.getpid()}"
    own = bundle.kind_image_name()
    image = own if found.has_image(own) else config.IMAGE
    with TemporaryDirectory(prefix="podium-bench-") as place:
        environment = os.environ | {engine.PROVIDER: found.name, "KUBECONFIG": f"{place}/kubeconfig"}

        def call(program: str, *arguments: str, input: str = "", check: bool = True) -> bool:
            done = subprocess.run(
                [here.program(program), *arguments], env=environment, input=input, text=True, capture_output=True,
                timeout=600, check=False,
            )  # fmt: skip
            if done.returncode and check:
                raise PodiumError(f"{program} {' '.join(arguments[:2])} failed: {done.stderr.strip()}")
            return not done.returncode

        def create(nodes: int) -> None:
            settings = config.plain(nodes, found.cgroup_version() == 1)
            call("kind", "create", "cluster", "--name", name, "--image", image, "--config=-", input=settings)
            if image != own:
                call("kind", "load", "image-archive", "--name", name, str(here.images / "busybox.tar"))
            account = ("get", "serviceaccount", "default")
            wait_until(lambda: call("kubectl", *account, check=False), "the default service account", limit=60)

        def ready() -> None:
            """Wait for what Podium's cluster has waited for: there is less to end where nodes have not begun."""
            call("kubectl", "wait", "--for=condition=Ready", "nodes", "--all", "--timeout=90s")

        def delete() -> None:
            call("kind", "delete", "cluster", "--name", name)

        try:
            began = time.monotonic()
            create(1)
            call("kubectl", "apply", "-f", "-", input=_POD)
            call("kubectl", "wait", "--for=condition=Ready", "pod/first", "--timeout=90s")
            first_pod = time.monotonic() - began
            delete()
            create(2)
            ready()
            began = time.monotonic()
            delete()
            create(2)
            ready()
            reset = time.monotonic() - began
        finally:
            began = time.monotonic()
            delete()
            down = time.monotonic() - began
    return {"first_pod_s": first_pod, "reset_s": reset, "down_s": down}


def _one_run(backend: str) -> dict[str, float]:
    cluster = Cluster(f"bench-{os.getpid()}", nodes=1, backend=backend)
    with _charged(backend) as charged:
        try:
            began = time.monotonic()
            cluster.up()
            cluster.kubectl("apply", "-f", "-", input=_POD)
            cluster.kubectl("wait", "--for=condition=Ready", "pod/first", "--timeout=90s")
            first_pod = time.monotonic() - began
            time.sleep(SETTLE_S)
            before, began = _cpu_seconds(cluster), time.monotonic()
            time.sleep(IDLE_S)
            idle = 100 * (_cpu_seconds(cluster) - before) / (time.monotonic() - began)
            memory = charged(cluster)
            traced = traced_percent(cluster, PAIRS)
            began = time.monotonic()
            cluster.add_node()
            node = time.monotonic() - began
            began = time.monotonic()
            cluster.reset()
            reset = time.monotonic() - began
        finally:
            began = time.monotonic()
            cluster.down()
            down = time.monotonic() - began
    return {
        "first_pod_s": first_pod, "node_s": node, "reset_s": reset, "down_s": down, "memory_mb": memory,
        "idle_cpu_percent": idle, "traced_percent": traced,
    }  # fmt: skip


def traced_percent(cluster: Cluster, pairs: int) -> float:
    """By how much later a Pod gets Ready with a trace on, in % of the median without one.

    Pairs, of which each kind begins in turn, at any moment of the kubelet's own rhythm, which makes up most of how much
    they differ. The estimate is Hodges and Lehmann's: the median of the differences' averages, two by two.
    """
    import yaml

    from podium.trace import trace_pod

    plain, later = [], []
    for pair in range(pairs):
        manifest = yaml.safe_load(_POD)
        took = {}
        for traced in (pair % 2 == 0, pair % 2 == 1):
            time.sleep(random.uniform(0, RELIST_S))
            manifest["metadata"]["name"] = name = f"pair-{pair}-{'traced' if traced else 'plain'}"
            if traced:
                took[traced] = _to_ready(cluster, name, partial(trace_pod, manifest, cluster))
            else:
                took[traced] = _to_ready(
                    cluster, name, partial(cluster.kubectl, "create", "-f", "-", input=json.dumps(manifest))
                )
            cluster.kubectl("delete", "pod", name)
        plain.append(took[False])
        later.append(took[True] - took[False])
    averages = [statistics.mean(two) for two in combinations_with_replacement(later, 2)]
    return 100 * statistics.median(averages) / statistics.median(plain)


def _to_ready(cluster: Cluster, name: str, create: Callable[[], object]) -> float:
    """Seconds from the first sight of a Pod to its being Ready, both by one watch. ``create`` runs meanwhile."""
    from kubernetes.client import CoreV1Api
    from kubernetes.watch import Watch

    core, watch = CoreV1Api(cluster.api), Watch()
    version = core.list_namespaced_pod("default").metadata.resource_version
    with ThreadPoolExecutor(1) as pool:
        created = pool.submit(create)
        began = 0.0
        for event in watch.stream(
            core.list_namespaced_pod, "default", field_selector=f"metadata.name={name}", resource_version=version,
            timeout_seconds=90,
        ):  # fmt: skip
            began = began or time.monotonic()
            if any(c.type == "Ready" and c.status == "True" for c in event["object"].status.conditions or []):
                took = time.monotonic() - began
                watch.stop()
                created.result()
                return took
    raise PodiumError(f"Pod {name} was not Ready within 90 s.", f"See why: podium kubectl -- describe pod {name}")


def _tree(cluster: Cluster) -> Iterator[Path]:
    """The folders in /proc of the cluster's processes and all their descendants, user-mode Linux's own among them."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        children.setdefault(parent, []).append(int(stat.parent.name))
    waiting = [
        report["pid"] for report in cluster.status()["components"] if "/" not in report["name"] and report["pid"]
    ]
    while waiting:
        pid = waiting.pop()
        waiting += children.get(pid, [])
        yield Path(f"/proc/{pid}")


def _container_group(cluster: Cluster, controller: str, names: Sequence[str]) -> str:
    """What one of these files says of the container that is the cluster's only node, in kind."""
    found = engine.find()
    container = found.call("ps", "--quiet", "--filter", f"name={cluster.name}-").strip()
    pid = int(found.call("inspect", "--format", "{{.State.Pid}}", container))
    # The first process moves into a group below that of its container, which is the one with the container's number.
    groups = (group for group in control_groups(pid, controller) if container in group.name)
    files = (group / name for group in groups for name in names)
    return next(file for file in files if file.exists()).read_text()


def _cpu_seconds(cluster: Cluster) -> float:
    if cluster.backend == "kind":
        used = _container_group(cluster, "cpuacct", ("cpuacct.usage", "cpu.stat"))
        return int(used) / 1e9 if used.strip().isdigit() else int(used.split()[1]) / 1e6  # usage_usec comes first
    ticks = 0
    for process in _tree(cluster):
        try:
            fields = (process / "stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        ticks += sum(int(field) for field in fields[11:15])  # utime, stime, and those of children that were waited for
    return ticks / os.sysconf("SC_CLK_TCK")


def _memory_controller() -> Path | None:
    """The folder in which this process may make a memory control group."""
    for folder in (Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")):
        counted = (folder / "memory.usage_in_bytes").exists() or "memory" in _read(folder / "cgroup.subtree_control")
        if counted and os.access(folder, os.W_OK):
            return folder
    return None


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@contextmanager
def _charged(backend: str) -> Iterator[Callable[[Cluster], float]]:
    """Yields how many MB are charged for a cluster that is started in the block, the page cache that it fills included.

    A page of a file that was cached before is charged to whoever read it first: on a machine that has just run another
    cluster the figure is lower than after a start.

    Where no control group can be made, the proportional set sizes of its processes are added up instead. In kind, the
    engine has made one for the node.
    """
    if backend == "kind":
        names = ("memory.usage_in_bytes", "memory.current")
        yield lambda cluster: int(_container_group(cluster, "memory", names)) / 2**20
        return
    controller = _memory_controller()
    if controller is None:
        yield lambda cluster: sum(_pss_kb(process) for process in _tree(cluster)) / 1024
        return
    group = controller / f"podium-bench-{os.getpid()}"
    group.mkdir()
    usage = next(group / name for name in ("memory.usage_in_bytes", "memory.current") if (group / name).exists())
    previous = next(
        (
            line.split(":", 2)[2]
            for line in _read(Path("/proc/self/cgroup")).splitlines()
            if ":memory:" in line or line[0] == "0"
        ),
        "/",
    )
    home = controller / previous.lstrip("/") / "cgroup.procs"
    try:
        (group / "cgroup.procs").write_text(str(os.getpid()))
        yield lambda _: int(usage.read_text()) / 2**20
    finally:
        home.write_text(str(os.getpid()))
        wait_until(lambda: not _read(group / "cgroup.procs").strip(), "the processes of the run to end", limit=10)
        group.rmdir()


def _pss_kb(process: Path) -> int:
    try:
        rollup = (process / "smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
