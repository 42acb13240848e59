"""What nbgrader runs in place of its own parts; ``labs/nbgrader_config.py`` names it."""

import atexit
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from html import escape
from typing import Any

from bleach import ALLOWED_PROTOCOLS, ALLOWED_TAGS, clean
from jinja2 import pass_context
from jinja2.runtime import Context
from nbconvert.exporters import HTMLExporter
from nbconvert.exporters.exporter import ResourcesDict
from nbconvert.filters.markdown_mistune import InvalidNotebook
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell
from nbgrader.api import Gradebook
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
        about = resources["nbgrader"]
        tasks = {task.grade_id: task for task in find_lab(about["assignment"]).tasks}
        with Gradebook(about["db_url"]) as book:
            released = {cell.name for cell in book.find_notebook(about["notebook"], about["assignment"]).source_cells}
        seen = set()
        for cell in reversed(nb.cells):  # of several cells with one name the last one counts
            told = cell.metadata.pop("nbgrader", None)
            name = told.get("grade_id") if isinstance(told, dict) else None
            task = tasks.get(name) if isinstance(name, str) else None
            expected = "markdown" if task and task.manual else "code"
            if not isinstance(name, str) or name not in released - seen or cell.cell_type != expected:
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


@pass_context
def harmless(context: Context, source: str) -> str:
    """A cell's Markdown as HTML that does nothing, in place of nbconvert's filter ``markdown2html``.

    formgrader shows what a student wrote to the instructor, in whose browser a script would act as the instructor.

    Args:
        context: What the template knows: of the cell, its attachments.
        source: The Markdown.

    Returns:
        HTML. What can't be shown, such as an attachment that is missing, is named above the Markdown as it was written.
    """
    try:
        page = _exporter().markdown2html(context, source)
    except InvalidNotebook as problem:
        page = f"<p>This cell can't be shown: {escape(str(problem))}.</p><pre>{escape(source)}</pre>"
    return clean(page, tags=_TAGS, attributes=_allowed, protocols=ALLOWED_PROTOCOLS | {"data"})


_exporter = cache(HTMLExporter)
_HEADINGS = {f"h{level}" for level in range(1, 7)}
_TEXT = {"br", "del", "details", "div", "hr", "img", "p", "pre", "span", "sub", "summary", "sup"}
_TAGS = ALLOWED_TAGS | _HEADINGS | _TEXT | {"table", "tbody", "td", "th", "thead", "tr"}


def _allowed(tag: str, name: str, value: str) -> bool:
    """Which attributes stay. An image may be in its own address; a link that holds its own page may not."""
    match tag, name:
        case "a", "href":
            return not value.strip().lower().startswith("data:")
        case "img", "src" | "alt" | "width" | "height":
            return True
        case _, "class" | "title" | "align":
            return True
    return name == "id" and tag in _HEADINGS
