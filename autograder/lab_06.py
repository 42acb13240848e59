"""The checks of lab 06, Design."""

import re
from collections.abc import Iterator
from copy import deepcopy
from http import HTTPStatus

from kubernetes.client import ApiException, V1Container, V1ObjectMeta, V1Pod, V1PodSpec

from autograder.checks import Criterion, Verdict, task
from autograder.cluster import REQUEST_LIMIT, View, containers, is_ready, state_of

_COUNTERS = 2
_TEAM = "team"
_IMAGE = "podium.test/python:3.13"


@task(
    "06.1",
    Criterion(
        "apart",
        2,
        "The Deployment counter has two Ready Pods, and none of them holds a store.",
        "kubectl get pods -l app=counter -o yaml: the images of their containers",
    ),
    Criterion(
        "one",
        1,
        "There is exactly one store, in a Pod of its own.",
        "kubectl get pods -o wide: which Pods run the image of the store?",
    ),
    Criterion(
        "counts",
        2,
        "Whichever of the two Pods is asked, the number of visits goes on from the last one.",
        "kubectl get pods -l app=counter, and kubectl get --raw .../pods/POD:8080/proxy/",
    ),
)
def together(view: View) -> Iterator[Verdict]:
    """A server and its store, taken apart."""

    def counters() -> list[V1Pod]:
        return [pod for pod in view.pods("app=counter").values() if is_ready(pod)]

    def apart() -> bool:
        pods = view.pods("app=counter").values()
        return len(counters()) == len(pods) == _COUNTERS and not any(map(_stores, pods))

    if view.deployment("counter") is None:
        return
    holds = bool(view.settles(apart))
    found = [f"{pod.metadata.name}: {', '.join(c.name for c in pod.spec.containers)}" for pod in counters()]
    yield Verdict("apart", holds, f"Ready: {'; '.join(sorted(found)) or 'none'}.")
    stores = [name for name, pod in view.pods().items() if _stores(pod)]
    yield Verdict("one", holds and len(stores) == 1, f"Stores are in: {', '.join(sorted(stores)) or 'no Pod'}.")
    if not holds:
        return
    names = [pod.metadata.name for pod in counters()]
    numbers: list[int] = []

    def counts() -> bool:
        nonlocal numbers
        said = [view.fetch(name, 8080)[1] for name in names * 3]
        numbers = [int(found[0]) for text in said if (found := re.match(r"\d+", text))]
        return len(numbers) == len(said) and numbers == list(range(numbers[0], numbers[0] + len(numbers)))

    # More than once, for a request that was lost on the way may have been counted.
    holds = bool(view.settles(counts))
    yield Verdict("counts", holds, f"Asked in turn, they said: {', '.join(map(str, numbers)) or 'no number'}.")


@task(
    "06.2",
    Criterion("ready", 1, "There is a Pod till that becomes Ready and stays so.", "kubectl describe pod till"),
    Criterion(
        "metrics",
        2,
        "GET /metrics on its port 9100 tells till_sold_total, which grows.",
        "kubectl logs till -c CONTAINER; kubectl get --raw .../pods/till:9100/proxy/metrics",
    ),
    Criterion(
        "single",
        1,
        "The till and the adapter are containers of their own.",
        "kubectl logs till --all-containers --prefix: what each of them says at its start",
    ),
)
def adapter(view: View) -> Iterator[Verdict]:
    """A till that speaks its own language, and its interpreter."""
    if view.pod("till") is None:
        return
    ready = view.stays_ready("till")
    pod = view.pod("till")
    yield Verdict("ready", ready, state_of(pod))

    def sold() -> int:
        found = re.search(r"^till_sold_total (\d+)$", view.fetch("till", 9100, "metrics")[1], re.MULTILINE)
        return int(found[1]) if found else 0

    first = view.settles(sold)
    grows = bool(first) and bool(view.settles(lambda: sold() > first))
    yield Verdict("metrics", grows, f"till_sold_total is {sold()}." if first else "There is no till_sold_total.")
    says = {each.name: view.log("till", each.name) for each in _containers(pod)} if pod else {}
    tills = {name for name, said in says.items() if "till: open" in said}
    adapters = {name for name, said in says.items() if "adapter: asks" in said}
    found = f"Till: {', '.join(tills) or 'none'}; adapter: {', '.join(adapters) or 'none'}."
    yield Verdict("single", bool(tills and adapters) and not tills & adapters, found)


