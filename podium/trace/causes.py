"""Which step caused which.

Components meet in the data only, so that is where causes are found: a write is the request's that was answered with its
revision; what a watcher sees is a write; a call is its caller's.

Where the records leave it open, a step has no cause.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise

from podium.trace.model import Step

_LATE = 0.05  # seconds


def link(steps: list[Step]) -> None:
    """Set the cause of each step, where it is known."""
    ordered = sorted(steps, key=lambda step: step.start)
    writes = [step for step in ordered if step.component == "etcd"]
    requests = [step for step in ordered if step.component == "kube-apiserver" and step.verb not in _PARTS]
    _stores(ordered, requests, writes)
    for step in ordered:
        if step.cause is None:
            step.cause = _cause(step, [other for other in ordered if other is not step and _before(other, step)])


def _before(other: Step, step: Step) -> bool:
    """etcd's watch may bring a write to Podium a moment later than the API server's watch to a component."""
    return other.start <= step.start + (_LATE if other.component == "etcd" else 0)


_PARTS = {"authorize", "admit", "answer"}


def _stores(ordered: list[Step], requests: list[Step], writes: list[Step]) -> None:
    """Each write of etcd is one request's: by the revision, or, where the answer has none, by the order."""
    by_revision = {(r.facts["key"], r.facts["revision"]): r for r in requests if "revision" in r.facts}
    told = {(write.facts["key"], write.facts["revision"]) for write in writes}
    open_ = [r for r in requests if (r.facts["key"], r.facts.get("revision")) not in told and not r.facts["refused"]]
    for write in writes:
        key = write.facts["key"]
        request = by_revision.get((key, write.facts["revision"]))
        if request is None:
            request = next((r for r in open_ if r.facts["key"] == key and r.start <= write.start), None)
            if request:
                open_.remove(request)
        if request is None:  # a deletion may take two writes
            request = _last(r for r in requests if r.facts["key"] == key and r.start <= write.start)
        if request is None:
            continue
        parts = [step for step in ordered if step.record is request.record]
        write.cause = [part for part in parts if part.verb != "answer"][-1]
        write.start = min(write.start, request.end or write.start)
        for answer in parts:
            if answer.verb == "answer":
                answer.cause = write
    for earlier, later in reversed(list(pairwise(sorted(writes, key=lambda write: write.facts["revision"])))):
        earlier.start = min(earlier.start, later.start)  # revisions are the order of writes


def _last(steps: Iterable[Step]) -> Step | None:
    return max(steps, key=lambda step: step.start, default=None)


