"""The checks of lab 05, Scheduling on several nodes."""

import time
from collections import Counter
from collections.abc import Iterator

from kubernetes.client import V1NodeSelectorRequirement, V1Pod, V1PodSpec

from autograder.checks import Criterion, Verdict, task
from autograder.cluster import View, is_ready, state_of

_DISK = "podium.test/disk"
_RESERVED = "podium.test/reserved"
_NAME = "metadata.name"
"""The field of a node that affinity can ask for beside its labels."""

_QUIET = 12.0
"""Seconds without any change after which a check waits no longer: these Pods have nothing to do but to be placed."""

_MADE = 10.0
"""Seconds that a controller may take to make the first Pod."""

_PLAYERS = {"voice", "guitar", "drums"}
_STORES = 2
_HELPERS = 2
_CROWD = 4
_PUBLIC = 3


@task(
    "05.1",
    Criterion(
        "cause",
        1,
        "The ConfigMap verdict says what no node can give (resource) and which container asks for it (container).",
        "kubectl describe pod band: its events, and the requests of each container",
    ),
    Criterion("plays", 2, "The Pod band, all three containers of it, is Ready and stays so.", "kubectl get pod band"),
    Criterion(
        "requests",
        1,
        "Each of its containers still requests CPU and memory.",
        "kubectl get pod band -o yaml: resources.requests of each container",
    ),
)
def band(view: View) -> Iterator[Verdict]:
    """A Pod that asks for more than any node has."""
    told = view.config_map("verdict")
    found = f"It says: {', '.join(f'{key}={value}' for key, value in sorted(told.items())) or 'nothing'}."
    cause = {key: told.get(key, "").strip() for key in ("resource", "container")}
    yield Verdict("cause", cause == {"resource": "memory", "container": "drums"}, found)
    steady = view.stays_ready("band", _QUIET)
    pod = view.pod("band")
    names = {each.name for each in pod.spec.containers} if pod else set()
    plays = steady and names >= _PLAYERS
    yield Verdict("plays", plays, f"{state_of(pod)} Its containers: {', '.join(sorted(names)) or 'none'}.")
    without = [each.name for each in pod.spec.containers if set(_requests(each)) < {"cpu", "memory"}] if pod else []
    yield Verdict("requests", plays and not without, f"Containers without one of the two: {_list(without)}.")


@task(
    "05.2",
    Criterion(
        "labelled",
        1,
        f"Exactly one node has the label {_DISK}=ssd.",
        f"kubectl get nodes --label-columns {_DISK}",
    ),
    Criterion(
        "there",
        2,
        "Two Pods with the label app=store, and no fewer, are Ready, and all of them on that node.",
        "kubectl get pods -l app=store -o wide",
    ),
    Criterion(
        "rule",
        1,
        "By their own rules they could run on any node with that label, and on none without it.",
        "kubectl get pods -l app=store -o yaml: nodeSelector, affinity, and nobody named by hand",
    ),
)
def store(view: View) -> Iterator[Verdict]:
    """Pods that need a node with a label."""
    if not _comes(view, "app=store"):
        return

    def ready() -> bool:
        pods = view.pods("app=store").values()
        return len(pods) >= _STORES and all(map(is_ready, pods))

    settled = view.settles(ready, _QUIET)
    nodes = view.nodes()
    fast = {name for name, node in nodes.items() if (node.metadata.labels or {}).get(_DISK) == "ssd"}
    yield Verdict("labelled", len(fast) == 1, f"Nodes with that label: {_list(fast)}.")
    pods = list(view.pods("app=store").values())
    there = bool(settled) and all(pod.spec.node_name in fast for pod in pods)
    yield Verdict("there", there, _where(pods))
    # What would the rules say if the label were on another node?
    bare = [{k: v for k, v in _labels(node).items() if k != _DISK} for node in nodes.values()]
    rule = all(
        not _by_hand(pod) and all(_may_run(pod.spec, each | {_DISK: "ssd"}) for each in bare) for pod in pods
    ) and not any(_may_run(pod.spec, each) for pod in pods for each in bare)
    said = "They follow the label." if rule else "They would not follow if the label were on another node."
    yield Verdict("rule", there and rule, said)


