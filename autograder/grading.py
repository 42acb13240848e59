"""Grading a submission: its cells run in a kernel of their own, its graded cells are never run but judged here."""

import json
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from kubernetes.client import ApiClient
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_output

from autograder.checks import Result, judge
from autograder.manifest import Lab, find_lab
from autograder.show import Report
from podium.errors import PodiumError

SIZE_LIMIT = 20 * 2**20
"""Bytes that a submitted notebook may have."""

CELL_LIMIT = 120
"""Seconds that one cell may run."""

NOTEBOOK_LIMIT = 900
"""Seconds that all cells of a notebook may run."""

LEARNER = "learner"
"""The tag of cells that only show the learner something: a grader need not run them."""


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


class _Runner(NotebookClient):
    """Runs cells and keeps nothing of what they print."""

    def output(self, *_: Any) -> None:
        """Drop an output: no score is read from it, and it may be of any size."""


def graded_task(cell: NotebookNode, lab: Lab) -> str | None:
    """The id of the checked task whose graded cell this is, if it is one."""
    told = cell.metadata.get("nbgrader")
    grade_id = told.get("grade_id") if isinstance(told, dict) else None
    return next((task.id for task in lab.checked if task.grade_id == grade_id), None)


def as_outputs(result: Result) -> list[NotebookNode]:
    """The outputs of a graded cell: the report for the learner, and the points in the form that nbgrader reads."""
    report = Report(result)
    shown = {"text/plain": str(report), "text/html": report._repr_html_()}
    return [
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


def grade_notebook(
    path: Path,
    api: ApiClient,
    environment: Mapping[str, str],
    cell_limit: float = CELL_LIMIT,
    notebook_limit: float = NOTEBOOK_LIMIT,
) -> Submission:
    """Run a submitted notebook on a fresh cluster, and judge every task at the place of its graded cell.

    A task whose cell is missing is judged after the last cell. The notebook's code runs as the user who calls this:
    it is bounded in time, but not yet shut in.

    Args:
        path: The notebook.
        api: The cluster.
        environment: What leads the notebook's kernel to the same cluster, added to this process's environment.
        cell_limit: Seconds that one cell may run.
        notebook_limit: Seconds that all cells may run.

    Raises:
        PodiumError: The file is not a notebook of a lab.
    """
    lab, notebook = read(path)
    places = {task: index for index, cell in enumerate(notebook.cells) if (task := graded_task(cell, lab))}
    results: dict[str, Result] = {}
    note = ""
    deadline = time.monotonic() + notebook_limit
    runner = _Runner(
        notebook,
        kernel_name="python3",
        allow_errors=True,
        timeout_func=lambda _: max(1, min(cell_limit, deadline - time.monotonic())),
        error_on_timeout={"ename": "CellTimeoutError", "evalue": "", "traceback": []},
        interrupt_on_timeout=True,
        skip_cells_with_tag=LEARNER,
        shutdown_kernel="immediate",
    )
    with tempfile.TemporaryDirectory(prefix="podium-grade-") as folder:
        with runner.setup_kernel(env={**os.environ, **environment}, cwd=folder):
            for index, cell in enumerate(notebook.cells):
                if task := graded_task(cell, lab):
                    if places[task] == index:
                        results[task] = judge(task, api)
                elif not note:
                    note = _run_cell(runner, cell, index, deadline)
        for task in lab.checked:
            if task.id not in results:
                results[task.id] = judge(task.id, api)
    return Submission(path, lab, tuple(results[task.id] for task in lab.checked), note)


def _run_cell(runner: NotebookClient, cell: NotebookNode, index: int, deadline: float) -> str:
    """Run one cell; what is returned is why the notebook cannot go on, and empty where it can."""
    if time.monotonic() >= deadline:
        return f"The notebook ran out of time before cell {index + 1}."
    try:
        runner.execute_cell(cell, index)
    except DeadKernelError:
        return f"The kernel died in cell {index + 1}; the cells after it were not run."
    except CellTimeoutError:
        return f"Cell {index + 1} could not be stopped; the cells after it were not run."
    return ""