def _cause(step: Step, earlier: list[Step]) -> Step | None:
    """The latest earlier step that fits."""

    def last(*tests: Callable[[Step], bool]) -> Step | None:
        return _last(other for other in earlier if all(test(other) for test in tests))

    def same(*names: str) -> Callable[[Step], bool]:
        return lambda other: all(other.facts.get(name) == step.facts.get(name) for name in names)

    def did(program: str, *verbs: str) -> Callable[[Step], bool]:
        return lambda other: other.component.rpartition("/")[2] == program and other.verb in verbs

    def wrote(resource: str, *verbs: str, **facts: object) -> Callable[[Step], bool]:
        """A write of etcd whose request fits."""
        return lambda other: (
            other.component == "etcd"
            and other.facts["resource"] == resource
            and other.cause is not None
            and other.cause.facts["verb"].split(" ")[0] in verbs
            and all(other.cause.facts.get(name) == value for name, value in facts.items())
        )

    failed = lambda other: other.facts.get("failed", False)  # noqa: E731
    pod = step.facts.get("pod", "")
    program = step.component.rpartition("/")[2]
    this_pod = lambda other: other.facts.get("name") == pod  # noqa: E731
    match program, step.verb:
        case "kube-scheduler", "see":
            return last(wrote("pods", "create", "admit", "authorize"), this_pod)
        case "kube-scheduler", _:
            return last(did(program, "see", "filter", "score"), same("pod"))
        case "kubelet", "see":
            return last(wrote("pods", "bind"), this_pod)
        case "kubelet", "see deletion":
            return last(wrote("pods", "delete", final=False), this_pod)
        case "kubelet", "see removal":
            return last(wrote("pods", "delete", final=True), this_pod)
        case "kubelet", "notice start":
            return last(did("containerd", "start", "run sandbox"), same("id"))
        case "kubelet", "notice end":
            return last(did("containerd", "exit"), same("id"))
        case "kubelet", "admit" | "mount":
            return last(did(program, "see"), same("pod", "node"))
        case "kubelet", "sandbox":
            return last(did(program, "mount", "admit"), same("pod", "node"))
        case "kubelet", "address":
            return last(did(program, "sandbox"), same("pod", "node"))
        case "kubelet", "container":
            return last(did(program, "address"), same("pod", "node"))
        case "kubelet", "stop":
            return last(did(program, "see deletion"), same("pod", "node"))
        case "kubelet", "unmount" | "clean up":
            return last(did(program, "stop"), same("pod", "node"))
        case "containerd", "run sandbox":
            return last(did("kubelet", "sandbox"), same("pod", "node"))
        case "containerd", "create":
            return last(did("kubelet", "container"), same("pod", "node", "container"))
        case "containerd", "start":
            return last(did(program, "create"), same("id"))
        case "containerd", "run" | "exit":
            return last(did(program, "stop" if step.verb == "exit" else "start"), same("id"))
        case "containerd", "stop":
            return last(did("kubelet", "stop"), same("pod", "node"))
        case "containerd", "stop sandbox":
            return last(did("kubelet", "see deletion"), same("pod", "node"))
        case "containerd", "tear down":
            return last(did(program, "stop sandbox"), same("id"))
        case "containerd", "pull image":
            return last(did("kubelet", "container"), same("pod", "node"))
        case "kubelet", "give up":
            return last(did("containerd", "pull image", "run sandbox"), same("pod", "node"), failed)
        case "kube-apiserver", "bind":
            return last(did("kube-scheduler", "bind"), same("pod"))
        case "kube-apiserver", "event":
            return _told(step, last)
        case "kube-apiserver", "create":
            return (
                last(
                    wrote(
                        {"pods": "replicasets", "replicasets": "deployments"}.get(step.facts["resource"], ""),
                        "create",
                        "admit",
                        "authorize",
                    )
                )
                if step.by.endswith("-controller")
                else None
            )
        case "kube-apiserver", "patch status":
            return _reported(step, last)
        case "kube-apiserver", "update" if step.facts["resource"] == "endpointslices":
            return last(wrote("pods", "patch", "delete"))
        case "kube-apiserver", "delete" if step.facts.get("final") and step.by.endswith("/kubelet"):
            return last(did("kubelet", "clean up"), lambda other: other.facts["pod"] == pod)
    return None


_TELLS = {
    "Scheduled": ("kube-scheduler", "bind"),
    "FailedScheduling": ("kube-scheduler", "filter"),
    "Created": ("containerd", "create"),
    "Started": ("containerd", "start"),
    "Killing": ("kubelet", "see deletion"),
    "Unhealthy": ("kubelet", "probe"),
}


def _told(step: Step, last: Callable[..., Step | None]) -> Step | None:
    """An event is told by the component that it is about."""
    program, verb = _TELLS.get(step.facts["reason"], ("", ""))
    return last(
        lambda other: (
            other.component.rpartition("/")[2] == program
            and other.verb == verb
            and other.facts.get("pod") == step.facts["about"]
        )
    )


_NOTICES = ("notice start", "notice end")


def _reported(step: Step, last: Callable[..., Step | None]) -> Step | None:
    """A status is the report of what its sender has just found."""
    changed = step.facts.get("changes", [])
    if not step.by.endswith("/kubelet"):
        verbs = {"filter"}
    elif any(change.startswith("container ") and "waiting" not in change for change in changed):
        verbs = {*_NOTICES, "probe"}
    elif "PodReadyToStartContainers True" in changed:
        verbs = {"address"}
    elif "PodReadyToStartContainers False" in changed and "Initialized True" in changed:
        verbs = {"see"}
    elif "Ready True" in changed:
        verbs = {"probe"}
    else:
        return None
    sender = step.by
    return last(
        lambda other: (
            other.component == sender
            and other.verb in verbs
            and other.facts["pod"] == step.facts["pod"]
            and not (other.verb in _NOTICES and other.object.startswith("sandbox"))
        )
    )
