"""The checks of lab 03, One Pod, several containers."""

import re
from collections.abc import Iterator
from http import HTTPStatus

from kubernetes.client import V1ContainerStatus, V1Pod

from autograder.checks import Criterion, Verdict, task
from autograder.cluster import View, containers, is_over, is_ready, state_of

_HTML = "/usr/share/nginx/html"
_LINES = 5
"""Lines of the report."""
_SLEEPER = "sleep 86400"
_FIRST = "pause"
"""The program that holds a Pod's namespaces."""


@task(
    "03.1",
    Criterion("ready", 1, "There is a Pod news that becomes Ready and stays so.", "kubectl describe pod news"),
    Criterion("page", 1, "It answers GET / on port 80 with a page that changes.", "kubectl logs news -c CONTAINER"),
    Criterion(
        "shared",
        2,
        "The folder that is served is a volume, and another container of the Pod has it too.",
        "kubectl get pod news -o yaml: spec.volumes, and volumeMounts of each container",
    ),
)
def news(view: View) -> Iterator[Verdict]:
    """A page that one container writes and the other serves."""
    pod = view.pod("news")
    ready = view.stays_ready("news")
    yield Verdict("ready", ready, state_of(view.pod("news")))
    if pod is None:
        return
    first = view.settles(lambda: _page(view, "news"))
    changes = bool(first) and view.settles(lambda: _page(view, "news") not in (first, ""))
    said = "The page changes." if changes else f"The page stays {first[:40]!r}." if first else "Nothing is served."
    yield Verdict("page", bool(changes), said)
    users: dict[str, set[str]] = {}
    served = set()
    for container in [*pod.spec.containers, *(pod.spec.init_containers or [])]:
        for mount in container.volume_mounts or []:
            users.setdefault(mount.name, set()).add(container.name)
            if "nginx" in container.image and mount.mount_path.rstrip("/") == _HTML:
                served.add(mount.name)
    shared = [name for name in served if len(users[name]) > 1]
    found = f"Served and shared: {', '.join(shared)}." if shared else "No volume is both served and mounted elsewhere."
    yield Verdict("shared", bool(shared), found)


@task(
    "03.2",
    Criterion("ready", 1, "There is a Pod pair that becomes Ready and stays so.", "kubectl describe pod pair"),
    Criterion("prints", 1, "Its container client goes on printing the page it gets.", "kubectl logs pair -c client"),
    Criterion(
        "local",
        2,
        "The server web of the same Pod is asked again and again, from its own localhost.",
        "kubectl logs pair -c web: each line begins with the address of who asked",
    ),
)
def pair(view: View) -> Iterator[Verdict]:
    """Two containers that meet on localhost."""
    ready = view.stays_ready("pair")
    yield Verdict("ready", ready, state_of(view.pod("pair")))
    if view.pod("pair") is None:
        return

    def said() -> int:
        return view.log("pair", "client").count("<title>Welcome to nginx!</title>")

    def asked() -> int:
        return len(re.findall(r"^(?:127\.|::1)\S* .* 200 ", view.log("pair", "web"), re.MULTILINE))

    before = said(), asked()
    prints = view.settles(lambda: said() > max(before[0], 1))
    yield Verdict("prints", bool(prints), f"Its log holds the page {said()} times.")
    local = view.settles(lambda: asked() > max(before[1], 1))
    yield Verdict("local", bool(local), f"It was asked {asked()} times from localhost.")


