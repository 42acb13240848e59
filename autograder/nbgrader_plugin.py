"""What nbgrader runs in place of its own parts; ``labs/nbgrader_config.py`` names it."""

import atexit
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from nbconvert.exporters.exporter import ResourcesDict
from nbconvert.preprocessors.sanitize import SanitizeHTML
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader.preprocessors import NbGraderPreprocessor

from autograder.grading import fresh_clusters, run
from autograder.manifest import Task, find_lab
from podium.cluster import Cluster


class Restored(NbGraderPreprocessor):
    """The metadata of a submission's cells as they were released, and one graded cell for each task.

    nbgrader gives up on a submission, or on all of them, where it finds what it does not expect.
    """

    def preprocess(self, nb: NotebookNode, resources: ResourcesDict) -> tuple[NotebookNode, ResourcesDict]:
        """Restore one submission."""
        tasks = {task.grade_id: task for task in find_lab(resources["nbgrader"]["assignment"]).tasks}
        seen = set()
        for cell in reversed(nb.cells):  # of several cells with one name the last one counts
            told = cell.metadata.pop("nbgrader", None)
            name = told.get("grade_id") if isinstance(told, dict) else None
            task = tasks.get(name) if isinstance(name, str) else None
            expected = "markdown" if task and task.manual else "code"
            if not isinstance(name, str) or name in seen or cell.cell_type != expected:
                continue
            seen.add(name)
            cell.metadata["nbgrader"] = _graded(task) if task else _other(name, bool(told.get("locked")))
        for task in tasks.values():
            if task.grade_id not in seen:
                new = new_markdown_cell if task.manual else new_code_cell
                nb.cells.append(new("", metadata={"nbgrader": _graded(task)}))
        return nb, resources


def _graded(task: Task) -> dict[str, Any]:
    rights = {"grade": True, "solution": task.manual, "locked": not task.manual, "task": False}
    return rights | {"grade_id": task.grade_id, "points": task.points, "schema_version": 3}


def _other(name: str, locked: bool) -> dict[str, Any]:
    rights = {"grade": False, "solution": not locked, "locked": locked, "task": False}
    return rights | {"grade_id": name, "schema_version": 3}


class Judged(NbGraderPreprocessor):
    """In place of nbgrader's Execute: cells run in a sandbox on a pristine cluster, and graded cells are judged.

    nbgrader reads a score from what a graded cell shows, and gives full marks for what it cannot read. Here no code
    of the student has a hand in what is shown.
    """

    _fresh: Callable[[], Cluster] | None = None
    """nbgrader makes one of these for each submission: they share a cluster, which ends with the process."""

    def preprocess(self, nb: NotebookNode, resources: ResourcesDict) -> tuple[NotebookNode, ResourcesDict]:
        """Run and judge one submission."""
        lab = find_lab(resources["nbgrader"]["assignment"])
        if Judged._fresh is None:
            atexit.register((stack := ExitStack()).close)
            Judged._fresh = stack.enter_context(fresh_clusters())
        run(lab, nb, Judged._fresh())
        return nb, resources


class Harmless(SanitizeHTML):
    """What a student wrote between the cells, without HTML that does something.

    formgrader shows it to the instructor, in whose browser it would act as the instructor.
    """

    def preprocess_cell(
        self, cell: NotebookNode, resources: ResourcesDict, index: int
    ) -> tuple[NotebookNode, ResourcesDict]:
        """Clean one cell. What code cells show is text, or the judge's."""
        return (cell, resources) if cell.cell_type == "code" else super().preprocess_cell(cell, resources, index)
