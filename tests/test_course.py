"""The two editions of the lessons: what learners get is derived, and instructors get what they need to teach it."""

import re
from pathlib import Path

import nbformat
import pytest

from podium.cli import main
from podium.cli.course import INSTRUCTOR, learners, lessons
from podium.jupyter import START_PAGE

COURSE = Path(__file__).parents[1] / "course"
SOURCES = lessons(COURSE)
each_lesson = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


def notes(source: Path) -> list[nbformat.NotebookNode]:
    """The cells that only instructors get."""
    cells = nbformat.read(source, as_version=4).cells
    return [cell for cell in cells if INSTRUCTOR in cell.metadata.get("tags", [])]


@each_lesson
def test_learners_edition_is_derived(source: Path) -> None:
    written = nbformat.writes(learners(source)) + "\n"
    assert (COURSE / source.name).read_text() == written, "edit the instructor's edition, then: podium course derive"


def test_every_lesson_has_a_source() -> None:
    others = [path.name for path in sorted(COURSE.glob("*.ipynb")) if path.name != START_PAGE]
    assert others == [path.name for path in SOURCES]


@each_lesson
def test_learners_get_no_notes_and_no_answers(source: Path) -> None:
    text = nbformat.writes(learners(source))
    assert '"slideshow"' not in text
    assert "**Answers.**" not in text
    assert "**Minutes" not in text


@each_lesson
def test_notes_are_text_only(source: Path) -> None:
    """So a lesson that runs for learners runs for instructors."""
    assert {cell.cell_type for cell in notes(source)} == {"markdown"}


@each_lesson
def test_timings_fill_the_lesson(source: Path) -> None:
    """Minute by minute, from the first one to the last that the learner was told of."""
    text = "\n".join(cell.source for cell in nbformat.read(source, as_version=4).cells)
    told = re.search(r"\*\*What you need:\*\* (\d+) minutes", text)
    assert told, "“What you need” says no minutes"
    now = 0
    for cell in notes(source):
        for begin, end in re.findall(r"^\*\*Minutes (\d+)–(\d+)\.\*\*", cell.source, re.MULTILINE):  # noqa: RUF001
            assert int(begin) == now < int(end), cell.id
            now = int(end)
    assert now == int(told[1])
    assert 30 <= now <= 45


@each_lesson
def test_notes_help_to_teach(source: Path) -> None:
    text = "\n".join(cell.source for cell in notes(source))
    for part in ("**Show.**", "**If it fails.**", "**Misconception.**"):
        assert part in text, f"no note says {part}"
    answers = text.split("**Answers.**")[1]
    assert re.findall(r"^(\d)\. ", answers, re.MULTILINE) == list("12345")


def test_derive_says_where_there_is_no_lesson(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["course", "derive", "--course", str(tmp_path)]) == 2
    assert "There is no lesson in" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_derive_leaves_out_what_is_the_instructors(tmp_path: Path) -> None:
    source = tmp_path / INSTRUCTOR / "01-a.ipynb"
    source.parent.mkdir()
    cells = [
        nbformat.v4.new_markdown_cell("for all", id="all", metadata={"slideshow": {"slide_type": "slide"}}),
        nbformat.v4.new_markdown_cell("for one", id="one", metadata={"tags": [INSTRUCTOR]}),
        nbformat.v4.new_code_cell("1", id="code", outputs=[nbformat.v4.new_output("stream", text="1")]),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), source)
    assert main(["course", "derive", "--course", str(tmp_path)]) == 0
    derived = nbformat.read(tmp_path / "01-a.ipynb", as_version=4)
    assert [(cell.id, dict(cell.metadata)) for cell in derived.cells] == [("all", {}), ("code", {})]
    assert derived.cells[1].outputs == []
