"""The manifest, the checks and the notebooks of the labs agree."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

import autograder
from autograder.checks import criteria
from autograder.manifest import Lab, labs

COURSE = Path(__file__).parents[2] / "labs"
LABS = list(labs().values())


def source(lab: Lab) -> NotebookNode:
    """The lab's source, with its solutions."""
    return nbformat.read(COURSE / "source" / lab.assignment / f"{lab.assignment}.ipynb", as_version=4)


SOLUTION = re.compile(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", re.DOTALL)


def pieces(solution: str) -> set[str]:
    """What would give a solution away: its lines, its literals, and the values of its flags."""
    lines = {line.strip().removeprefix("- ") for line in solution.splitlines()}
    literals = re.findall(r"""["']([^"'\n]{3,})["']|=([\w.-]{2,})""", solution)
    return {line for line in lines if len(line) > 7 and not line.endswith(":")} | {a or b for a, b in literals}


def said(piece: str, text: str) -> bool:
    """Whether a text holds this piece, in words of its own."""
    return re.search(rf"(?<!\w){re.escape(piece)}(?!\w)", text, re.IGNORECASE) is not None


def kind(cell: NotebookNode) -> dict:
    """What nbgrader is told of the cell."""
    return cell.metadata.get("nbgrader", {})


def test_every_lab_has_its_folder_and_every_folder_its_lab() -> None:
    assert {path.name for path in (COURSE / "source").iterdir()} == {lab.assignment for lab in LABS}


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.assignment)
class TestNotebook:
    def test_points_are_the_manifest_s(self, lab: Lab) -> None:
        points = {kind(cell)["grade_id"]: kind(cell)["points"] for cell in source(lab).cells if kind(cell).get("grade")}
        assert points == {task.grade_id: task.points for task in lab.tasks}

    def test_the_table_of_tasks_is_the_manifest_s(self, lab: Lab) -> None:
        rows = [f"| {task.id.partition('.')[2]} | {task.title} | {task.points} |" for task in lab.tasks]
        assert [row for row in source(lab).cells[0].source.splitlines() if row in rows] == rows

    def test_graded_cells_ask_for_their_own_task(self, lab: Lab) -> None:
        for task in lab.checked:
            [cell] = [cell for cell in source(lab).cells if kind(cell).get("grade_id") == task.grade_id]
            assert (cell.cell_type, cell.source, kind(cell)["locked"]) == ("code", f'grade("{task.id}")', True)

    def test_what_a_person_marks_has_a_model_answer_and_a_guide(self, lab: Lab) -> None:
        for task in set(lab.tasks) - set(lab.checked):
            [cell] = [cell for cell in source(lab).cells if kind(cell).get("grade_id") == task.grade_id]
            assert cell.cell_type == "markdown"
            asked, _, solution = cell.source.partition("### BEGIN SOLUTION")
            assert "model answer" in solution
            assert "Marking guide" in solution
            assert f"{task.points} points" in asked

    def test_solutions_are_only_in_solution_cells(self, lab: Lab) -> None:
        for cell in source(lab).cells:
            marks = re.findall(r"### (BEGIN|END) SOLUTION", cell.source)
            assert marks == (["BEGIN", "END"] if kind(cell).get("solution") else [])

    def test_hints_say_nothing_that_only_the_solution_says(self, lab: Lab) -> None:
        cells = source(lab).cells
        told = " ".join(SOLUTION.sub("", cell.source) for cell in cells)
        solution = ""
        for cell in cells:
            solution += " ".join(SOLUTION.findall(cell.source)) if cell.cell_type == "code" else ""
            for task in (task for task in lab.checked if task.grade_id == kind(cell).get("grade_id")):
                told += " ".join(criterion.look for criterion in criteria(task.id))
                for piece in pieces(solution):
                    assert said(piece, told) or not any(said(piece, hint) for hint in task.hints), (task.id, piece)
                solution = ""

    def test_cells_have_names_and_no_outputs(self, lab: Lab) -> None:
        notebook = source(lab)
        assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
        for cell in notebook.cells:
            assert re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", cell.id)
            assert not cell.get("outputs")
            assert not cell.get("execution_count")

    def test_only_public_names_are_imported(self, lab: Lab) -> None:
        for cell in source(lab).cells:
            if cell.cell_type == "code" and not cell.source.startswith("%%"):
                for node in ast.walk(ast.parse(cell.source)):
                    if isinstance(node, ast.ImportFrom) and node.module.startswith("autograder"):
                        assert node.module == "autograder"
                        assert {alias.name for alias in node.names} <= set(autograder.__all__)
