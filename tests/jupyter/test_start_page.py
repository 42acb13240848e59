"""The start page, on notebooks of the course that were run in part."""

import shutil
from pathlib import Path

import nbformat
import pytest

from podium.jupyter.progress import checked, record
from podium.jupyter.start_page import StartPage

REPOSITORY = Path(__file__).parents[2]
FIRST, SECOND = "01-from-containers-to-kubernetes.ipynb", "02-the-architecture.ipynb"
LAB = "02-first-pod"


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course of two lessons and a lab, and a learner who has done nothing yet."""
    monkeypatch.setenv("PODIUM_STATE", str(tmp_path / "state"))
    (tmp_path / "course").mkdir()
    for name in (FIRST, SECOND):
        shutil.copy(REPOSITORY / "course" / name, tmp_path / "course")
    shutil.copytree(REPOSITORY / "labs/source" / LAB, tmp_path / "labs/release" / LAB)
    return tmp_path / "course"


def run(lesson: Path, cells: int | None, error: bool = False) -> None:
    """Make it as if its first cells were run; all, unless a number is given."""
    notebook = nbformat.read(lesson, as_version=4)
    for number, cell in enumerate([cell for cell in notebook.cells if cell.cell_type == "code"][:cells]):
        cell.execution_count = number + 1
        if error:
            cell.outputs = [nbformat.v4.new_output("error", ename="E", evalue="", traceback=[])]
    nbformat.write(notebook, lesson)


def test_it_leads_from_one_to_the_next(course: Path) -> None:
    assert [(what, one.path.name) for what, one in StartPage(course).next] == [
        ("Begin the lesson", FIRST), ("Begin the lab", f"{LAB}.ipynb"),
    ]  # fmt: skip
    run(course / FIRST, cells=2, error=True)
    page = StartPage(course)
    assert page.next[0][0] == "Go on with the lesson"
    assert "2 of " in page._repr_html_()
    assert "with an error" in page._repr_html_()
    run(course / FIRST, cells=None)
    nbformat.write(nbformat.read(course / FIRST, as_version=4), course / FIRST)
    assert StartPage(course).next[0][1].path.name == SECOND


def test_links_lead_from_the_notebook_s_folder(course: Path) -> None:
    page = StartPage(course)._repr_html_()
    assert f'<a href="{FIRST}">01 · From containers to Kubernetes</a>' in page
    assert f'<a href="../labs/release/{LAB}/{LAB}.ipynb">Lab 02: First Pod</a>' in page


def test_a_lab_s_progress_is_the_best_that_its_checks_have_said(course: Path) -> None:
    for points in (1, 3, 2):
        record("02.1", points, of=4)
    record("02.5", 4, of=4)
    assert checked() == {"02.1": 3, "02.5": 4}
    (lab,) = StartPage(course).labs
    assert (lab.done, lab.of) == (7, 23)  # three more are given by a person


def test_it_says_when_the_cluster_is_off(course: Path) -> None:
    assert "Your cluster is off." in str(StartPage(course))