@task(
    "05.3",
    Criterion(
        "together",
        2,
        "Two Pods with the label app=helper, and no fewer, are Ready, and all of them on the node of cache.",
        "kubectl get pods -l 'app in (cache, helper)' -o wide",
    ),
    Criterion(
        "unnamed",
        1,
        "No rule of theirs names a node or its labels.",
        "kubectl get pods -l app=helper -o yaml: nodeName, nodeSelector, nodeAffinity",
    ),
    Criterion(
        "apart",
        2,
        "Of the Pods with the label app=guard, one runs on each node and the only other one is Pending.",
        "kubectl get pods -l app=guard -o wide",
    ),
)
def affinity(view: View) -> Iterator[Verdict]:
    """Pods that belong together, and Pods that keep apart."""
    nodes = set(view.nodes())

    def together() -> bool:
        cache, helpers = view.pod("cache"), view.pods("app=helper").values()
        return len(helpers) >= _HELPERS and all(
            is_ready(pod) and cache is not None and pod.spec.node_name == cache.spec.node_name for pod in helpers
        )

    def apart() -> bool:
        guards = view.pods("app=guard").values()
        at = Counter(pod.spec.node_name for pod in guards if is_ready(pod))
        left = [pod for pod in guards if pod.spec.node_name is None]
        return at == Counter(nodes) and len(left) == 1 and len(guards) == len(nodes) + 1

    if not _comes(view, "app in (helper, guard)"):
        return
    holds = bool(view.settles(together, _QUIET))
    helpers = list(view.pods("app=helper").values())
    cache = view.pod("cache")
    at = f"cache is on {cache.spec.node_name}." if cache else "There is no Pod cache."
    yield Verdict("together", holds, f"{at} {_where(helpers)}")
    named = [pod for pod in helpers if _by_hand(pod) or pod.spec.node_selector or _asks_nodes(pod.spec)]
    said = f"Pods that name a node or its labels: {_list(pod.metadata.name for pod in named)}."
    yield Verdict("unnamed", holds and not named, said)
    yield Verdict("apart", bool(view.settles(apart, _QUIET)), _where(list(view.pods("app=guard").values())))


@task(
    "05.4",
    Criterion(
        "even",
        3,
        "The four Pods of the Deployment crowd are Ready, and no node has more than one of them more than another.",
        "kubectl get pods -l app=crowd -o wide",
    ),
    Criterion(
        "kept",
        1,
        "They still like company: their preferred affinity to each other is what it was.",
        "kubectl get deployment crowd -o yaml: podAffinity",
    ),
)
def crowd(view: View) -> Iterator[Verdict]:
    """Pods that like company, spread evenly by a rule."""

    def even() -> bool:
        deployment, pods = view.deployment("crowd"), view.pods("app=crowd").values()
        if deployment is None or deployment.status.observed_generation != deployment.metadata.generation:
            return False
        at = Counter(dict.fromkeys(view.nodes(), 0))
        at.update(pod.spec.node_name for pod in pods if is_ready(pod))
        rolled = deployment.status.updated_replicas == deployment.status.replicas == len(pods) == _CROWD
        return rolled and at.total() == _CROWD and max(at.values()) - min(at.values()) <= 1

    if view.deployment("crowd") is None:
        return
    holds = bool(view.settles(even, _QUIET))
    yield Verdict("even", holds, _where(list(view.pods("app=crowd").values())))
    spec = view.deployment("crowd").spec.template.spec
    pods = spec.affinity and spec.affinity.pod_affinity
    likes = (pods and pods.preferred_during_scheduling_ignored_during_execution) or []
    kept = any(
        like.weight == 100
        and like.pod_affinity_term.topology_key == "kubernetes.io/hostname"
        and (like.pod_affinity_term.label_selector.match_labels or {}) == {"app": "crowd"}
        for like in likes
    )
    yield Verdict("kept", holds and kept, "They like company." if kept else "They don't care for company any more.")


@task(
    "05.6",
    Criterion(
        "taint",
        1,
        f"Exactly one node has the taint {_RESERVED}=vip:NoSchedule.",
        "kubectl describe nodes: Taints",
    ),
    Criterion(
        "public",
        2,
        "All three Pods of the Deployment public are Ready, and none of them is on that node.",
        "kubectl get pods -l app=public -o wide",
    ),
    Criterion("vip", 1, "The Pod vip is Ready on that node and stays so.", "kubectl get pod vip -o wide"),
    Criterion(
        "drawn",
        1,
        "By its own rules it could run on no other node, and nothing of it names that one.",
        "kubectl get pod vip -o yaml: a toleration lets it in; what draws it there?",
    ),
)
def reserved(view: View) -> Iterator[Verdict]:
    """A node that is kept for one Pod."""
    nodes = view.nodes()
    kept = {
        name
        for name, node in nodes.items()
        if any((t.key, t.value, t.effect) == (_RESERVED, "vip", "NoSchedule") for t in node.spec.taints or [])
    }
    found = f"Nodes with that taint: {_list(kept)}."
    yield Verdict("taint", len(kept) == 1, found)
    if len(kept) != 1:
        return

    def left() -> bool:
        pods = view.pods("app=public").values()
        return len(pods) == _PUBLIC and all(is_ready(pod) and pod.spec.node_name not in kept for pod in pods)

    deployment = view.deployment("public")
    tolerates = deployment is not None and bool(deployment.spec.template.spec.tolerations)
    holds = deployment is not None and not tolerates and bool(view.settles(left, _QUIET))
    yield Verdict("public", holds, _where(list(view.pods("app=public").values())))
    steady = view.stays_ready("vip", _QUIET)
    pod = view.pod("vip")
    there = steady and pod is not None and pod.spec.node_name in kept
    yield Verdict("vip", there, f"{state_of(pod)} {_where([pod]) if pod else ''}".strip())
    if pod is None:
        return
    others = [_labels(node) for name, node in nodes.items() if name not in kept]
    named = _by_hand(pod) or any(key in (_NAME, "kubernetes.io/hostname") for key in _asked_keys(pod.spec))
    drawn = not named and not any(_may_run(pod.spec, labels) for labels in others)
    said = "It names the node." if named else "It could run on no other node." if drawn else "It could run elsewhere."
    yield Verdict("drawn", there and drawn, said)


