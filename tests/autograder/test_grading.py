"""Submissions are run within limits, and never believed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from nbformat.v4 import new_code_cell
from nbgrader.utils import determine_grade

from autograder.checks import Criterion, Outcome, Result
from autograder.dialogue import Dialogue, NoAnswer
from autograder.grading import as_outputs, graded_task, read
from autograder.judging import Judge
from autograder.manifest import find_lab, find_task
from autograder.sandbox import require
from podium.cli import main
from podium.errors import PodiumError

LAB = find_lab("02")
SOURCE = Path(__file__).parents[2] / "labs" / "source" / LAB.assignment / f"{LAB.assignment}.ipynb"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "not a Jupyter notebook"),
        ("[]", "not a Jupyter notebook"),
        ("{}", "not a Jupyter notebook"),
        ('{"nbformat": 3, "nbformat_minor": 0, "metadata": {}, "worksheets": []}', "not a Jupyter notebook"),
        (
            '{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"id": "a", "cell_type": "x"}]}',
            "not a Jupyter notebook",
        ),
        ("[" * 100_000, "not a Jupyter notebook"),
        (b"\xff\xfe\x00", "not a Jupyter notebook"),
        (200 * 2**20, "more than the"),
        (None, "could not be read"),
    ],
    ids=["empty", "list", "object", "format-3", "cell", "deep", "binary", "big", "missing"],
)
def test_what_is_no_notebook_is_refused(tmp_path: Path, content: str | bytes | int | None, says: str) -> None:
    path = tmp_path / f"{LAB.assignment}.ipynb"
    if isinstance(content, int):
        with path.open("wb") as file:
            file.truncate(content)
    elif content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(PodiumError, match=says):
        read(path)


def test_a_notebook_of_no_lab_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PodiumError, match="no lab 'holiday'"):
        read(tmp_path / "holiday.ipynb")


def test_the_cells_of_another_lab_are_not_graded_here() -> None:
    cell = new_code_cell("1", metadata={"nbgrader": {"grade_id": LAB.checked[0].grade_id}})
    assert graded_task(cell, LAB) == LAB.checked[0].id
    assert graded_task(cell, find_lab("03")) is None


def test_without_bubblewrap_nothing_is_graded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    require.cache_clear()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["grade", str(SOURCE)]) == 3
    assert "bubblewrap is missing" in capsys.readouterr().err


def test_without_namespaces_nothing_is_graded() -> None:
    command = [Path(sys.executable).with_name("podium"), "grade", SOURCE]
    walls = ["bwrap", "--unshare-user", "--disable-userns", "--dev-bind", "/", "/", "--proc", "/proc"]
    done = subprocess.run([*walls, *command], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 3, done.stderr
    assert "no sandbox can be made" in done.stderr


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("import time; time.sleep(60)", "took more than 1 s"),
        ("print('x' * 1000_000)", "gave an answer that cannot be read"),
        ("print('[' * 100_000)", "gave an answer that cannot be read"),
        ("print('4.0')", "gave an answer that cannot be read"),
        ("print('{')", "gave an answer that cannot be read"),
        ("raise SystemExit(1)", "ended"),
    ],
    ids=["silent", "big", "deep", "number", "broken", "ends"],
)
def test_what_gives_no_answer_is_ended(answer: str, why: str) -> None:
    dialogue = Dialogue([sys.executable, "-c", f"input(); {answer}; input()"], os.environ)
    limit = 1 if why.startswith("took") else 60
    for _ in range(2):  # and is not asked again
        with pytest.raises(NoAnswer, match=why):
            dialogue.ask({}, limit)
    dialogue.end()


def test_a_check_without_an_answer_gives_no_points(tmp_path: Path) -> None:
    class Nowhere:
        kubeconfig_path = tmp_path / "none"

    with Judge(Nowhere()) as judge:
        result = judge.judge(LAB.checked[0])
    assert result.points == 0
    assert result.error == "There are no points, for the check ended."
    assert all(result.error in output.get("data", {}).get("text/plain", "") for output in as_outputs(result)[:1])


def test_the_outputs_of_a_graded_cell_are_what_nbgrader_reads() -> None:
    criteria = Criterion("a", 3, "A.", "a"), Criterion("b", 1, "B.", "b", hidden=True)
    result = Result(find_task("02.1"), (Outcome(criteria[0], True, "Yes."), Outcome(criteria[1], False, "No.")))
    cell = new_code_cell('grade("02.1")', outputs=as_outputs(result))
    cell.metadata["nbgrader"] = {"grade": True, "solution": False, "points": 4, "grade_id": "02-1"}
    assert determine_grade(cell) == (3.0, 4.0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what a container is, as far as a grader sees it")
def test_there_is_a_sandbox_where_process_numbers_are_a_containers() -> None:
    """There, other than on a machine of its own, most of the small numbers are nobody's."""
    container = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    code = f"{'/bin/true; ' * 20} {sys.executable} -c 'from autograder.sandbox import require; require()'; exit $?"
    done = subprocess.run([*container, "sh", "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
