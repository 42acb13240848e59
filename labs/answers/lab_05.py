"""Answers to lab 05. The model answers are in the lab's source; here are right ones of another make, and wrong ones.

Those that label a node all label the same one, and so they can be given side by side.
"""

from copy import deepcopy
from http import HTTPStatus

from kubernetes.client import ApiException, SchedulingV1Api

from autograder.cluster import start_of
from autograder.verify import Answers, Work, box
from podium.waiting import wait_until

ANSWERS = Answers()
answer = ANSWERS.answer

SLEEP = box("main", "sleep", "infinity")
DISK = "podium.test/disk"
RESERVED = "podium.test/reserved"
HOST = "kubernetes.io/hostname"


def workers(work: Work) -> list[str]:
    """The nodes for ordinary Pods."""
    return sorted(work.view.nodes())


def deployment(name: str, replicas: int, **spec: object) -> dict:
    """A Deployment of Pods with the label app, which sleep."""
    pod = {"terminationGracePeriodSeconds": 0, "containers": [SLEEP], **spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
        },
    }


def near(term: dict, kind: str = "podAffinity") -> dict:
    """Affinity between Pods that is required."""
    return {"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def on_nodes(*expressions: dict) -> dict:
    """Affinity to nodes that is required."""
    terms = [{"matchExpressions": [each]} for each in expressions]
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    return {"affinity": {"nodeAffinity": required}}


def same_node(**labels: str) -> dict:
    """The term: the node of Pods with these labels."""
    return {"topologyKey": HOST, "labelSelector": {"matchLabels": labels}}


# 05.1, one player too many

BAND = start_of("05.1")["pod/band"]["spec"]["containers"]


def play(
    work: Work, resource: str = "memory", container: str = "drums", players: list[dict] = BAND, **spec: object
) -> None:
    """Tell the cause, and replace the Pod by one of these containers."""
    work.record("verdict", resource=resource, container=container)
    work.delete("band")
    work.pod("band", *players, **spec)


def requesting(memory: str | None, cpu: str | None = "10m") -> list[dict]:
    """The band, with other requests of the drums."""
    requests = {name: value for name, value in (("memory", memory), ("cpu", cpu)) if value}
    return [*BAND[:2], BAND[2] | {"resources": {"requests": requests}}]


@answer("05.1")
def limited_instead(work: Work) -> None:
    # Where there is only a limit, it is the request as well.
    limits = {"resources": {"limits": {"memory": "64Mi", "cpu": "200m"}}}
    play(work, players=[*BAND[:2], BAND[2] | limits])


@answer("05.1")
def with_a_fourth(work: Work) -> None:
    fourth = box("bass", "sleep", "infinity", resources={"requests": {"memory": "4Mi", "cpu": "5m"}})
    play(work, players=[*requesting("33554432"), fourth])


@answer("05.1", "plays", "requests")
def without_the_drums(work: Work) -> None:
    play(work, players=BAND[:2])


@answer("05.1", "requests")
def asks_for_nothing(work: Work) -> None:
    play(work, players=requesting(None, None))


@answer("05.1", "cause")
def blames_the_processor(work: Work) -> None:
    play(work, resource="cpu", players=requesting("32Mi"))


# 05.2, the right node


def label(work: Work, key: str = DISK, value: str = "ssd") -> str:
    """Label the first node, and return its name."""
    work.kubectl("label", "node", node := workers(work)[0], f"{key}={value}", "--overwrite")
    return node


@answer("05.2")
def by_affinity_to_nodes(work: Work) -> None:
    label(work)
    work.apply(deployment("store", 2, **on_nodes({"key": DISK, "operator": "In", "values": ["ssd", "nvme"]})))


@answer("05.2")
def two_single_pods(work: Work) -> None:
    label(work)
    asks = on_nodes({"key": DISK, "operator": "Exists"})
    for name in ("store-a", "store-b"):
        work.pod(name, SLEEP, labels={"app": "store"}, **asks)


@answer("05.2", "rule")
def named_by_hand(work: Work) -> None:
    work.apply(deployment("store", 2, nodeName=label(work)))


@answer("05.2", "rule")
def by_the_name_of_the_node(work: Work) -> None:
    work.apply(deployment("store", 2, nodeSelector={HOST: label(work)}))


@answer("05.2", "there", "rule")
def nobody_said_where(work: Work) -> None:
    label(work)
    work.apply(deployment("store", 2, topologySpreadConstraints=[
        {"maxSkew": 1, "topologyKey": HOST, "whenUnsatisfiable": "DoNotSchedule", "nodeTaintsPolicy": "Honor",
         "labelSelector": {"matchLabels": {"app": "store"}}}
    ]))  # fmt: skip


# 05.3, together and apart

CACHE = same_node(app="cache")
GUARD = same_node(app="guard")


def company(work: Work, helper: dict | None = None, guard: dict | None = None, more: int = 1) -> None:
    """Make helpers and guards."""
    work.apply(deployment("helper", 2, **(near(CACHE) if helper is None else helper)))
    rule = near(GUARD, "podAntiAffinity") if guard is None else guard
    work.apply(deployment("guard", len(workers(work)) + more, **rule))


@answer("05.3")
def asked_by_expressions(work: Work) -> None:
    term = {
        "topologyKey": HOST,
        "labelSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["cache"]}]},
    }
    alike = {
        "topologyKey": HOST,
        "labelSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["guard"]}]},
    }
    company(work, near(term), near(alike, "podAntiAffinity"))


@answer("05.3")
def guards_by_a_port_of_the_node(work: Work) -> None:
    # Two Pods that want the same port of a node cannot be on one node either.
    port = SLEEP | {"ports": [{"containerPort": 80, "hostPort": 18080}]}
    company(work, guard={"containers": [port]})


@answer("05.3", "together", "unnamed")
def helpers_everywhere(work: Work) -> None:
    company(work, near(same_node(app="helper"), "podAntiAffinity"))


@answer("05.3", "unnamed")
def helpers_sent_by_hand(work: Work) -> None:
    company(work, {"nodeName": work.view.pod("cache").spec.node_name})


@answer("05.3", "apart")
def nobody_left_over(work: Work) -> None:
    company(work, more=0)


# 05.4, evenly

CROWD = start_of("05.4")["deployment/crowd"]
EVEN = {
    "maxSkew": 1,
    "topologyKey": HOST,
    "whenUnsatisfiable": "DoNotSchedule",
    "nodeTaintsPolicy": "Honor",
    "labelSelector": {"matchLabels": {"app": "crowd"}},
}


def spread(work: Work, *constraints: dict, wait: bool = True, **spec: object) -> None:
    """Make the Deployment anew with these constraints."""
    work.kubectl("delete", "deployment", "crowd", "--cascade=foreground", "--timeout=180s")
    manifest = deepcopy(CROWD)
    manifest.pop("becomes", None)
    manifest["spec"]["template"]["spec"] |= {"topologySpreadConstraints": list(constraints), **spec}
    work.apply(manifest)
    if wait:
        work.kubectl("rollout", "status", "deployment", "crowd", "--timeout=180s")


@answer("05.4")
def made_anew(work: Work) -> None:
    spread(work, EVEN)


@answer("05.4")
def two_constraints(work: Work) -> None:
    spread(work, CROWD["spec"]["template"]["spec"]["topologySpreadConstraints"][0], EVEN | {"minDomains": 2})


@answer("05.4", "even", "kept")
def strict_about_nothing(work: Work) -> None:
    spread(work, EVEN | {"topologyKey": "kubernetes.io/os"})


@answer("05.4", "kept")
def likes_company_no_more(work: Work) -> None:
    spread(work, EVEN, affinity=None)


@answer("05.4", "even", "kept")
def asks_for_zones(work: Work) -> None:
    spread(work, EVEN | {"topologyKey": "topology.kubernetes.io/zone"}, wait=False)


# 05.6, a reserved node

TOLERATES = {"tolerations": [{"key": RESERVED, "operator": "Equal", "value": "vip", "effect": "NoSchedule"}]}


def reserve(work: Work, effect: str = "NoSchedule", leave: bool = True, **vip: object) -> None:
    """Taint and label the last node, let the public leave it, and let the guest in."""
    node = workers(work)[-1]
    work.kubectl("label", "node", node, f"{RESERVED}=vip")
    work.kubectl("taint", "node", node, f"{RESERVED}=vip:{effect}")
    if leave:
        work.kubectl("delete", "pods", "--selector", "app=public", "--grace-period=0", "--force")
    work.pod("vip", SLEEP, **{**TOLERATES, "nodeSelector": {RESERVED: "vip"}, **vip})


@answer("05.6")
def tolerates_everything(work: Work) -> None:
    reserve(work, tolerations=[{"operator": "Exists"}])


@answer("05.6")
def by_affinity_to_the_label(work: Work) -> None:
    reserve(work, nodeSelector=None, **on_nodes({"key": RESERVED, "operator": "Exists"}))


@answer("05.6", "public")
def nobody_asked_to_leave(work: Work) -> None:
    reserve(work, leave=False)


@answer("05.6", "drawn")
def only_tolerates(work: Work) -> None:
    # It lands there because the other nodes are closed for a moment.
    others = workers(work)[:-1]
    node = workers(work)[-1]
    work.kubectl("taint", "node", node, f"{RESERVED}=vip:NoSchedule")
    work.kubectl("delete", "pods", "--selector", "app=public", "--grace-period=0", "--force")
    work.kubectl("rollout", "status", "deployment", "public", "--timeout=180s")
    work.kubectl("cordon", *others)
    work.pod("vip", SLEEP, **TOLERATES)
    work.kubectl("wait", "--for=condition=Ready", "pod/vip", "--timeout=180s")
    work.kubectl("uncordon", *others)


@answer("05.6", "vip", "drawn")
def does_not_tolerate(work: Work) -> None:
    reserve(work, tolerations=[])


# 05.7, no seat left

SEAT = near(same_node(seat="taken"), "podAntiAffinity")


def rank(work: Work, name: str, value: int, **more: object) -> str:
    """Make a PriorityClass, which other answers may have made already, and return its name."""
    try:
        SchedulingV1Api(work.cluster.api).create_priority_class({"metadata": {"name": name}, "value": value, **more})
    except ApiException as problem:
        if problem.status != HTTPStatus.CONFLICT:
            raise
    pod = {"metadata": {"generateName": "try-"}, "spec": {"priorityClassName": name, "containers": [SLEEP]}}

    def known() -> bool:
        """Whether admission has heard of it."""
        try:
            work.core.create_namespaced_pod(work.namespace, pod, dry_run="All")
        except ApiException as problem:
            if problem.status != HTTPStatus.FORBIDDEN:
                raise
            return False
        return True

    wait_until(known, f"priority class {name} to be known", 180)
    return name


def sit(work: Work, urgent: str = "", patient: str = "", rule: dict = SEAT, labels: dict | None = None) -> None:
    """Let the two come, with these priority classes."""
    for name, chosen, own in (("urgent", urgent, rule), ("patient", patient, SEAT)):
        spec = {**own, "priorityClassName": chosen} if chosen else own
        work.pod(name, SLEEP, labels={"seat": "taken"} if labels is None or name == "patient" else labels, **spec)
        if name == "urgent" and urgent:
            work.kubectl("wait", "--for=condition=Ready", "pod/urgent", "--timeout=180s")


def urgent(work: Work) -> str:
    """A class that takes seats away."""
    return rank(work, "lab-urgent", 1000)


def patient(work: Work) -> str:
    """A class that takes none away."""
    return rank(work, "lab-patient", 500, preemptionPolicy="Never")


@answer("05.7")
def both_at_once(work: Work) -> None:
    for name in (urgent(work).removeprefix("lab-"), patient(work).removeprefix("lab-")):
        work.pod(name, SLEEP, labels={"seat": "taken"}, priorityClassName=f"lab-{name}", **SEAT)


@answer("05.7")
def two_of_one_rank(work: Work) -> None:
    sit(work, rank(work, "lab-quick", 7), rank(work, "lab-calm", 7, preemptionPolicy="Never"))


@answer("05.7", "preempted")
def sits_on_the_floor(work: Work) -> None:
    sit(work, urgent(work), patient(work), rule={}, labels={})


@answer("05.7", "patient")
def patient_takes_a_seat(work: Work) -> None:
    sit(work, urgent(work), rank(work, "lab-pushy", 500))


@answer("05.7", "urgent", "preempted")
def below_the_regulars(work: Work) -> None:
    rank(work, "lab-low", -5)
    work.pod("urgent", SLEEP, labels={"seat": "taken"}, priorityClassName="lab-low", **SEAT)
    work.pod("patient", SLEEP, labels={"seat": "taken"}, priorityClassName=patient(work), **SEAT)
