"""What is wrong with the grader is found, counted and told."""

from pathlib import Path

import pytest

from autograder.checks import Outcome, Result, criteria
from autograder.manifest import find_lab, find_task
from autograder.verify import Answers, Rates, Trial, answers, box
from podium.cli import main
from podium.errors import UsageError

TASK = find_task("02.1")
CRITERIA = criteria(TASK.id)


def trial(*got: str, loses: frozenset[str] = frozenset(), error: str = "") -> Trial:
    """A trial of task 02.1 that got these criteria."""
    outcomes = tuple(Outcome(criterion, criterion.name in got, "Found.") for criterion in CRITERIA)
    return Trial(TASK.id, "some-answer", loses, Result(TASK, outcomes), 1.0, error)


ALL = [criterion.name for criterion in CRITERIA]
RIGHT = trial(*ALL)
RIGHT_MUTANT = trial("label", "ready", "serves", loses=frozenset({"image"}))
FALSE_ACCEPT = trial(*ALL, loses=frozenset({"image", "label"}))
FALSE_REJECT = trial("image")
NOT_GIVEN = Trial(TASK.id, "some-answer", frozenset(), None, error="It could not be given.")


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (RIGHT, "right"),
        (RIGHT_MUTANT, "right"),
        (
            FALSE_ACCEPT,
            "accepted image, which it breaks; accepted label, which it breaks; image: Found.; label: Found.",
        ),
        (FALSE_REJECT, "rejected label, which it meets"),
        (NOT_GIVEN, "It could not be given."),
    ],
    ids=["right", "mutant", "accept", "reject", "error"],
)
def test_a_trial_says_what_is_wrong_with_it(found: Trial, says: str) -> None:
    assert found.right == (says == "right")
    assert str(found).startswith("02.1 some-answer (")
    assert says in str(found)


def test_an_error_alone_makes_a_trial_wrong() -> None:
    assert not trial(*ALL, error="The API server answered 500 Oops.").right


def test_rates_count_criteria() -> None:
    rates = Rates.of([RIGHT, RIGHT_MUTANT, FALSE_ACCEPT, FALSE_REJECT, NOT_GIVEN])
    assert (rates.falsely_accepted, rates.breaks, rates.falsely_rejected, rates.meets) == (2, 3, 7, 17)
    assert str(rates) == "false accepts 2 of 3 (66.7%), false rejects 7 of 17 (41.2%)"


def test_of_nothing_there_is_a_rate_too() -> None:
    assert str(Rates.of([])) == "false accepts 0 of 0 (0.0%), false rejects 0 of 0 (0.0%)"


def test_an_answer_can_only_lose_what_there_is() -> None:
    with pytest.raises(UsageError, match=r"Task 02\.1 has no criterion colour"):
        Answers().answer("02.1", "colour")


def test_a_course_needs_enough_answers(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no answers to lab 02"):
        answers(tmp_path, find_lab("02"))
    (tmp_path / "answers").mkdir()
    (tmp_path / "answers" / "lab_02.py").write_text("ANSWERS = []")
    with pytest.raises(UsageError, match=r"Task 02\.1 has 0 wrong and 0 right answers"):
        answers(tmp_path, find_lab("02"))


def test_bad_usage_is_told_before_a_cluster_is_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["labs", "verify", "02", "--course", str(tmp_path)]) == 2
    assert "no answers to lab 02" in capsys.readouterr().err
    assert main(["labs", "verify", "99"]) == 2


def test_a_command_of_one_word_is_a_script_only_if_it_looks_like_one() -> None:
    assert box("a", "true")["command"] == ["true"]
    assert box("a", "date; sleep 1")["command"] == ["sh", "-c", "date; sleep 1"]
    assert box("a", "sleep", "1")["command"] == ["sleep", "1"]
    assert "command" not in box("a")
