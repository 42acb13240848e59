"""The checks of lab 08, Capstone. The parts of the shop differ, and what is asked of each of them is the same."""

from collections.abc import Callable, Iterator
from http import HTTPStatus

from kubernetes.client import V1Pod

from autograder.checks import Criterion, Verdict, task
from autograder.cluster import View, is_ready, running_since, state_of

PARTS = {
    "08.2": ("store", 1, ""),
    "08.3": ("catalogue", 2, "pods, beans, lentils"),
    "08.4": ("orders", 1, "to be paid in beans"),
    "08.5": ("courier", 2, ""),
    "08.6": ("till", 1, "open"),
    "08.7": ("front", 2, "Welcome to the shop"),
}
"""Of each task the part of the shop, how many Pods it has, and what it answers where it has a Service for that."""


def _check(task_id: str, part: str, count: int, text: str) -> Callable[[View], Iterator[Verdict]]:
    pods = f"kubectl get pods -l app={part}"

    def works(view: View) -> str:
        """What does not work; empty where everything does."""

        def rolled() -> bool:
            deployment, found = view.deployment(part), view.pods(f"app={part}").values()
            if deployment is None or deployment.status.observed_generation != deployment.metadata.generation:
                return False
            new = deployment.status.updated_replicas == deployment.status.replicas == len(found)
            return new and len(found) >= count and all(map(is_ready, found))

        if not view.settles(rolled):
            found = [f"{name}: {state_of(pod)}" for name, pod in sorted(view.pods(f"app={part}").items())]
            return " ".join(found) or "It has no Pods."
        if unsteady := [name for name in sorted(view.pods(f"app={part}")) if not view.stays_ready(name)]:
            return f"{unsteady[0]} does not stay Ready. {state_of(view.pod(unsteady[0]))}"
        if killed := [pod.metadata.name for pod in view.pods(f"app={part}").values() if _killed(view, pod)]:
            return f"{killed[0]} is being killed."
        if text and not view.settles(lambda: text in view.fetch_service(part, 80)[1]):
            status, said = view.fetch_service(part, 80)
            return f"The Service answers with status {status}" + (f": {said[:60]}" if status == HTTPStatus.OK else ".")
        return ""

    def check(view: View) -> Iterator[Verdict]:
        if view.deployment(part) is None:
            return
        told = view.config_map("diagnosis").get(part, "").strip()
        yield Verdict("cause", bool(told) and told == view.drawn(task_id), f"It says {told or 'nothing'}.")
        broken = works(view)
        yield Verdict("works", not broken, broken or "It does.")
        lost = view.lost(task_id)
        found = f"Other than before: {', '.join(lost)}." if lost else "Everything else is as it was."
        yield Verdict("kept", not broken and not lost, found)

    ready = "Its Pod is Ready and stays" if count == 1 else f"All {count} Pods are Ready and stay"
    answers = f" and its Service answers {text!r}" if text else ""
    return task(
        task_id,
        Criterion(
            "cause",
            1,
            f"In the ConfigMap diagnosis, {part} names the cause, with a word of the list.",
            "kubectl get configmap diagnosis -o yaml",
        ),
        Criterion(
            "works",
            2,
            f"{ready} so{answers}.",
            f"{pods}; kubectl describe deployment {part}",
        ),
        Criterion(
            "kept",
            1,
            "Apart from the fault, everything is as it was: programs, probes, requests, numbers.",
            f"kubectl get deployment {part} -o yaml",
        ),
    )(check)


def _killed(view: View, pod: V1Pod) -> bool:
    """Whether the container that runs is about to be killed, which can take a while on a busy node."""
    since = running_since(pod)
    return since is None or any(event.last_timestamp > since for event in view.events(pod.metadata.name, "Killing"))


for _task_id, _part in PARTS.items():
    _check(_task_id, *_part)
