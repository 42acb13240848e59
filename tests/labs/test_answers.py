"""There are enough answers to judge the grader by (``make test-labs`` does), and without any there are no points."""

from pathlib import Path
from uuid import uuid4

import pytest

from autograder.checks import judge
from autograder.manifest import Lab, labs
from autograder.verify import MUTANTS, Rates, answers, verify
from podium import Cluster

COURSE = Path(__file__).parents[2] / "labs"
LABS = list(labs().values())
TASKS = [task.id for lab in LABS for task in lab.checked]


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.id)
def test_there_are_enough_answers_and_each_has_a_name_of_its_own(lab: Lab) -> None:
    names = [(answer.task, answer.name) for answer in answers(COURSE, lab)]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("task", TASKS)
def test_doing_nothing_gets_nothing(task: str, cluster: Cluster) -> None:
    result = judge(task, cluster.api, f"nothing-{uuid4().hex[:8]}")
    assert (result.points, result.error) == (0, "")


@pytest.mark.all
@pytest.mark.kind
@pytest.mark.bundle
@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.id)
def test_every_answer_gets_what_it_deserves_in_kind_too(lab: Lab) -> None:
    trials = list(verify(COURSE, [lab], f"verify-{uuid4().hex[:8]}", backend="kind"))
    assert not [str(trial) for trial in trials if not trial.right]
    rates = Rates.of(trials)
    assert (rates.falsely_accepted, rates.falsely_rejected) == (0, 0)
    assert min(rates.breaks, rates.meets) >= MUTANTS * len(lab.checked)
