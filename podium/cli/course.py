"""``podium course``: the learner's edition of the lessons, derived from the instructor's."""

import argparse
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podium.errors import UsageError

if TYPE_CHECKING:
    from nbformat import NotebookNode

INSTRUCTOR = "instructor"  # the folder of the sources, and the tag of the cells that learners don't get
DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A diagram in a lesson's text: JupyterLab draws it; for slides and the book it has been drawn before."""


def register(commands: Any) -> None:
    """Add ``course`` to the command line."""
    course = commands.add_parser("course", help="tend the lessons").add_subparsers(required=True, metavar="COMMAND")
    derive = course.add_parser(
        "derive",
        help="write the learner's edition of each lesson",
        description="Write COURSE/NN-topic.ipynb from COURSE/instructor/NN-topic.ipynb: without the cells that carry"
        " the tag `instructor`, without slide metadata and without outputs.",
    )
    derive.add_argument("--course", type=Path, default=Path("course"), help="the course's folder (default: course)")
    derive.set_defaults(run=_derive)


def lessons(course: Path) -> list[Path]:
    """The instructor's edition of each lesson, in the course's order.

    Raises:
        UsageError: There is none.
    """
    found = sorted((course / INSTRUCTOR).glob("[0-9][0-9]-*.ipynb"))
    if not found:
        raise UsageError(f"There is no lesson in {course / INSTRUCTOR}.", "Name the course's folder: --course FOLDER")
    return found


def find_lesson(course: Path, number: str) -> Path:
    """The instructor's edition of one lesson.

    Raises:
        UsageError: There is no lesson of this number.
    """
    found = {path.name[:2]: path for path in lessons(course)}
    if number not in found:
        raise UsageError(f"There is no lesson {number!r}.", f"The lessons are: {', '.join(found)}.")
    return found[number]


def drawing(course: Path, diagram: str) -> Path:
    """The SVG file of a Mermaid diagram; it is named for the diagram's text, so no drawing can be out of date."""
    return course / "drawings" / f"{hashlib.sha256(diagram.encode()).hexdigest()[:12]}.svg"


def learners(source: Path) -> "NotebookNode":
    """The learner's edition of a lesson.

    Args:
        source: The instructor's edition.
    """
    import nbformat

    notebook = nbformat.read(source, as_version=4)
    notebook.cells = [cell for cell in notebook.cells if INSTRUCTOR not in cell.metadata.get("tags", [])]
    for cell in notebook.cells:
        cell.metadata.pop("slideshow", None)
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return notebook


def _derive(arguments: argparse.Namespace) -> None:
    import nbformat

    for source in lessons(arguments.course):
        learner = arguments.course / source.name
        nbformat.write(learners(source), learner)
        print(learner)
