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


def test_every_diagram_has_its_drawing() -> None:
    pages = [cell.source for path in SOURCES for cell in nbformat.read(path, as_version=4).cells]
    pages += [page.read_text() for page in (COURSE.parent / "docs").glob("*.md")]
    wanted = {drawing(COURSE, text) for page in pages for text in DIAGRAM.findall(page)}
    assert wanted <= set((COURSE / "drawings").glob("*.svg")), "draw what is missing: make drawings"
    for picture in wanted:
        assert "#ECECFF" in picture.read_text(), f"{picture} is not of Mermaid's light theme, as slides and book are"


def test_a_lesson_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["slides", "99", "--course", str(COURSE), "--output", str(tmp_path / "none.html")]) == 2
    assert "There is no lesson '99'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def lesson(course: Path, code: str) -> None:
    """Write a course of one lesson with one cell of code."""
    source = course / INSTRUCTOR / "01-a.ipynb"
    source.parent.mkdir()
    kinds = [("slide", nbformat.v4.new_markdown_cell("# 01 · A lesson")), ("subslide", nbformat.v4.new_code_cell(code))]
    for kind, cell in kinds:
        cell.metadata["slideshow"] = {"slide_type": kind}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell for _, cell in kinds]), source)


def test_slides_of_a_lesson_that_was_run_first(tmp_path: Path) -> None:
    lesson(tmp_path, "print(6 * 7)")
    output = tmp_path / "a.html"
    assert main(["slides", "01", "--execute", "--course", str(tmp_path), "--output", str(output)]) == 0
    page = output.read_text()
    assert "<title>01 · A lesson</title>" in page
    assert re.search(r"<pre>42\s*</pre>", page)


def test_a_lesson_that_breaks_off_makes_no_slides(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lesson(tmp_path, "1 / 0")
    output = tmp_path / "a.html"
    assert main(["slides", "01", "--execute", "--course", str(tmp_path), "--output", str(output)]) == 1
    assert "The lesson broke off: ZeroDivisionError" in capsys.readouterr().err
    assert not output.exists()
