"""``podium grade`` on real clusters: what is believed is the cluster's state, never the notebook."""

import json
from pathlib import Path

import nbformat
import pytest

from autograder.manifest import find_lab
from podium.cli import main

LAB = find_lab("02")
SOURCE = Path(__file__).parents[2] / "labs" / "source" / LAB.assignment / f"{LAB.assignment}.ipynb"

LIES = """
import autograder, builtins, sys
autograder.grade = autograder.check = grade = lambda task: 4.0
sys.modules["autograder.checks"] = autograder
builtins.sum = lambda *_: 99
print(4.0)
"""


def submission(folder: Path, cells: dict[str, str | None]) -> Path:
    """The lab with only these cells of it, changed where they are given, and with its graded cells."""
    notebook = nbformat.read(SOURCE, as_version=4)
    graded = {task.grade_id for task in LAB.checked}
    notebook.cells = [
        cell
        for cell in notebook.cells
        if cell.id in cells or cell.metadata.get("nbgrader", {}).get("grade_id") in graded
    ]
    for cell in notebook.cells:
        cell.source = cells.get(cell.id) or cell.source
    folder.mkdir()
    nbformat.write(notebook, folder / SOURCE.name)
    return folder


@pytest.mark.bundle
def test_each_notebook_gets_what_its_cluster_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = submission(tmp_path / "one", {"setup": None, "manifest": None, "apply": None, "python": LIES})
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / SOURCE.name).write_text("no notebook")
    assert main(["grade", str(tmp_path), "--json"]) == 1
    junk, graded = json.loads(capsys.readouterr().out)
    assert junk == {"path": str(tmp_path / "junk" / SOURCE.name), "points": 0, "error": junk["error"], "tasks": []}
    assert "not a Jupyter notebook" in junk["error"]
    assert {task["task"]: task["points"] for task in graded["tasks"]} == {
        "02.1": 4, "02.2": 0, "02.4": 0, "02.5": 0, "02.6": 0,
    }  # fmt: skip
    assert (graded["path"], graded["points"], graded["by_hand"]) == (str(one / SOURCE.name), 4, 3)
    assert (graded["error"], graded["note"]) == ("", "")


def test_a_folder_without_notebooks_is_bad_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grade", str(tmp_path)]) == 2
    assert "no notebook" in capsys.readouterr().err


@pytest.mark.all
@pytest.mark.bundle
def test_the_model_answers_get_all_points(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grade", str(SOURCE)]) == 0
    text = capsys.readouterr().out
    points, by_hand = (sum(task.points for task in LAB.tasks if task.manual == manual) for manual in (False, True))
    assert f"{points} of {points} points" in text
    assert f"marked by a person: up to {by_hand} more" in text