@task(
    "03.4",
    Criterion("ready", 1, "There is a Pod cook that becomes Ready and stays so.", "kubectl describe pod cook"),
    Criterion(
        "waited",
        2,
        "An init container of cook began before there was a Pod pantry, and ended after that was Ready.",
        "kubectl get pods cook pantry -o yaml: creationTimestamp, status.initContainerStatuses, status.conditions",
    ),
    Criterion(
        "answers",
        2,
        "There is a Service pantry on port 80, and the Pod pantry behind it answers with status 200.",
        "kubectl get endpointslices -l kubernetes.io/service-name=pantry",
    ),
)
def gate(view: View) -> Iterator[Verdict]:
    """An init container that holds a Pod back until a Service answers."""
    pantry = view.pod("pantry")
    service = view.service("pantry")
    port = service and next((port for port in service.spec.ports or [] if port.port == 80), None)
    behind = bool(port) and view.settles(lambda: pantry and pantry.metadata.name in view.backends("pantry"))
    serves = bool(behind) and view.settles(lambda: view.fetch_service("pantry", 80)[0] == HTTPStatus.OK)
    found = "There is no Service on port 80." if not port else f"Behind it: {_names(view.backends('pantry'))}."
    yield Verdict("answers", bool(serves), found)
    ready = view.stays_ready("cook")
    yield Verdict("ready", ready, state_of(cook := view.pod("cook")))
    pantry = view.pod("pantry")
    if cook is None or pantry is None:
        yield Verdict("waited", False, "There is no such Pod to compare.")
        return
    ended = [status.state.terminated for status in _inits(cook) if status.state.terminated]
    since = next((c.last_transition_time for c in pantry.status.conditions or [] if c.type == "Ready"), None)
    first = cook.metadata.creation_timestamp < pantry.metadata.creation_timestamp
    waited = first and since and is_ready(pantry) and any(e.exit_code == 0 and e.finished_at >= since for e in ended)
    order = "before" if first else "not before"
    ends = ", ".join(f"{e.finished_at:%H:%M:%S}" for e in ended) or "not yet"
    yield Verdict("waited", bool(waited), f"cook was created {order} pantry; its init containers ended: {ends}.")


@task(
    "03.5",
    Criterion("succeeded", 2, "The Pod report has Succeeded.", "kubectl get pod report"),
    Criterion(
        "shipped", 1, "Its container shipper has printed all lines of the log.", "kubectl logs report -c shipper"
    ),
    Criterion(
        "sidecar",
        2,
        "The shipper started before the report, and was still running when the report ended.",
        "kubectl get pod report -o yaml: startedAt and finishedAt, and the restartPolicy of each container",
    ),
)
def report(view: View) -> Iterator[Verdict]:
    """A sidecar that ships a log and does not keep the Pod from ending."""
    if view.pod("report") is None:
        return
    view.settles(lambda: (pod := view.pod("report")) is None or is_over(pod) or _stuck(pod))
    pod = view.pod("report")
    yield Verdict("succeeded", bool(pod) and pod.status.phase == "Succeeded", state_of(pod))
    log = view.log("report", "shipper")
    lines = [number for number in range(1, _LINES + 1) if f"line {number} of {_LINES}" in log]
    yield Verdict("shipped", len(lines) == _LINES, f"Lines in its log: {', '.join(map(str, lines)) or 'none'}.")
    ends = {status.name: status.state.terminated for status in [*containers(pod), *_inits(pod)] if pod}
    both = ends.get("report"), ends.get("shipper")
    if not all(both):
        yield Verdict("sidecar", False, "The report and the shipper have not both started and ended.")
        return
    main, shipper = both
    holds = shipper.started_at <= main.started_at and shipper.finished_at >= main.finished_at
    restarts = any(c.name == "shipper" and c.restart_policy == "Always" for c in pod.spec.init_containers or [])
    found = f"It ran from {shipper.started_at:%H:%M:%S} to {shipper.finished_at:%H:%M:%S}, the report"
    found += f" from {main.started_at:%H:%M:%S} to {main.finished_at:%H:%M:%S}."
    yield Verdict("sidecar", holds and restarts, found if restarts else "It is no init container that is restarted.")