@task(
    "05.7",
    Criterion("urgent", 2, "The Pod urgent is Ready and stays so.", "kubectl describe pod urgent"),
    Criterion(
        "preempted",
        2,
        "It sits where a regular sat, who had to go for its lower priority, and takes part in the rule of the seats.",
        "kubectl get pods -l seat=taken -o wide; kubectl get priorityclasses",
    ),
    Criterion(
        "patient",
        1,
        "The Pod patient has a higher priority than the regulars and stays Pending; all the others keep their seats.",
        "kubectl get pod patient -o yaml: priority, preemptionPolicy",
    ),
)
def seats(view: View) -> Iterator[Verdict]:
    """A Pod that pushes another one aside, and one that waits in spite of its priority."""
    if not (view.pod("urgent") or view.pod("patient")):
        return
    steady = view.stays_ready("urgent", _QUIET)
    urgent = view.pod("urgent")
    yield Verdict("urgent", steady, state_of(urgent))
    seated = {urgent.spec.node_name} if steady and urgent and _seat(urgent) else set()
    nodes = set(view.nodes())

    def regulars() -> set[str]:
        """The nodes where a regular sits."""
        return {pod.spec.node_name for pod in view.pods("app=regular").values() if is_ready(pod)}

    settled = bool(view.settles(lambda: regulars() == nodes - seated, _QUIET))
    higher = bool(seated) and (urgent.spec.priority or 0) > 0
    found = _where(list(view.pods("seat=taken").values()))
    yield Verdict("preempted", higher and not regulars() & seated, found)
    patient = view.pod("patient")
    ahead = patient is not None and _seat(patient) and (patient.spec.priority or 0) > 0
    waits = ahead and patient.spec.node_name is None and not patient.status.nominated_node_name
    said = f"Its priority is {patient.spec.priority}. {state_of(patient)}" if patient else state_of(patient)
    yield Verdict("patient", waits and settled, f"{said} {found}")


def _comes(view: View, selector: str) -> bool:
    """Whether such Pods are there, or are made soon, by whoever was asked to make them."""
    deadline = time.monotonic() + _MADE
    while not (found := view.pods(selector)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return bool(found)


def _seat(pod: V1Pod) -> bool:
    """Whether the Pod takes part in the rule of the seats."""
    return (pod.metadata.labels or {}).get("seat") == "taken"


def _labels(node: object) -> dict[str, str]:
    """What rules about nodes can ask of this one: its labels, and its name."""
    return {**(node.metadata.labels or {}), _NAME: node.metadata.name}


def _terms(spec: V1PodSpec) -> list[list[V1NodeSelectorRequirement]]:
    """The requirements of required node affinity: one of the lists must hold in full; none where nothing is asked."""
    nodes = spec.affinity and spec.affinity.node_affinity
    required = nodes and nodes.required_during_scheduling_ignored_during_execution
    terms = required.node_selector_terms if required else []
    return [[*(term.match_expressions or []), *(term.match_fields or [])] for term in terms]


def _asks_nodes(spec: V1PodSpec) -> bool:
    return bool(spec.affinity and spec.affinity.node_affinity)


def _asked_keys(spec: V1PodSpec) -> set[str]:
    """The labels and fields of nodes that a Pod's rules ask for."""
    return {*(spec.node_selector or {}), *(each.key for term in _terms(spec) for each in term)}


def _may_run(spec: V1PodSpec, labels: dict[str, str]) -> bool:
    """Whether a Pod's own rules allow a node with these labels.

    Source: https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/.
    """
    if any(labels.get(key) != value for key, value in (spec.node_selector or {}).items()):
        return False
    terms = _terms(spec)
    return not terms or any(term and all(_holds(each, labels) for each in term) for term in terms)


def _holds(asked: V1NodeSelectorRequirement, labels: dict[str, str]) -> bool:
    value, values = labels.get(asked.key), asked.values or []
    match asked.operator:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and value.isdigit() and int(value) > int(values[0])
        case _:
            return value is not None and value.isdigit() and int(value) < int(values[0])


def _by_hand(pod: V1Pod) -> bool:
    """Whether somebody wrote the node's name into the Pod: the scheduler's choice is recorded by no field manager."""
    return any("f:nodeName" in (each.fields_v1 or {}).get("f:spec", {}) for each in pod.metadata.managed_fields or [])


def _requests(container: object) -> dict[str, str]:
    return (container.resources and container.resources.requests) or {}


def _where(pods: list[V1Pod]) -> str:
    """How many of these Pods are Ready on which node, as one sentence."""
    ready = Counter(pod.spec.node_name for pod in pods if is_ready(pod))
    rest = len(pods) - ready.total()
    said = [f"{count} on {node}" for node, count in sorted(ready.items())]
    return f"Ready: {', '.join(said) or 'none'}" + (f"; {rest} not Ready." if rest else ".")


def _list(names: object) -> str:
    return ", ".join(sorted(names)) or "none"
