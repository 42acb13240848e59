"""The checks of lab 02, First Pod."""

import re
from collections.abc import Iterator
from http import HTTPStatus

from kubernetes.client import V1Pod
from kubernetes.utils import parse_quantity

from autograder.checks import Criterion, Verdict, task
from autograder.cluster import View, running_since, start_of, state_of

_NGINX = "podium.test/nginx:1.26"
_MEMORY = "32Mi"
_SHOP = {"front-1", "front-2", "back-1"}
_ON_CALL = {"front-1", "back-1"}
_FINISHED = {"import-1", "import-2"}
_PULL_REASONS = {"ErrImagePull", "ImagePullBackOff"}
_EXIT_CODE = "3"
_GRAIN = 1.0
"""Seconds: the API's timestamps have no smaller part."""
_LAG = 3.0
"""Seconds that a container may run before a busy node reports it."""


@task(
    "02.1",
    Criterion("image", 1, f"There is a Pod web with a container of the image {_NGINX}.", "kubectl get pod web -o yaml"),
    Criterion("label", 1, "The Pod has the label app=web.", "kubectl get pod web --show-labels"),
    Criterion("ready", 1, "The Pod becomes Ready and stays so.", "kubectl describe pod web"),
    Criterion("serves", 1, "It answers HTTP on port 80 with status 200.", "kubectl logs web"),
)
def web(view: View) -> Iterator[Verdict]:
    """A web server, described in a manifest."""
    pod = view.pod("web")
    images = _images(pod)
    yield Verdict("image", _NGINX in images, f"Its images: {', '.join(images)}." if pod else state_of(pod))
    if pod is None:
        return
    labels = pod.metadata.labels or {}
    yield Verdict("label", labels.get("app") == "web", f"Its labels: {labels or 'none'}.")
    ready = view.stays_ready("web")
    yield Verdict("ready", ready, state_of(view.pod("web")))
    serves = view.settles(lambda: view.get("web", port=80) == HTTPStatus.OK)
    yield Verdict("serves", bool(serves), f"GET / on port 80 was answered with {view.get('web', port=80)}.")


@task(
    "02.2",
    Criterion("ready", 1, "There is a Pod clock that becomes Ready and stays so.", "kubectl describe pod clock"),
    Criterion("log", 2, "It goes on printing the time, about once a second.", "kubectl logs clock"),
    Criterion("limit", 1, f"Its container may use {_MEMORY} of memory and no more.", "kubectl get pod clock -o yaml"),
)
def clock(view: View) -> Iterator[Verdict]:
    """A program that never ends, created through the Python client."""
    pod = view.pod("clock")
    ready = pod is not None and view.stays_ready("clock")
    yield Verdict("ready", ready, state_of(view.pod("clock")))
    if pod is None:
        return
    before = _times(view, "clock")
    grows = ready and view.settles(lambda: len(_times(view, "clock") - before) > 1)
    yield Verdict("log", bool(grows), "Its log grows." if grows else "Its log does not grow.")
    resources = pod.spec.containers[0].resources
    limit = ((resources and resources.limits) or {}).get("memory")
    holds = limit is not None and parse_quantity(limit) == parse_quantity(_MEMORY)
    yield Verdict("limit", holds, f"Its memory limit: {limit or 'none'}.")


@task(
    "02.4",
    Criterion("ready", 1, "There is a Pod patient that becomes Ready and stays so.", "kubectl describe pod patient"),
    Criterion(
        "phase",
        1,
        "The annotation phase-when-accepted says what the phase was in the API server's answer.",
        "The Pod that create_namespaced_pod returned, and https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/",
    ),
    Criterion(
        "accepted",
        1,
        "The annotation accepted-after says how many seconds the API server took to answer.",
        "The clock before and after create_namespaced_pod",
    ),
    Criterion(
        "running",
        2,
        "The annotation running-after says how many seconds after the request the Pod was Running.",
        "kubectl get pod patient -o yaml: metadata.creationTimestamp, and startedAt under status.containerStatuses",
    ),
)
def patient(view: View) -> Iterator[Verdict]:
    """The distance between 201 Created and Running, measured and compared with the Pod's own timestamps."""
    ready = view.stays_ready("patient")
    yield Verdict("ready", ready, state_of(pod := view.pod("patient")))
    started = pod and running_since(pod)
    if not started:
        return
    notes = pod.metadata.annotations or {}
    took = (started - pod.metadata.creation_timestamp).total_seconds()
    phase = notes.get("phase-when-accepted", "")
    yield Verdict("phase", phase == "Pending", _said(notes, "phase-when-accepted"))
    accepted, running = (_seconds(notes.get(name, "")) for name in ("accepted-after", "running-after"))
    # Nothing on the cluster says how long the answer took; but it cannot have taken half as long as the containers.
    yield Verdict("accepted", accepted is not None and 0 < accepted < took / 2, _said(notes, "accepted-after"))
    yield Verdict(
        "running",
        running is not None and took - _GRAIN <= running <= took + _GRAIN + _LAG,
        f"{_said(notes, 'running-after')} By the Pod's timestamps it was about {took:.0f} s.",
    )