@task(
    "03.6",
    Criterion(
        "restarted",
        1,
        "In the Pod survivor the worker has been restarted, and the neighbour has not.",
        "kubectl get pod survivor -o yaml: restartCount under status.containerStatuses",
    ),
    Criterion(
        "written",
        1,
        "When the worker ended, there was a note in /shared and one in /tmp.",
        "kubectl logs survivor -c worker --previous",
    ),
    Criterion("found", 1, "When it started again, it found the one in /shared.", "kubectl logs survivor -c worker"),
    Criterion(
        "told",
        1,
        "In the ConfigMap survival, volume and container say whether the note there survived: yes or no.",
        "kubectl get configmap survival -o yaml",
    ),
)
def survivor(view: View) -> Iterator[Verdict]:
    """A restarted container: what is left of its files."""
    if view.pod("survivor") is None:
        return

    def started_again() -> bool:
        """Whether the worker is in a later run than its first, and has said what it found."""
        statuses = containers(pod) if (pod := view.pod("survivor")) else []
        again = any(each.name == "worker" and each.restart_count and each.state.running for each in statuses)
        return again and "/tmp/note" in view.log("survivor", "worker")

    view.settles(started_again)
    pod = view.pod("survivor")
    if pod is None:
        return
    counts = {status.name: status.restart_count for status in containers(pod)}
    restarted = counts.get("worker", 0) > 0 and counts.get("neighbour", 1) == 0
    yield Verdict("restarted", restarted, f"Restarts: {counts or 'none'}.")
    last, now = view.log("survivor", "worker", previous=True), view.log("survivor", "worker")
    written = all(f"end: {note} is here" in last for note in ("/shared/note", "/tmp/note"))
    yield Verdict("written", restarted and written, f"It said: {_spoken(last, 'end')}.")
    yield Verdict("found", restarted and "start: /shared/note is here" in now, f"It said: {_spoken(now, 'start')}.")
    told = {name: said.strip().lower() for name, said in view.config_map("survival").items()}
    yield Verdict("told", (told.get("volume"), told.get("container")) == ("yes", "no"), f"It says {told or 'nothing'}.")


@task(
    "03.7",
    Criterion("ready", 1, "There is a Pod ward that becomes Ready and stays so.", "kubectl describe pod ward"),
    Criterion(
        "sees",
        1,
        f"Its container nurse goes on listing the process of sleeper, {_SLEEPER!r}.",
        "kubectl logs ward -c nurse --tail 10",
    ),
    Criterion(
        "apart",
        1,
        "The nurse sees nothing outside of the Pod.",
        "kubectl logs ward -c nurse: are there programs of the node?",
    ),
    Criterion(
        "told",
        1,
        "The ConfigMap walls says under first which program has the number 1 in that Pod.",
        "kubectl logs ward -c nurse; kubectl get configmap walls -o yaml",
    ),
)
def walls(view: View) -> Iterator[Verdict]:
    """A container that sees the process of another."""
    if view.pod("ward") is None:
        return
    ready = view.stays_ready("ward")
    yield Verdict("ready", ready, state_of(view.pod("ward")))

    def seen() -> int:
        """How often she has listed the sleeper; never, unless it was together with what holds the Pod's namespaces."""
        log = view.log("ward", "nurse").replace("\0", " ")
        return log.count(_SLEEPER) if _FIRST in log else 0

    before = seen()
    sees = ready and bool(view.settles(lambda: seen() > max(before, 1)))
    yield Verdict("sees", sees, f"She has seen it {seen()} times.")
    strangers = {name for name in ("containerd", "kubelet") if name in view.log("ward", "nurse")}
    yield Verdict(
        "apart", sees and not strangers, f"Programs of the node that she sees: {', '.join(strangers) or 'none'}."
    )
    first = view.config_map("walls").get("first", "").strip()
    yield Verdict("told", ready and first.rpartition("/")[2] == _FIRST, f"It says {first!r}.")


def _page(view: View, pod: str) -> str:
    status, body = view.fetch(pod, 80)
    return body if status == HTTPStatus.OK else ""


def _inits(pod: V1Pod | None) -> list[V1ContainerStatus]:
    return (pod and pod.status.init_container_statuses) or []


def _stuck(pod: V1Pod) -> bool:
    """Whether the report has ended and another ordinary container keeps the Pod from ending."""
    states = {status.name: status.state for status in containers(pod)}
    return bool(states.get("report") and states["report"].terminated and any(s.running for s in states.values()))


def _spoken(log: str, when: str) -> str:
    return "; ".join(line for line in log.splitlines() if line.startswith(f"{when}:")) or "nothing"


def _names(pods: set[str]) -> str:
    return ", ".join(sorted(pods)) or "no Pod"