@task(
    "06.3",
    Criterion("ready", 1, "There is a Pod shop that becomes Ready and stays so.", "kubectl describe pod shop"),
    Criterion(
        "local",
        1,
        "Its container shop asks localhost, as ever, and another container of the Pod answers there.",
        "kubectl logs shop -c shop: its first line; kubectl get pod shop -o yaml",
    ),
    Criterion("blue", 1, "It was told the blue price, 42.", "kubectl logs shop -c shop"),
    Criterion(
        "moved",
        2,
        "It was told the green price, 57, in the same run, after the Service prices had been led there.",
        "kubectl logs shop -c shop; kubectl describe service prices",
    ),
)
def ambassador(view: View) -> Iterator[Verdict]:
    """A shop that only knows localhost, and somebody who goes out for it."""
    if view.pod("shop") is None:
        return
    ready = view.stays_ready("shop")
    pod = view.pod("shop")
    yield Verdict("ready", ready, state_of(pod))
    if pod is None:
        return

    def told() -> list[str]:
        return re.findall(r"^price (\d+)$", view.log("shop", "shop"), re.MULTILINE)

    view.settles(lambda: "57" in told())
    lines = view.log("shop", "shop").splitlines()
    local = lines[:1] == ["shop: asks http://localhost:8080/price"] and len(_containers(pod)) > 1
    yield Verdict("local", local and bool(told()), f"It said at first: {lines[0] if lines else 'nothing'}")
    prices = list(dict.fromkeys(told()))
    found = f"The prices it was told: {', '.join(prices) or 'none'}."
    yield Verdict("blue", "42" in prices, found)
    restarts = sum(status.restart_count for status in containers(pod))
    led = view.backends("prices") == {"prices-green"}
    yield Verdict("moved", led and prices == ["42", "57"] and not restarts, f"{found} Restarts: {restarts}.")


@task(
    "06.5",
    Criterion(
        "orphans",
        2,
        "The Deployment tree is gone, and its two Pods, with their ReplicaSet, run as if nothing had happened.",
        "kubectl get deployments,replicasets,pods --show-labels",
    ),
    Criterion("note", 1, "The ConfigMap note belongs to the ConfigMap root.", "kubectl get configmap note -o yaml"),
    Criterion(
        "leaf",
        1,
        "The Pod leaf belongs to the ConfigMap root, and runs.",
        "kubectl get pod leaf -o yaml: ownerReferences; and the uid of root",
    ),
)
def owners(view: View) -> Iterator[Verdict]:
    """Owners that go, and owners that come."""
    root = view.config_map_object("root")
    if root is None:
        return

    def orphans() -> bool:
        sets = view.apps.list_namespaced_replica_set(
            view.namespace, label_selector="app=tree", _request_timeout=REQUEST_LIMIT
        ).items
        # The Deployment's own ReplicaSet is known by the hash of its template, which is in its name and on its Pods.
        mine = [s for s in sets if s.metadata.name == f"tree-{(s.metadata.labels or {}).get('pod-template-hash')}"]
        free = [s for s in mine if not any(ref.kind == "Deployment" for ref in s.metadata.owner_references or [])]
        pods = [
            pod
            for pod in view.pods("app=tree").values()
            if is_ready(pod) and any(_owned(pod.metadata, each.metadata) for each in free)
        ]
        return view.deployment("tree") is None and len(pods) == len(view.pods("app=tree")) == 2

    tree = view.deployment("tree")
    holds = (tree is None or bool(tree.metadata.deletion_timestamp)) and bool(view.settles(orphans))
    said = "The Deployment is there" if view.deployment("tree") else "The Deployment is gone"
    yield Verdict("orphans", holds, f"{said}; Pods with its label: {len(view.pods('app=tree'))}.")
    note = view.config_map_object("note")
    owned = note is not None and _owned(note.metadata, root.metadata)
    yield Verdict("note", owned, _owner(note.metadata) if note else "There is no ConfigMap note.")
    view.settles(lambda: (pod := view.pod("leaf")) is None or is_ready(pod))
    leaf = view.pod("leaf")
    owned = leaf is not None and is_ready(leaf) and _owned(leaf.metadata, root.metadata)
    yield Verdict("leaf", owned, f"{state_of(leaf)} {_owner(leaf.metadata) if leaf else ''}".strip())


@task(
    "06.7",
    Criterion(
        "told",
        1,
        "The ConfigMap conflict says over which field there was one (field), and with which field manager (manager).",
        "the message of kubectl apply --server-side; kubectl get deployment site -o yaml --show-managed-fields",
    ),
    Criterion(
        "replicas",
        1,
        "You have applied your part, and the number of Pods is still two and not yours.",
        "kubectl get deployment site -o yaml --show-managed-fields: f:replicas",
    ),
    Criterion(
        "colour",
        1,
        "The container has the variable COLOUR=blue, which the field manager team has applied.",
        "kubectl get deployment site -o yaml --show-managed-fields: manager, operation",
    ),
    Criterion(
        "image",
        2,
        f"Its image is {_IMAGE}, which is team's alone, and two Pods of it are Ready.",
        "kubectl get deployment site -o yaml --show-managed-fields: f:image",
    ),
)
def managers(view: View) -> Iterator[Verdict]:
    """Two hands on one Deployment."""
    site = view.deployment("site")
    if site is None:
        return
    told = {key: view.config_map("conflict").get(key, "").strip() for key in ("field", "manager")}
    right = told["manager"] == "prepare" and told["field"].removeprefix(".spec.") == "replicas"
    yield Verdict("told", right, f"It says: field {told['field'] or '?'}, manager {told['manager'] or '?'}.")
    replicas = _managers(site, "spec", "replicas")
    path = ("spec", "template", "spec", "containers", 'k:{"name":"site"}')
    image = _managers(site, *path, "image")
    colour = _managers(site, *path, "env", 'k:{"name":"COLOUR"}', "value")
    mine = {(_TEAM, "Apply")}
    left = site.spec.replicas == 2 and _TEAM not in {name for name, _ in replicas}
    applied = bool(mine & (image | colour))
    yield Verdict("replicas", applied and left, f"{site.spec.replicas} Pods; managed by {_names(replicas)}.")
    container = site.spec.template.spec.containers[0]
    value = next((each.value for each in container.env or [] if each.name == "COLOUR"), None)
    yield Verdict("colour", value == "blue" and mine <= colour, f"COLOUR={value}; managed by {_names(colour)}.")

    def rolled() -> bool:
        pods = view.pods("app=site").values()
        return len(pods) >= 2 and all(is_ready(pod) and pod.spec.containers[0].image == _IMAGE for pod in pods)

    holds = container.image == _IMAGE and image == mine and bool(view.settles(rolled))
    yield Verdict("image", holds, f"{container.image}; managed by {_names(image)}.")


