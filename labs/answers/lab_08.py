"""Answers to lab 08: for each fault of each part of the shop a right one, further right ones, and wrong ones."""

import json
from collections.abc import Callable
from itertools import count

from autograder.cluster import start_of
from autograder.faults import draw
from autograder.verify import Answers, Work, box
from podium.errors import PodiumError
from podium.waiting import wait_until

ANSWERS = Answers()

PARTS = {
    "08.2": "store",
    "08.3": "catalogue",
    "08.4": "orders",
    "08.5": "courier",
    "08.6": "till",
    "08.7": "front",
}
NO_PROBE = {"readinessProbe": None}
SPOILT = {
    "08.2": ("command", NO_PROBE),
    "08.3": ("selector", NO_PROBE),
    "08.4": ("secret", {"env": [{"name": "CURRENCY", "value": "beans", "valueFrom": None}]}),
    "08.5": ("affinity", {"resources": None}),
    "08.6": ("memory", {"livenessProbe": None}),
    "08.7": ("replicas", NO_PROBE),
}
"""For each task a fault, and what a careless learner changes beside it in the container."""


def seed_of(task: str, fault: str) -> str:
    """A seed that draws this fault."""
    start = start_of(task)
    return next(seed for seed in map(str, count()) if draw(start, seed) == f"fault/{fault}")


def faults(task: str) -> list[str]:
    """The names of a task's faults."""
    return [name.removeprefix("fault/") for name in start_of(task) if name.startswith("fault/")]


def replace(work: Work, task: str, fault: str) -> None:
    """Put the objects that the fault has changed back to what they were."""
    start = start_of(task)
    for name in start[f"fault/{fault}"]["changes"]:
        manifest = json.dumps(start[name])
        wait_until(lambda manifest=manifest: replaced(work, manifest), f"{name} to be replaced", 180)


def replaced(work: Work, manifest: str) -> bool:
    """Whether an object could be replaced: not if a controller has changed it at the same moment."""
    try:
        work.kubectl("replace", "--filename=-", input=manifest)
    except PodiumError as problem:
        if "Conflict" not in problem.what:
            raise
        return False
    return True


def add(task: str, fault: str, name: str, give: Callable[[Work], None], *loses: str) -> None:
    """Add an answer of this name."""
    give.__name__ = f"{fault}_{name}"
    ANSWERS.answer(task, *loses, seed=seed_of(task, fault))(give)


def told(task: str, fault: str, give: Callable[[Work], None]) -> Callable[[Work], None]:
    """An answer that also names the cause."""

    def both(work: Work) -> None:
        work.record(**{PARTS[task]: fault})
        give(work)

    return both


def spoil(work: Work, task: str, fault: str, change: dict) -> None:
    """Mend the fault, and change the container of the part carelessly."""
    replace(work, task, fault)
    body = {"spec": {"template": {"spec": {"containers": [{"name": PARTS[task], **change}]}}}}
    work.apps.patch_namespaced_deployment(PARTS[task], work.namespace, body)


for task in PARTS:
    for fault in faults(task):
        add(task, fault, "taken_back", told(task, fault, lambda work, t=task, f=fault: replace(work, t, f)))
    first, second, third = faults(task)
    add(task, first, "only_named", told(task, first, lambda work: None), "works", "kept")
    add(task, second, "named_wrongly", told(task, third, lambda work, t=task, f=second: replace(work, t, f)), "cause")
    fault, change = SPOILT[task]
    give = told(task, fault, lambda work, t=task, f=fault, c=change: spoil(work, t, f, c))
    add(task, fault, "mended_and_more_changed", give, "kept")


# Some faults can also be mended by giving a part what it asks for.


def gives_a_key(work: Work) -> None:
    work.core.patch_namespaced_config_map("orders", work.namespace, {"data": {"curency": "beans"}})


def gives_a_secret(work: Work) -> None:
    work.kubectl("create", "secret", "generic", "order", "--from-literal=token=open-sesame")


def gives_a_horse(work: Work) -> None:
    work.pod("horse", box("horse", "sleep", "infinity"), labels={"app": "horse"})


def gives_an_account(work: Work) -> None:
    work.kubectl("create", "serviceaccount", "front-desk")


for task, fault, give in (
    ("08.4", "key", gives_a_key),
    ("08.4", "secret", gives_a_secret),
    ("08.5", "affinity", gives_a_horse),
    ("08.7", "account", gives_an_account),
):
    add(task, fault, give.__name__, told(task, fault, give))
