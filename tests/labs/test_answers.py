"""No wrong answer is accepted and no right one rejected: see autograder.verify."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from autograder.checks import judge
from autograder.manifest import Lab, labs
from autograder.verify import MUTANTS, Rates, answers, verify
from podium import Cluster

COURSE = Path(__file__).parents[2] / "labs"
LABS = list(labs().values())
TASKS = [task.id for lab in LABS for task in lab.checked]


def runs() -> Iterator[Any]:
    """Every lab on each backend."""
    for lab in LABS:
        yield pytest.param(lab, "embedded", id=f"embedded-{lab.id}", marks=pytest.mark.all)
        yield pytest.param(lab, "kind", id=f"kind-{lab.id}", marks=[pytest.mark.kind, pytest.mark.all])


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.id)
def test_there_are_enough_answers_and_each_has_a_name_of_its_own(lab: Lab) -> None:
    names = [(answer.task, answer.name) for answer in answers(COURSE, lab)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("task", TASKS)
def test_doing_nothing_gets_nothing(task: str, cluster: Cluster) -> None:
    result = judge(task, cluster.api, f"nothing-{uuid4().hex[:8]}")
    assert (result.points, result.error) == (0, "")


@pytest.mark.bundle
@pytest.mark.parametrize(("lab", "backend"), list(runs()))
def test_every_answer_gets_what_it_deserves(lab: Lab, backend: str) -> None:
    own = f"verify-{uuid4().hex[:8]}"  # some answers change nodes and components
    with Cluster(own, backend=backend) as cluster:
        trials = list(verify(COURSE, [lab], cluster))
    assert not [str(trial) for trial in trials if not trial.right]
    rates = Rates.of(trials)
    assert (rates.falsely_accepted, rates.falsely_rejected) == (0, 0)
    assert min(rates.breaks, rates.meets) >= MUTANTS * len(lab.checked)
