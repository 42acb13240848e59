"""``podium slides``: a lesson as slides."""

import argparse
import base64
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podium.cli.course import DIAGRAM, drawing, find_lesson
from podium.errors import PodiumError

if TYPE_CHECKING:
    from nbformat import NotebookNode

_TEMPLATES = Path(__file__).parent / "nbconvert"
_LIMIT = 300  # seconds for a cell


def register(commands: Any) -> None:
    """Add ``slides`` to the command line."""
    parser = commands.add_parser(
        "slides",
        help="a lesson as slides, in one file",
        description="Write the instructor's edition of a lesson as slides (reveal.js) with speaker notes, into one HTML"
        " file that needs no network: open it in a browser; S opens the notes, Esc the overview.",
    )
    parser.add_argument("lesson", help="its number, as 05")
    parser.add_argument(
        "--execute", action="store_true", help="run the lesson first, so that the slides show what it shows"
    )
    parser.add_argument("--course", type=Path, default=Path("course"), help="the course's folder (default: course)")
    parser.add_argument("--output", type=Path, metavar="FILE", help="where to (default: NN-topic.slides.html here)")
    parser.set_defaults(run=_slides)


def _slides(arguments: argparse.Namespace) -> None:
    import nbformat

    source = find_lesson(arguments.course, arguments.lesson)
    notebook = nbformat.read(source, as_version=4)
    if arguments.execute:
        _execute(notebook, arguments.course)
    output = arguments.output or Path(f"{source.stem}.slides.html")
    output.write_text(slides(notebook, arguments.course))
    print(output)


def _execute(notebook: "NotebookNode", course: Path) -> None:
    """Run all cells, on the cluster that is running or on one that the lesson starts."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError

    client = NotebookClient(
        notebook, timeout=_LIMIT, resources={"metadata": {"path": course}}, store_widget_state=False
    )
    try:
        client.execute()
    except CellExecutionError as error:
        what = f"The lesson broke off: {error.ename}: {error.evalue}"
        raise PodiumError(what, "Run it in JupyterLab to see where.") from None


def slides(notebook: "NotebookNode", course: Path) -> str:
    """A lesson as one HTML page that holds all it needs.

    Args:
        notebook: The instructor's edition, with or without outputs.
        course: The course's folder, which has the drawings of its Mermaid diagrams.
    """
    from nbconvert import SlidesExporter

    def drawn(match: re.Match) -> str:
        svg = base64.b64encode(drawing(course, match[1]).read_bytes()).decode()
        return f'<img alt="" src="data:image/svg+xml;base64,{svg}">'

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = DIAGRAM.sub(drawn, cell.source)
    exporter = SlidesExporter(template_name="slides", extra_template_basedirs=[str(_TEMPLATES)])
    title = notebook.cells[0].source.splitlines()[0].lstrip("# ")
    return exporter.from_notebook_node(notebook, resources={"title": title})[0]
