"""The checks of lab 01, Architecture detective."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from kubernetes.client import CoordinationV1Api, V1Pod

from autograder.checks import Criterion, Verdict, task
from autograder.cluster import REQUEST_LIMIT, START_LIMIT, View, is_ready, state_of

T = TypeVar("T")

_AT_WORK = 30.0
"""Seconds after which a component that runs has done what it has to do, on a busy machine too."""

_TRIES = 8
"""How often somebody who asks again and again has to ask in vain until that is taken for good: the busier the machine,
the longer that takes."""

_SILENT = timedelta(seconds=25)
"""How long a kubelet says nothing before it is taken to be dead: it renews its lease every 10 s
(https://kubernetes.io/docs/concepts/architecture/leases/#node-heart-beats)."""

_NODE = Criterion("node", 1, "The note says on which node.", "kubectl get pods -o wide; kubectl get nodes")


def _named(case: int, look: str) -> Criterion:
    return Criterion("named", 1, f"The ConfigMap case-{case} says under component which one is broken.", look)


@task(
    "01.1",
    *(
        Criterion(
            name,
            1,
            f"The ConfigMap case-1 says under {name} who {did}.",
            "kubectl get events -o wide: the column SOURCE",
        )
        for name, did in (
            ("replicaset", "made the ReplicaSet of the Deployment case"),
            ("pod", "made its Pod"),
            ("node", "chose the Pod's node"),
            ("container", "started its container"),
        )
    ),
)
def witnesses(view: View) -> Iterator[Verdict]:
    """Who did what, when all is well."""
    if view.deployment("case") is None:
        return
    runs = bool(view.settles(lambda: view.became("deployment/case")))
    known = {
        "replicaset": {"deployment-controller", "controller-manager"},
        "pod": {"replicaset-controller", "controller-manager"},
        "node": {"default-scheduler", "scheduler"},
        "container": {"kubelet"},
    }
    note = view.config_map("case-1")
    for name, right in known.items():
        said = _component(note.get(name, ""))
        yield Verdict(
            name, runs and said in right, f"It says {said!r}." if runs else "The Deployment case does not run."
        )


@task(
    "01.2",
    _named(2, "kubectl describe pod stranded: which events are not there?"),
    Criterion(
        "by-hand",
        2,
        "A Pod urgent runs, though no scheduler has placed it.",
        "kubectl get pod urgent -o wide; kubectl get events --field-selector involvedObject.name=urgent",
    ),
    Criterion("mended", 2, "The scheduler has placed the Pod stranded, which runs.", "kubectl describe pod stranded"),
)
def scheduler(view: View) -> Iterator[Verdict]:
    """Nobody places a Pod."""
    yield _verdict(view, 2, "component", {"scheduler"}, "named")
    urgent = view.pod("urgent")
    runs = urgent is not None and bool(view.settles(lambda: (pod := view.pod("urgent")) and is_ready(pod)))
    placed = urgent is not None and _scheduled(view, urgent)
    yield Verdict(
        "by-hand", runs and not placed, "The scheduler placed it." if placed else state_of(view.pod("urgent"))
    )
    there = view.pod("stranded") is not None
    found = there and _within(_AT_WORK, lambda: (pod := view.pod("stranded")) and pod.spec.node_name and pod)
    runs = bool(found) and bool(view.settles(lambda: (pod := view.pod("stranded")) and is_ready(pod)))
    # Who has just placed a Pod says so a moment later.
    placed = runs and bool(_within(_AT_WORK, lambda: _scheduled(view, found)))
    found = "No scheduler placed it." if runs and not placed else state_of(view.pod("stranded"))
    yield Verdict("mended", placed, found)


@task(
    "01.4",
    _named(4, "kubectl describe deployment stall: which events are not there?"),
    Criterion(
        "missing",
        1,
        "It says under missing which kind of object should have come first and is not there.",
        "kubectl get deployments,replicasets,pods",
    ),
    Criterion("mended", 1, "The Deployment stall has all Pods that it is to have.", "kubectl get deployment stall"),
    Criterion(
        "wish",
        2,
        "These are three, and three was the first number that its controller heard of.",
        "kubectl describe deployment stall: Events",
    ),
)
def manager(view: View) -> Iterator[Verdict]:
    """A Deployment of which nothing comes."""
    yield _verdict(view, 4, "component", {"controller-manager"}, "named")
    missing = view.config_map("case-4").get("missing", "").strip().lower().replace(" ", "")
    yield Verdict("missing", missing in ("replicaset", "replicasets", "rs"), f"It says {missing!r}.")

    def seen() -> bool:
        deployment = view.deployment("stall")
        return bool(deployment) and deployment.status.observed_generation == deployment.metadata.generation

    def complete() -> bool:
        # "Available" alone could be told of Pods that somebody made by hand: the controller has to have seen them.
        return seen() and view.became("deployment/stall") == "runs"

    there = view.deployment("stall") is not None
    mended = there and bool(_within(_AT_WORK, seen)) and bool(view.settles(complete))
    deployment = view.deployment("stall")
    count = (deployment and deployment.status.available_replicas) or 0
    wanted = deployment.spec.replicas if deployment else 0
    yield Verdict("mended", mended, f"It has {count} of {wanted} Pods.")
    told = [event.message or "" for event in _events(view, deployment, "ScalingReplicaSet")] if deployment else []
    wish = mended and wanted == 3 and len(told) == 1 and told[0].endswith("to 3")
    yield Verdict("wish", wish, f"Its controller said: {'; '.join(told) or 'nothing'}.")


@task(
    "01.5",
    _named(5, "kubectl get pods -o wide; kubectl describe node NAME: Conditions"),
    _NODE,
    Criterion(
        "verdict",
        1,
        "It says under ready what the cluster says of that node's condition Ready, a minute later.",
        "kubectl get node NAME -o yaml: status.conditions",
    ),
    Criterion(
        "mended", 2, "The DaemonSet watch has a Pod on every node, and all are ready.", "kubectl get pods -o wide"
    ),
)
def kubelet(view: View) -> Iterator[Verdict]:
    """A node that falls silent."""
    yield _verdict(view, 5, "component", {"kubelet"}, "named")
    yield _verdict(view, 5, "node", {_broken_node(view)})
    said = view.config_map("case-5").get("ready", "").strip()
    yield Verdict("verdict", said.lower() == "unknown", f"It says {said!r}.")
    nodes = _nodes(view)
    leases = CoordinationV1Api(view.core.api_client)

    def manned() -> set[str]:
        return {pod.spec.node_name for pod in view.pods("app=watch").values() if is_ready(pod)}

    def awake() -> bool:
        lease = leases.read_namespaced_lease(_broken_node(view), "kube-node-lease", _request_timeout=REQUEST_LIMIT)
        return datetime.now(UTC) - lease.spec.renew_time < _SILENT

    if manned() != nodes and _within(_AT_WORK, awake):
        view.settles(lambda: manned() == nodes or not awake())
    ready = manned()
    yield Verdict("mended", ready == nodes, f"Ready on: {_list(ready)}; not on: {_list(nodes - ready)}.")


@task(
    "01.6",
    _named(6, "kubectl logs of each customer; which of them are lost?"),
    _NODE,
    Criterion(
        "address",
        1,
        "It says under address, yes or no, whether that node's customer reached the Pod web by its own address.",
        "kubectl exec CUSTOMER -- wget -q -O - http://ADDRESS",
    ),
    Criterion("mended", 2, "The customers of every node are served.", "kubectl logs CUSTOMER --tail=3"),
)
def proxy(view: View) -> Iterator[Verdict]:
    """A Service that leads nowhere, from one of the nodes."""
    yield _verdict(view, 6, "component", {"proxy"}, "named")
    yield _verdict(view, 6, "node", {_broken_node(view)})
    yield _verdict(view, 6, "address", {"yes", "true", "works"})
    yield _everywhere(view, "customers", "served")


@task(
    "01.7",
    Criterion(
        "innocent",
        1,
        "The ConfigMap case-7 says none under component: every component does its work.",
        "kubectl logs of each driver; kubectl get endpointslices; kubectl exec DRIVER -- nslookup depot",
    ),
    Criterion(
        "flag",
        1,
        "It says under flag which flag of the depot's program is wrong.",
        "kubectl logs deployment/depot; kubectl describe service depot: TargetPort",
    ),
    Criterion("mended", 2, "The drivers of every node arrive.", "kubectl logs DRIVER --tail=3"),
)
def depot(view: View) -> Iterator[Verdict]:
    """A wrong flag, and nobody else to blame."""
    yield _verdict(view, 7, "component", {"none", "nobody", "no"}, "innocent")
    flag = view.config_map("case-7").get("flag", "").strip().lstrip("-").replace("=", " ").partition(" ")[0]
    yield Verdict("flag", flag == "http-port", f"It says {flag!r}.")
    yield _everywhere(view, "drivers", "arrived")


def _verdict(view: View, case: int, key: str, right: set[str], name: str = "") -> Verdict:
    """Whether what is noted of a case is right."""
    said = view.config_map(f"case-{case}").get(key, "")
    holds = (_component(said) if key == "component" else said.strip().lower()) in right
    return Verdict(name or key, holds, f"It says {said!r}." if said else "It says nothing.")


def _component(said: str) -> str:
    """A component as it may be called: ``kube-proxy``, ``node-1/kube-proxy``, ``Proxy``."""
    return said.strip().lower().replace(" ", "-").rpartition("/")[2].removeprefix("kube-")


def _within(limit: float, condition: Callable[[], T]) -> T | None:
    """What ``condition`` returns once that is true; None if it does not come to that within so many seconds."""
    deadline = time.monotonic() + limit
    while not (result := condition()):
        if time.monotonic() > deadline:
            return None
        time.sleep(0.5)
    return result


def _events(view: View, of: object, reason: str) -> list:
    """The events of this reason about this very object, and not about one that had its name before."""
    about = of.metadata
    return [event for event in view.events(about.name, reason) if event.involved_object.uid == about.uid]


def _scheduled(view: View, pod: V1Pod) -> bool:
    """Whether a scheduler says that it has placed the Pod."""
    return bool(_events(view, pod, "Scheduled"))


def _nodes(view: View) -> set[str]:
    return {node.metadata.name for node in view.core.list_node(_request_timeout=REQUEST_LIMIT).items}


def _broken_node(view: View) -> str:
    """The node on which :func:`autograder.faults.inject` breaks what belongs to a node."""
    return max(_nodes(view))


def _everywhere(view: View, app: str, word: str) -> Verdict:
    """Whether the Pods of ``app``, one on each node, all come to write this word last."""
    nodes = _nodes(view)
    began, first = time.monotonic(), _written(view, app)

    def well() -> set[str]:
        return {node for node, lines in _written(view, app).items() if lines[-1:] == [word]}

    def in_vain() -> bool:
        now = _written(view, app)
        tries = [len(lines) - len(first.get(node, [])) for node, lines in now.items() if lines[-1:] != [word]]
        return time.monotonic() - began > _AT_WORK and min(tries, default=_TRIES) >= _TRIES

    if first:
        _within(START_LIMIT, lambda: well() == nodes or in_vain())
    done = well()
    return Verdict("mended", done == nodes, f"{word.capitalize()} on: {_list(done)}; not on: {_list(nodes - done)}.")


def _written(view: View, app: str) -> dict[str, list[str]]:
    """The lines that the Pod of ``app`` on each node has written."""
    pods = view.pods(f"app={app}").items()
    return {pod.spec.node_name: view.log(name).splitlines() for name, pod in pods}


def _list(nodes: set[str]) -> str:
    return ", ".join(sorted(nodes)) or "none"
