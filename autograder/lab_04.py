"""The checks of lab 04, Life cycle."""

import time
from collections.abc import Iterator

from kubernetes.client import V1ContainerStateTerminated, V1Pod

from autograder.checks import Criterion, Verdict, task
from autograder.cluster import STEADY, View, containers, is_over, is_ready, state_of

_LINGERS = 5.0
"""Seconds after which a Pod that is still Pending is taken to stay so."""

_SICK_AFTER = 10.0
"""Seconds for which agnhost's liveness server is well: test/images/agnhost/liveness/server.go of Kubernetes."""

_GRAIN = 1.0
"""Seconds: the API's timestamps have no smaller part."""

_STRICT = 5
"""Seconds within which a probe that is strict notices."""


@task(
    "04.1",
    *(
        Criterion(name, 1, f"There is a Pod {name}, and its phase is {name.capitalize()} and stays so.", look)
        for name, look in (
            ("pending", "kubectl describe pod pending: what does it wait for?"),
            ("running", "kubectl get pod running: is it Ready, and does it restart?"),
            ("succeeded", "kubectl get pod succeeded -o yaml: restartPolicy, and exitCode in status.containerStatuses"),
            ("failed", "kubectl get pod failed -o yaml: restartPolicy, and exitCode in status.containerStatuses"),
        )
    ),
)
def phases(view: View) -> Iterator[Verdict]:
    """A Pod in each phase."""
    running = view.stays_ready("running")
    runs = _containers(view.pod("running"))
    for name in ("succeeded", "failed"):
        if view.pod(name):
            view.settles(lambda name=name: (pod := view.pod(name)) is None or is_over(pod) or _count(pod))
        pod = view.pod(name)
        yield Verdict(name, bool(pod) and pod.status.phase == name.capitalize(), state_of(pod))
    deadline = time.monotonic() + _LINGERS
    while (pod := view.pod("pending")) and pod.status.phase == "Pending" and time.monotonic() < deadline:
        time.sleep(0.5)
    yield Verdict("pending", bool(pod) and pod.status.phase == "Pending", state_of(pod))
    # Some time has passed meanwhile: enough for a busy node to report that the container is another by now.
    pod = view.pod("running")
    same = pod is not None and is_ready(pod) and _containers(pod) == runs
    yield Verdict("running", running and same, state_of(pod))


@task(
    "04.2",
    Criterion("succeeded", 2, "A Pod with the label app=import has Succeeded.", "kubectl get pods -l app=import"),
    Criterion(
        "once",
        1,
        "Kubernetes restarted its container, exactly once.",
        "kubectl get pods -l app=import: the column RESTARTS",
    ),
    Criterion("imported", 1, "At its last run the program said: imported.", "kubectl logs -l app=import"),
)
def once_more(view: View) -> Iterator[Verdict]:
    """A program that fails once, and the restart policy that it needs."""

    def outcome() -> V1Pod | None:
        """The Pod that tells how it went, once one does."""
        found = view.pods("app=import").values()
        over = [pod for pod in found if pod.status.phase == "Succeeded"]
        return next(iter(over or [pod for pod in found if is_over(pod) or _count(pod) > 1]), None)

    if not view.pods("app=import"):
        return
    pod = view.settles(outcome) or next(iter(view.pods("app=import").values()), None)
    succeeded = pod is not None and pod.status.phase == "Succeeded"
    yield Verdict("succeeded", succeeded, state_of(pod))
    count = _count(pod) if pod else 0
    yield Verdict("once", succeeded and count == 1, f"It was restarted {count} times.")
    log = view.log(pod.metadata.name).strip() if pod else ""
    yield Verdict("imported", log == "imported", f"It said {log[:60]!r}.")


@task(
    "04.4",
    Criterion(
        "restarted",
        2,
        "The container of the Pod forgetful is restarted because its liveness probe fails.",
        "kubectl describe pod forgetful: the events Unhealthy and Killing",
    ),
    Criterion(
        "patient",
        2,
        "It is not restarted before the program is sick, which is after ten seconds.",
        "kubectl get pod forgetful -o yaml: startedAt and finishedAt under lastState",
    ),
)
def alive(view: View) -> Iterator[Verdict]:
    """A program that is stuck and does not end."""
    pod = view.pod("forgetful")
    if pod is None:
        return

    def ended() -> V1ContainerStateTerminated | None:
        states = [status.last_state.terminated for status in containers(view.pod("forgetful") or pod)]
        return next(filter(None, states), None)

    # A node may tell of the new run a moment before it tells how the last one ended.
    last = view.settles(ended)
    pod = view.pod("forgetful") or pod
    killed = [e.message for e in view.events("forgetful", "Killing") if "failed liveness probe" in (e.message or "")]
    restarted = last is not None and bool(killed)
    found = f"It was restarted {_count(pod)} times" + ("." if killed else ", and no liveness probe was the reason.")
    yield Verdict("restarted", restarted, found)
    lasted = (last.finished_at - last.started_at).total_seconds() if last else 0.0
    patient = lasted >= _SICK_AFTER - _GRAIN
    yield Verdict("patient", patient, f"Its last run lasted {lasted:.0f} s." if last else "It was never restarted.")


