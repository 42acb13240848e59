"""``podium slides``: a lecture room has a projector, and often no network."""

import re
from pathlib import Path

import nbformat
import pytest

from podium.cli import main
from podium.cli.course import DIAGRAM, INSTRUCTOR, drawing, lessons

COURSE = Path(__file__).parents[2] / "course"
SOURCES = lessons(COURSE)
each_lesson = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


@each_lesson
def test_each_cell_has_its_place(source: Path) -> None:
    """A heading begins a slide; notes are notes and nothing else is; nothing is left to chance."""
    for cell in nbformat.read(source, as_version=4).cells:
        kind = cell.metadata.get("slideshow", {}).get("slide_type")
        assert kind in {"slide", "subslide", "fragment", "skip", "notes"}, cell.id
        assert (kind == "notes") == (INSTRUCTOR in cell.metadata.get("tags", [])), cell.id
        assert (kind == "slide") == (cell.cell_type == "markdown" and bool(re.match("##? ", cell.source))), cell.id


def test_every_diagram_has_its_drawing_and_every_drawing_its_diagram() -> None:
    pages = [cell.source for path in SOURCES for cell in nbformat.read(path, as_version=4).cells]
    pages += [page.read_text() for page in (COURSE.parent / "docs").glob("*.md")]
    wanted = {drawing(COURSE, text) for page in pages for text in DIAGRAM.findall(page)}
    assert wanted == set((COURSE / "drawings").glob("*.svg")), "draw what is missing: make drawings"


def test_a_lesson_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["slides", "99", "--course", str(COURSE), "--output", str(tmp_path / "none.html")]) == 2
    assert "There is no lesson '99'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
