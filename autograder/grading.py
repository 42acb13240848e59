"""Grading a submission: its cells run in a sandbox, its graded cells never run but are judged here."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_output

from autograder.checks import Result
from autograder.cluster import begin
from autograder.judging import Judge
from autograder.manifest import Lab, find_lab, find_task
from autograder.sandbox import Limits, Sandbox, require
from autograder.show import Report
from podium.cluster import Cluster
from podium.errors import PodiumError

SIZE_LIMIT = 20 * 2**20
"""Bytes that a submitted notebook may have."""

LEARNER = "learner"
"""The tag of cells that only show the learner something: a grader need not run them."""

LIMITS = Limits()


@dataclass(frozen=True)
class Submission:
    """A graded notebook.

    Args:
        path: The notebook.
        lab: The lab that it is named for.
        results: One for each task that is checked on the cluster, whether or not the notebook has its cell.
        note: What kept the notebook from being run to its end, as one sentence; empty where nothing did.
    """

    path: Path
    lab: Lab
    results: tuple[Result, ...]
    note: str = ""

    @property
    def points(self) -> int:
        """What was got, without what a person has yet to mark."""
        return sum(result.points for result in self.results)

    @property
    def of(self) -> int:
        """What could be got, without what a person has yet to mark."""
        return sum(result.of for result in self.results)

    @property
    def by_hand(self) -> int:
        """What a person has yet to mark, in points."""
        return sum(task.points for task in self.lab.tasks if task.manual)

    @property
    def error(self) -> str:
        """What could not be judged and why; empty where everything was."""
        return " ".join(f"{result.task.id}: {result.error}" for result in self.results if result.error)

    def as_dict(self) -> dict[str, Any]:
        """The same for a program: the data of ``--json``."""
        return {
            "path": str(self.path),
            "lab": self.lab.id,
            "points": self.points,
            "of": self.of,
            "by_hand": self.by_hand,
            "note": self.note,
            "error": self.error,
            "tasks": [
                {"task": result.task.id, "title": result.task.title, "points": result.points, "of": result.of}
                for result in self.results
            ],
        }


def graded_task(cell: NotebookNode, lab: Lab) -> str | None:
    """The id of the checked task whose graded cell this is, if it is one."""
    if cell.cell_type != "code":
        return None
    told = cell.metadata.get("nbgrader")
    grade_id = told.get("grade_id") if isinstance(told, dict) else None
    return next((task.id for task in lab.checked if task.grade_id == grade_id), None)


def as_outputs(result: Result, note: str = "") -> list[NotebookNode]:
    """The outputs of a graded cell: the report for the learner, and the points in the form that nbgrader reads.

    Args:
        result: What was found.
        note: Why cells before this one were not run, if they were not.
    """
    report = Report(result)
    shown = {"text/plain": str(report), "text/html": report._repr_html_()}
    return [
        *([new_output("display_data", {"text/plain": note})] if note else []),
        new_output("display_data", shown),
        new_output("execute_result", {"text/plain": str(float(result.points))}),
    ]


def read(path: Path) -> tuple[Lab, NotebookNode]:
    """Read a submitted notebook; its name says which lab it is of.

    Raises:
        PodiumError: It cannot be read, is no notebook, or is of no known lab.
    """
    lab = find_lab(path.stem)
    try:
        if (size := path.stat().st_size) > SIZE_LIMIT:
            raise PodiumError(f"{path} has {size} bytes, more than the {SIZE_LIMIT} that a notebook may have.")
        notebook = json.loads(text := path.read_text(encoding="utf-8"))
        if not isinstance(notebook, dict) or notebook.get("nbformat") != 4:
            raise PodiumError(f"{path} is not a Jupyter notebook of format 4.")
        nbformat.validate(notebook)
    except OSError as problem:
        raise PodiumError(f"{path} could not be read: {problem.strerror}.") from problem
    except (ValueError, RecursionError, nbformat.ValidationError) as problem:
        raise PodiumError(f"{path} is not a Jupyter notebook of format 4.") from problem
    return lab, nbformat.reads(text, as_version=4)


def grade_notebook(path: Path, cluster: Cluster, limits: Limits = LIMITS) -> Submission:
    """Run a submitted notebook on a fresh cluster, and judge every task at the place of its graded cell.

    Args:
        path: The notebook.
        cluster: The cluster.
        limits: What the notebook may use.

    Raises:
        CannotRunHere: There can be no sandbox on this machine.
        PodiumError: The file is not a notebook of a lab, or the cluster does not work.
    """
    lab, notebook = read(path)
    results, note = run(lab, notebook, cluster, limits)
    return Submission(path, lab, results, note)


def run(lab: Lab, notebook: NotebookNode, cluster: Cluster, limits: Limits = LIMITS) -> tuple[tuple[Result, ...], str]:
    """Run and judge a notebook's cells, which get new outputs: text, and those of :func:`as_outputs`.

    A task whose cell is missing is judged after the last cell; one that has several, at the last of them.

    Returns:
        One result for each task that is checked on the cluster; and why the notebook was not run to its end, as one
        sentence, which is empty where it was.

    Raises:
        CannotRunHere: There can be no sandbox on this machine.
        PodiumError: The cluster does not work.
    """
    begin(lab.id, cluster.api)
    places = {task: index for index, cell in enumerate(notebook.cells) if (task := graded_task(cell, lab))}
    results: dict[str, Result] = {}
    note = ""
    with Judge(cluster) as judge, Sandbox(cluster, lab, limits) as sandbox:
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
            if task := graded_task(cell, lab):
                if places[task] == index:
                    results[task] = judge.judge(find_task(task))
                    cell.outputs = as_outputs(results[task], note)
            elif cell.cell_type == "code" and LEARNER not in cell.metadata.get("tags", ()):
                text, note = sandbox.run(cell.source, index + 1)
                cell.outputs = [new_output("stream", name="stdout", text=text)] if text else []
        for task in lab.checked:
            if task.id not in results:
                results[task.id] = judge.judge(task)
    return tuple(results[task.id] for task in lab.checked), note


@contextmanager
def fresh_clusters() -> Iterator[Callable[[], Cluster]]:
    """Yields a function that returns a pristine cluster each time, in place of the one before; gone after the block.

    A cluster that was reset is as good as a new one, and sooner there.

    Raises:
        CannotRunHere: There can be no sandbox on this machine.
    """
    require()
    cluster = Cluster(f"grade-{uuid4().hex[:8]}", nodes=2)

    def fresh() -> Cluster:
        if cluster.is_running():
            cluster.reset()
        else:
            cluster.up()
        return cluster

    try:
        yield fresh
    finally:
        cluster.down()
