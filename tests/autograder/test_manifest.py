"""The manifest is complete, and the checks agree with it."""

import re

import pytest

from autograder import checks
from autograder.cluster import start_of
from autograder.manifest import Lab, Task, find_lab, find_task, labs
from podium.errors import UsageError

LABS = list(labs().values())
TASKS = [task for lab in LABS for task in lab.tasks]


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.id)
def test_tasks_are_numbered_in_their_order(lab: Lab) -> None:
    assert [task.id for task in lab.tasks] == [f"{lab.id}.{number}" for number in range(1, len(lab.tasks) + 1)]
    assert lab.assignment.startswith(f"{lab.id}-")


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)
def test_every_task_says_what_it_teaches_and_why_it_is_so(task: Task) -> None:
    assert all(re.fullmatch(r"[1-9]\.[1-9]", concept) for concept in task.concepts)
    assert task.concepts
    assert task.design.strip()
    assert task.points > 0


@pytest.mark.parametrize("task", [task for task in TASKS if not task.manual], ids=lambda task: task.id)
def test_every_checked_task_has_hints_and_criteria(task: Task) -> None:
    criteria = checks.criteria(task.id)
    assert len(task.hints) >= 2
    assert sum(criterion.points for criterion in criteria) == task.points
    assert any(not criterion.hidden for criterion in criteria)
    assert all(criterion.asked.endswith(".") and criterion.look for criterion in criteria)


@pytest.mark.parametrize("task", [task for task in TASKS if task.start.exists()], ids=lambda task: task.id)
def test_every_start_says_what_is_to_be_waited_for(task: Task) -> None:
    assert {found["becomes"] for found in start_of(task.id).values() if "becomes" in found} <= {
        "runs",
        "ends",
        "waits",
        "pends",
        "restarts",
    }


def test_labs_are_found_by_either_name() -> None:
    assert find_lab("02") is find_lab("02-first-pod")


def test_unknown_names_are_told_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no lab '99'.*\n.*02"):
        find_lab("99")
    with pytest.raises(UsageError, match=r"no task '02\.99'.*\n.*02\.1"):
        find_task("02.99")
