"""Every lesson runs from top to bottom, one after the other on the same cluster, and leaves nothing behind there."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from podium import Cluster
from podium.jupyter import START_PAGE
from tests.turns import CGROUP2, todays

COURSE = Path(__file__).parents[2] / "course"
SOURCES = sorted(COURSE.glob("instructor/*.ipynb"))
LESSONS = [COURSE / source.name for source in SOURCES]
FIRST = COURSE / "05-how-a-pod-is-created.ipynb"  # the one that a newcomer's `make test` runs
NEED_CGROUP2 = ("01", "10")  # their learners write limits where the kernel keeps them
IN_KIND = [path for path in LESSONS if CGROUP2 or path.name[:2] not in NEED_CGROUP2]
UNPROVEN = ("08", "09")  # on a busy machine, what they measure in kind was not always what they expect
DAILY = [path for path in IN_KIND if path.name[:2] not in UNPROVEN]
LIMIT = 180  # seconds for a cell


def outputs(notebook: nbformat.NotebookNode) -> str:
    """All that the cells showed, as text."""
    shown = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            shown.append(output.get("text") or data.get("text/markdown") or data.get("text/html") or "")
    return "\n".join(shown)


def run(lesson: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> nbformat.NotebookNode:
    """Run all cells as a learner's "Run All" does; fail with the cell and what it showed."""
    monkeypatch.setenv("PODIUM_CLUSTER", cluster.name)
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig_path))
    notebook = nbformat.read(lesson, as_version=4)
    client = NotebookClient(notebook, timeout=LIMIT, kernel_name="python3", resources={"metadata": {"path": COURSE}})
    try:
        return client.execute()
    except CellExecutionError as error:
        pytest.fail(f"{lesson.name}:\n{error}\n{outputs(notebook)}")


def left_over(cluster: Cluster) -> set[str]:
    """What a lesson could leave behind: its names."""
    everywhere = "nodes,namespaces,persistentvolumes,clusterroles,clusterrolebindings,priorityclasses"
    here = "all,configmaps,secrets,persistentvolumeclaims,networkpolicies,serviceaccounts,roles,rolebindings,leases"
    told = cluster.kubectl("get", everywhere, "--output=name")
    told += cluster.kubectl("get", here, "--namespace=default", "--output=name")
    return set(told.split())


def runs() -> Iterator[Any]:
    """Every lesson on each backend: one for a newcomer, and in kind those whose turn it is; the others are long."""
    for backend, lessons, short in (("embedded", LESSONS, [FIRST]), ("kind", IN_KIND, todays(DAILY, 3))):
        for lesson in lessons:
            marks = [pytest.mark.kind] * (backend == "kind") + [pytest.mark.all] * (lesson not in short)
            yield pytest.param(lesson, backend, id=f"{backend}-{lesson.stem}", marks=marks)


@pytest.mark.bundle
@pytest.mark.parametrize(("lesson", "cluster"), list(runs()), indirect=["cluster"], scope="session")
def test_lesson_runs(lesson: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each on the cluster that those before it have used: after any other lesson, it must run as on a fresh one."""
    before = left_over(cluster)
    assert "Traceback (most recent call last)" not in outputs(run(lesson, cluster, monkeypatch))  # of a thread
    assert left_over(cluster) <= before
    assert all(component.state == "running" for component in cluster.components.values())
    assert not cluster.kubectl("get", "nodes", "--output=name", "--field-selector=spec.unschedulable=true")


def test_start_page_shows_what_runs_and_what_next(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    page = outputs(run(COURSE / START_PAGE, cluster, monkeypatch))
    assert "Your cluster runs, with 2 nodes: node-1, node-2." in page
    assert "Begin the lesson" in page
    assert 'href="05-how-a-pod-is-created.ipynb"' in page


@pytest.mark.parametrize(
    "lesson", [COURSE / START_PAGE, *LESSONS, *SOURCES], ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_lesson_is_stored_clean(lesson: Path) -> None:
    notebook = nbformat.read(lesson, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    for cell in notebook.cells:
        assert re.fullmatch(r"[a-z][a-z-]+", cell.id), f"the id {cell.id!r} says nothing to a reader"
        assert not cell.get("outputs"), f"{cell.id} has outputs: figures are the run's own"
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_lesson_has_the_parts_of_a_lesson(lesson: Path) -> None:
    text = "\n".join(cell.source for cell in nbformat.read(lesson, as_version=4).cells)
    for part in ("What you'll do", "What you'll learn", "What you need", "**Predict.**", "## Clean up", "## Recap"):
        assert part in text, f"{lesson.name} lacks “{part}”"
    questions = text.split("## Five questions")[1].split("\n## ")[0]
    assert re.findall(r"^(\d)\. ", questions, re.MULTILINE) == list("12345")
    assert "## What next" in text
    assert "https://kubernetes.io/docs/" in text
