"""What a learner sees of a result."""

import pytest

from autograder.checks import Criterion, Outcome, Result
from autograder.manifest import find_task
from autograder.show import Report

TASK = find_task("02.1")
HOLDS = Outcome(Criterion("a", 1, "It is <b>there</b>.", "kubectl get pods"), True, "It is.")
FAILS = Outcome(Criterion("b", 2, "It runs.", "kubectl describe pod web"), False, "It is Pending & waits.")
HIDDEN = Outcome(Criterion("c", 1, "Secret thing.", "nowhere", hidden=True), False, "Secret finding.")
RESULT = Result(TASK, (HOLDS, FAILS, HIDDEN))


def test_text_says_asked_found_and_where_to_look() -> None:
    text = str(Report(RESULT, hints=1))
    assert text.splitlines() == [
        "02.1 A Pod from a manifest: 1 of 3 points, and 1 that only the grader tells",
        "  ✓ 1/1 It is <b>there</b>.",
        "  ✗ 0/2 It runs.",
        "        found: It is Pending & waits.",
        "        look:  kubectl describe pod web",
        f"  Hint 1 of 3: {TASK.hints[0]}",
    ]


def test_html_is_escaped() -> None:
    page = Report(RESULT)._repr_html_()
    assert "It is &lt;b&gt;there&lt;/b&gt;." in page
    assert "Pending &amp; waits" in page


@pytest.mark.parametrize("shown", [str(Report(RESULT)), Report(RESULT)._repr_html_(), str(Report(RESULT).as_dict())])
def test_hidden_criteria_are_nowhere(shown: str) -> None:
    assert "Secret" not in shown


@pytest.mark.parametrize("hints", [0, 1, 2, 3, 9])
def test_hints_come_one_by_one_and_in_order(hints: int) -> None:
    given = [line.partition(": ")[2] for line in Report(RESULT, hints).advice]
    assert given == list(TASK.hints[:hints])


def test_what_is_solved_needs_no_hint() -> None:
    assert not Report(Result(TASK, (HOLDS, HIDDEN)), hints=3).advice


def test_an_error_is_told_and_nothing_holds() -> None:
    report = Report(Result(TASK, (FAILS,), error="The API server answered 500 Oops."))
    assert "The API server answered 500 Oops." in str(report)
    assert "The API server answered 500 Oops." in report._repr_html_()
    assert not report.holds