@task(
    "04.5",
    Criterion("ready", 2, "The Pod slow becomes Ready at its first start and stays so.", "kubectl describe pod slow"),
    Criterion("calm", 1, "Its container is never restarted.", "kubectl get pod slow: the column RESTARTS"),
    Criterion(
        "strict",
        1,
        f"Once it has started, a liveness probe still notices within {_STRICT} seconds that it is stuck.",
        "kubectl get pod slow -o yaml: livenessProbe, its periodSeconds times its failureThreshold",
    ),
)
def slow(view: View) -> Iterator[Verdict]:
    """A slow start under a strict liveness probe."""
    steady = view.stays_ready("slow")
    pod = view.pod("slow")
    # On a busy node the Pod that was given may get through at last: what was restarted earns nothing.
    ready = steady and pod is not None and _count(pod) == 0
    yield Verdict("ready", ready, state_of(pod))
    if pod is None:
        return
    yield Verdict("calm", ready, f"It was restarted {_count(pod)} times.")
    probe = pod.spec.containers[0].liveness_probe
    notices = probe and probe.period_seconds * probe.failure_threshold
    found = f"It would notice after {notices} s." if notices else "It has no liveness probe."
    yield Verdict("strict", ready and notices is not None and notices <= _STRICT, found)


@task(
    "04.6",
    Criterion("running", 1, "The Pods desk-1 and desk-2 run and are not restarted.", "kubectl get pods"),
    Criterion(
        "only",
        2,
        "The Service desk finds both and leads only to desk-1, for desk-2 is not ready.",
        "kubectl get endpointslices -l kubernetes.io/service-name=desk -o yaml: conditions.ready of each endpoint",
    ),
)
def desks(view: View) -> Iterator[Verdict]:
    """Two desks, of which one is open."""
    names = ("desk-1", "desk-2")
    if not any(view.pod(name) for name in names):
        return

    def running() -> bool:
        return all((pod := view.pod(name)) and pod.status.phase == "Running" for name in names)

    def led() -> bool:
        return view.backends("desk") == {"desk-1"} and view.backends("desk", ready=False) == {"desk-2"}

    if view.settles(running) and view.settles(led):
        time.sleep(STEADY)
    pods = [view.pod(name) for name in names]
    holds = running() and not any(_count(pod) for pod in pods if pod)
    yield Verdict("running", holds, " ".join(f"{name}: {state_of(pod)}" for name, pod in zip(names, pods, strict=True)))
    found = (
        f"It leads to: {_names(view.backends('desk'))}; it leaves out: {_names(view.backends('desk', ready=False))}."
    )
    yield Verdict("only", holds and led(), found)  # while it waits to be restarted, a Pod is left out as well


@task(
    "04.7",
    Criterion("hello", 1, "When it started, the guest said hello.", "kubectl logs guestbook"),
    Criterion("bye", 1, "When it was told to leave, it said bye.", "kubectl logs guestbook"),
    Criterion("done", 2, "At last it said done: it had the time to finish.", "kubectl logs guestbook"),
    Criterion("gone", 1, "The Pod guest was there, and is gone.", "kubectl get pods"),
)
def farewell(view: View) -> Iterator[Verdict]:
    """Hooks and the grace period, as a guest book saw them."""
    said = [line.removeprefix("guest said ") for line in view.log("guestbook").splitlines() if "guest said" in line]
    if not said and view.pod("guest") is None:
        return
    found = f"It said: {', '.join(said) or 'nothing'}."
    yield Verdict("hello", said[:1] == ["hello"], found)
    yield Verdict("bye", "bye" in said and "hello" not in said[said.index("bye") :], found)
    yield Verdict("done", said[-1:] == ["done"], found)
    gone = "guest" not in [pod.metadata.name for pod in view.core.list_namespaced_pod(view.namespace).items]
    yield Verdict("gone", bool(said) and gone, "It is gone." if gone else "It is still there.")


def _containers(pod: V1Pod | None) -> set[str | None]:
    """The runs of the Pod's containers: a container that is restarted has another id."""
    return {status.container_id for status in containers(pod)} if pod else set()


def _count(pod: V1Pod) -> int:
    """How often containers of the Pod were restarted."""
    return sum(status.restart_count for status in containers(pod))


def _names(pods: set[str]) -> str:
    return ", ".join(sorted(pods)) or "none"
