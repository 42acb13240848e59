"""Submissions are run within limits, and never believed."""

import json
from pathlib import Path

import nbformat
import pytest
from kubernetes.client import ApiClient, Configuration
from nbformat.v4 import new_code_cell, new_notebook
from nbgrader.utils import determine_grade

from autograder.checks import Criterion, Outcome, Result
from autograder.grading import SIZE_LIMIT, as_outputs, grade_notebook, read
from autograder.manifest import find_lab, find_task
from podium.errors import PodiumError

LAB = find_lab("02")
NOWHERE = ApiClient(Configuration(host="http://127.0.0.1:9"))


def submission(folder: Path, *cells: str) -> Path:
    """A notebook of lab 02 with these cells."""
    path = folder / f"{LAB.assignment}.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), path)
    return path


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
        (" " * (SIZE_LIMIT + 1), "more than the"),
        (None, "could not be read"),
    ],
    ids=["empty", "list", "object", "format-3", "cell", "deep", "binary", "big", "missing"],
)
def test_what_is_no_notebook_is_refused(tmp_path: Path, content: str | bytes | None, says: str) -> None:
    path = tmp_path / f"{LAB.assignment}.ipynb"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(PodiumError, match=says):
        read(path)


def test_a_notebook_of_no_lab_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PodiumError, match="no lab 'holiday'"):
        read(tmp_path / "holiday.ipynb")


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        (["1 + 1", "raise SystemExit"], ""),
        (["import os; os._exit(1)", "1"], "The kernel died in cell 1; the cells after it were not run."),
        (["while True: pass", "1"], ""),
        (
            ["while True:\n  try:\n    while True: pass\n  except KeyboardInterrupt: pass"] * 9,
            "ran out of time before cell",
        ),
    ],
    ids=["exit", "dies", "endless", "stubborn"],
)
def test_a_submission_that_misbehaves_is_judged_all_the_same(tmp_path: Path, cells: list[str], note: str) -> None:
    limit = 6 if note.startswith("ran out of time") else 120  # a kernel that starts slowly must not use it up
    graded = grade_notebook(submission(tmp_path, *cells), NOWHERE, {}, cell_limit=1, notebook_limit=limit)
    assert note in graded.note
    assert bool(note) == bool(graded.note)
    assert [result.task for result in graded.results] == list(LAB.checked)
    assert graded.points == 0


def test_graded_cells_are_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    path = submission(tmp_path, "1 + 1", f"open({str(trace)!r}, 'w').close()")
    notebook = json.loads(path.read_text())
    notebook["cells"][1]["metadata"]["nbgrader"] = {"grade_id": LAB.checked[0].grade_id}
    path.write_text(json.dumps(notebook))
    grade_notebook(path, NOWHERE, {})
    assert not trace.exists()


def test_the_outputs_of_a_graded_cell_are_what_nbgrader_reads() -> None:
    criteria = Criterion("a", 3, "A.", "a"), Criterion("b", 1, "B.", "b", hidden=True)
    result = Result(find_task("02.1"), (Outcome(criteria[0], True, "Yes."), Outcome(criteria[1], False, "No.")))
    cell = new_code_cell('grade("02.1")', outputs=as_outputs(result))
    cell.metadata["nbgrader"] = {"grade": True, "solution": False, "points": 4, "grade_id": "02-1"}
    assert determine_grade(cell) == (3.0, 4.0)
