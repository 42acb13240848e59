"""Every part of a cluster is killed, again and again; the cluster comes back and no Pod is lost.

A Pod's containers go on while any component is away: that is what containerd's shims are for. When the kernel of a
node is killed, and with it everything that runs on it, the node starts again and kubelet starts the Pod's containers
anew, in the same Pod. That is also so when the network is killed: nodes whose cable is gone start again.
"""

import json
import os
import random
import signal
import time
from collections.abc import Iterator

import pytest

from podium import paths
from podium.cluster import Cluster
from podium.embedded import supervisor
from podium.errors import PodiumError, WaitedTooLong
from podium.waiting import wait_until

pytestmark = [pytest.mark.all, pytest.mark.bundle]

SEED = 20240611
KILLS = 2  # of each part
NODE = "node-2"
PARTS = (
    "etcd", "kube-apiserver", "kube-scheduler", "kube-controller-manager", "netd", f"{NODE}/containerd",
    f"{NODE}/kubelet", f"{NODE}/kube-proxy", "coredns", NODE,
)  # fmt: skip
LIMIT = 180  # seconds


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster with a Pod on each of its nodes."""
    with Cluster(f"killed-{os.getpid()}", nodes=2) as running:
        for node in running.nodes():
            pod = {
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"on-{node}"},
                "spec": {"nodeName": node, "containers": [
                    {"name": "main", "image": "podium.test/busybox:1.37", "command": ["sleep", "infinity"]}
                ]},
            }  # fmt: skip
            running.kubectl("create", "-f", "-", input=json.dumps(pod))
        running.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--all-namespaces", "--timeout=180s")
        yield running


def _reports(cluster: Cluster) -> dict[str, int]:
    """The processes that the supervisor keeps, by name."""
    return {r["name"]: r["pid"] for r in supervisor.ask(paths.state_dir() / cluster.name, do="status")}


def _pods(cluster: Cluster, namespace: str = "default") -> dict[str, dict]:
    """The Pods of a namespace by name."""
    found = json.loads(cluster.kubectl("get", "pods", "-n", namespace, "-o", "json"))
    return {pod["metadata"]["name"]: pod for pod in found["items"]}


def _dns(cluster: Cluster) -> dict:
    return next(pod for name, pod in _pods(cluster, "kube-system").items() if name.startswith("coredns-"))


def _life(cluster: Cluster, part: str) -> str | int:
    """What is another one after the part was killed and started again; nothing while it is away."""
    try:
        if part == "coredns":
            return _container(_dns(cluster))
        return _reports(cluster)[part] if part in _reports(cluster) else cluster.components[part].pid
    except PodiumError:
        return 0


def _kill(cluster: Cluster, part: str) -> None:
    if part in _reports(cluster):
        os.kill(_reports(cluster)[part], signal.SIGKILL)
    elif part == "coredns":
        cluster.node_exec(_dns(cluster)["spec"]["nodeName"], ["pkill", "-KILL", "-x", "coredns"])
    else:
        cluster.node_exec(NODE, ["kill", "-KILL", str(cluster.components[part].pid)])


def _container(pod: dict) -> str:
    return pod["status"]["containerStatuses"][0].get("containerID", "")


def _ready(thing: dict) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in thing["status"]["conditions"])


def _unwell(cluster: Cluster) -> list[str]:
    """The components that are not healthy, and the nodes and Pods that are not Ready."""
    try:
        found = [component.name for component in cluster.components.values() if not component.health()]
        for kind in ("nodes", "pods"):
            things = json.loads(cluster.kubectl("get", kind, "-A", "-o", "json"))["items"]
            found += [thing["metadata"]["name"] for thing in things if not _ready(thing)]
        return found
    except PodiumError as error:
        return [str(error)]  # what would answer is away


def _reborn(cluster: Cluster, before: dict[str, dict]) -> set[str] | None:
    """The Pods whose containers are other ones than before; None while nobody can tell."""
    try:
        return {name for name, pod in _pods(cluster).items() if _container(pod) != _container(before[name])}
    except PodiumError:
        return None


def _settle(cluster: Cluster, what: str) -> None:
    try:
        wait_until(lambda: not _unwell(cluster), f"all to be well after {what} was killed", LIMIT, every=0.5)
    except WaitedTooLong as error:
        error.hint = f"Not well: {', '.join(_unwell(cluster))}"
        raise


def _uids(pods: dict[str, dict]) -> dict[str, str]:
    return {name: pod["metadata"]["uid"] for name, pod in pods.items()}


def _kill_and_settle(cluster: Cluster, part: str) -> None:
    before, life = _pods(cluster), _life(cluster, part)
    _kill(cluster, part)
    wait_until(lambda: _life(cluster, part) not in (0, "", life), f"{part} to be started again", LIMIT)
    anew = {"netd": {*before}, NODE: {f"on-{NODE}"}}.get(part, set())
    wait_until(lambda: _reborn(cluster, before) == anew, f"just {anew or 'no Pod'} to have new containers", LIMIT)
    _settle(cluster, part)
    assert _uids(_pods(cluster)) == _uids(before)
    assert _reborn(cluster, before) == anew


def test_each_part_is_killed_in_turn(cluster: Cluster) -> None:
    chance = random.Random(SEED)
    for part in chance.sample(PARTS * KILLS, len(PARTS) * KILLS):
        time.sleep(chance.uniform(0, 2))
        began = time.monotonic()
        _kill_and_settle(cluster, part)
        print(f"{part}: all was well again after {time.monotonic() - began:.1f} s", flush=True)


def test_all_processes_are_killed_at_once(cluster: Cluster) -> None:
    before = _uids(_pods(cluster))
    for pid in _reports(cluster).values():
        os.kill(pid, signal.SIGKILL)
    _settle(cluster, "everything")
    assert _uids(_pods(cluster)) == before