@task(
    "02.5",
    Criterion(
        "marked",
        1,
        "Every Pod of the tiers front and back that is not a canary has the label on-call=yes.",
        "kubectl get pods --show-labels",
    ),
    Criterion("only", 1, "No other Pod has that label.", "kubectl get pods -l on-call", hidden=True),
    Criterion("gone", 1, "The Pods that have Succeeded are deleted.", "kubectl get pods"),
    Criterion("kept", 1, "Of the others, none is deleted.", "kubectl get pods"),
)
def choosing(view: View) -> Iterator[Verdict]:
    """Pods chosen by label, and by field."""
    pods = view.pods()
    if not pods.keys() & (_SHOP | _FINISHED):
        return
    marked = {name for name, pod in pods.items() if (pod.metadata.labels or {}).get("on-call") == "yes"}
    yield Verdict("marked", marked >= _ON_CALL, f"It is on: {_names(marked)}.")
    yield Verdict("only", bool(marked) and marked <= _ON_CALL, f"It is on: {_names(marked)}.")
    left = _FINISHED & pods.keys()
    yield Verdict("gone", not left, f"Still there: {_names(left)}.")
    lost = _SHOP - pods.keys()
    yield Verdict("kept", left != _FINISHED and not lost, f"Missing: {_names(lost)}; still there: {_names(left)}.")


@task(
    "02.6",
    Criterion(
        "reason",
        1,
        "In the ConfigMap diagnosis, catalogue is the reason for which its container was waiting.",
        "kubectl get pod catalogue -o yaml: status.containerStatuses[0].state.waiting",
    ),
    Criterion("catalogue", 2, f"The Pod catalogue runs {_NGINX} and is Ready.", "kubectl describe pod catalogue"),
    Criterion(
        "exit-code",
        1,
        "In the ConfigMap diagnosis, greeter is the exit code of its program.",
        "kubectl get pod greeter -o yaml: status.containerStatuses[0].lastState.terminated",
    ),
    Criterion("greeter", 1, "The Pod greeter becomes Ready and stays so.", "kubectl describe pod greeter"),
    Criterion("greets", 1, "Its program is unchanged, and greets.", "kubectl logs greeter"),
)
def mending(view: View) -> Iterator[Verdict]:
    """Two failures read and mended: an image that is not there, and a program that gives up."""
    diagnosis = view.config_map("diagnosis")
    reason, code = (diagnosis.get(name, "").strip() for name in ("catalogue", "greeter"))
    yield Verdict("reason", reason in _PULL_REASONS, _said(diagnosis, "catalogue"))
    yield Verdict("exit-code", code == _EXIT_CODE, _said(diagnosis, "greeter"))
    images = _images(view.pod("catalogue"))
    runs = _NGINX in images and view.stays_ready("catalogue")
    yield Verdict("catalogue", runs, f"{state_of(view.pod('catalogue'))} Its images: {', '.join(images) or 'none'}.")
    ready = view.stays_ready("greeter")
    pod = view.pod("greeter")
    yield Verdict("greeter", ready, state_of(pod))
    # What it says when it gives up begins with its name.
    spoken = [line for line in view.log("greeter").splitlines() if line.strip() and not line.startswith("greeter:")]
    command = start_of("02.6")["pod/greeter"]["spec"]["containers"][0]["command"]
    unchanged = pod is not None and pod.spec.containers[0].command == command
    found = f"It says {spoken[0][:60]!r}" if spoken else "It has not greeted"
    yield Verdict("greets", bool(spoken) and unchanged, found + ("." if unchanged else ", and its command is another."))


def _images(pod: V1Pod | None) -> list[str]:
    return [container.image for container in pod.spec.containers] if pod else []


def _times(view: View, pod: str) -> set[str]:
    """The lines of the Pod's log that hold a time of day."""
    return {line for line in view.log(pod).splitlines() if re.search(r"\d\d:\d\d:\d\d", line)}


def _seconds(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _said(notes: dict[str, str], name: str) -> str:
    """What a learner has written under this name."""
    return f"It says {notes[name]!r}." if name in notes else "It is not there."


def _names(pods: set[str]) -> str:
    return ", ".join(sorted(pods)) or "none"