@task(
    "06.8",
    Criterion(
        "enforced",
        1,
        "The namespace refuses a Pod that does not meet the standard restricted.",
        "kubectl get namespace lab-06 --show-labels",
    ),
    Criterion("serves", 2, "The Pod vault is Ready and answers GET / on port 8080.", "kubectl describe pod vault"),
    Criterion(
        "restricted",
        1,
        "The Pod vault meets the standard itself: the namespace would take it again.",
        "kubectl get pod vault -o yaml: securityContext of the Pod and of its containers",
    ),
    Criterion(
        "readonly",
        1,
        "The root file systems of its containers are read-only.",
        "kubectl get pod vault -o yaml: readOnlyRootFilesystem",
    ),
)
def restricted(view: View) -> Iterator[Verdict]:
    """A namespace that takes no risks, and a Pod that it takes."""
    ready = view.stays_ready("vault")
    pod = view.pod("vault")
    plain = V1PodSpec(containers=[V1Container(name="plain", image="podium.test/busybox:1.37")])
    almost = deepcopy(plain)
    almost.security_context = {"runAsNonRoot": True, "runAsUser": 1000}
    enforced = bool(_refused(view, plain) and _refused(view, almost))
    yield Verdict("enforced", enforced, "It refuses such a Pod." if enforced else "It takes such a Pod.")
    if pod is None:
        return
    serves = ready and view.settles(lambda: view.get("vault", 8080) == HTTPStatus.OK)
    yield Verdict("serves", bool(serves), state_of(view.pod("vault")))
    again = deepcopy(pod.spec)
    again.node_name = None
    refused = _refused(view, again) if enforced else "That cannot be told as long as the namespace takes everything."
    yield Verdict("restricted", bool(serves) and not refused, refused or "The namespace would take it again.")
    writable = [
        each.name
        for each in _containers(pod)
        if not (each.security_context and each.security_context.read_only_root_filesystem)
    ]
    found = f"Containers that can write to theirs: {', '.join(writable) or 'none'}."
    yield Verdict("readonly", bool(serves) and not writable, found)


def _refused(view: View, spec: V1PodSpec) -> str:
    """Why the namespace would not take such a Pod; empty where it would. Nothing is created."""
    pod = V1Pod(metadata=V1ObjectMeta(generate_name="would-it-"), spec=spec)
    try:
        view.core.create_namespaced_pod(view.namespace, pod, dry_run="All", _request_timeout=REQUEST_LIMIT)
    except ApiException as problem:
        if problem.status != HTTPStatus.FORBIDDEN or "PodSecurity" not in (problem.body or ""):
            return ""
        return re.search(r"violates PodSecurity[^\"\\]*", problem.body)[0] + " ..."
    return ""


def _containers(pod: V1Pod) -> list[V1Container]:
    return [*pod.spec.containers, *(pod.spec.init_containers or [])]


def _stores(pod: V1Pod) -> bool:
    return any("redis" in each.image for each in _containers(pod))


def _owned(child: V1ObjectMeta, owner: V1ObjectMeta) -> bool:
    return any(ref.uid == owner.uid for ref in child.owner_references or [])


def _owner(child: V1ObjectMeta) -> str:
    owners = [f"{ref.kind} {ref.name} ({ref.uid})" for ref in child.owner_references or []]
    return f"Its owners: {', '.join(owners) or 'none'}."


def _managers(deployment: object, *path: str) -> set[tuple[str, str]]:
    """Who manages a field, and by which operation."""
    found = set()
    for entry in deployment.metadata.managed_fields or []:
        fields = entry.fields_v1 or {}
        for key in path:
            fields = (fields or {}).get(key if key.startswith("k:") else f"f:{key}")
        if fields is not None:
            found.add((entry.manager, entry.operation))
    return found


def _names(managers: set[tuple[str, str]]) -> str:
    return ", ".join(f"{name} ({operation})" for name, operation in sorted(managers)) or "nobody"
