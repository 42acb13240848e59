"""nbgrader's own commands, from the release to the exported grades, on submissions whose points are known."""

import csv
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from autograder.manifest import find_lab
from podium import Cluster

LAB = find_lab("02")
COURSE = Path(__file__).parents[2] / "labs"
LIMIT = 400  # seconds for one command of nbgrader

NOTHING = {"02-1": 0, "02-2": 0, "02-3": 0, "02-4": 0, "02-5": 0, "02-6": 0}
DESERVED = {
    "solved": {"02-1": 4, "02-2": 4, "02-3": None, "02-4": 5, "02-5": 4, "02-6": 6},
    "half": {"02-1": 3, "02-2": 0, "02-3": None, "02-4": 0, "02-5": 2, "02-6": 1},
    "empty": NOTHING,
    "killer": NOTHING,
}
ANSWERS = {
    "half": {
        "apply": 'kubectl("run web --image=podium.test/nginx:1.26")',  # it has another label
        "python": "grade = check = lambda task: 4.0\nprint(4.0)",
        "prediction": "It will be quick.",
        "choose": 'kubectl("delete pods --field-selector status.phase=Succeeded")',
        "diagnose": 'kubectl("create configmap diagnosis --from-literal=greeter=3")',
    },
    "empty": {},
    "killer": {"manifest": "import os\nos._exit(0)"},
}


@pytest.fixture(scope="module")
def nbgrader(tmp_path_factory: pytest.TempPathFactory, cluster: Cluster) -> Callable[..., Path]:
    folder = tmp_path_factory.mktemp("course")
    shutil.copytree(COURSE / "source", folder / "source")
    shutil.copy(COURSE / "nbgrader_config.py", folder)
    environment = os.environ | {
        "PODIUM_CLUSTER": cluster.name,
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # nbgrader calls alembic by its name
    }

    def run(command: str, *arguments: str, status: int = 0) -> Path:
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", command, *arguments],
            cwd=folder, env=environment, timeout=LIMIT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        return folder

    return run


@pytest.fixture(scope="module")
def graded(nbgrader: Callable[..., Path]) -> Path:
    """The course folder after everything was released, submitted, graded and reported."""
    folder = nbgrader("generate_assignment", LAB.assignment)
    name = f"{LAB.assignment}.ipynb"
    release, source = (folder / part / LAB.assignment / name for part in ("release", "source"))
    solutions = {cell.id: cell.source for cell in nbformat.read(source, as_version=4).cells}
    for student, answers in {"solved": solutions, **ANSWERS}.items():
        notebook = nbformat.read(release, as_version=4)
        for cell in notebook.cells:
            cell.source = answers.get(cell.id, cell.source)
        (submitted := folder / "submitted" / student / LAB.assignment).mkdir(parents=True)
        nbformat.write(notebook, submitted / name)
    nbgrader("autograde", LAB.assignment, status=1)  # for one of them kills its kernel; the others are graded
    nbgrader("generate_feedback", LAB.assignment)
    return nbgrader("export")


@pytest.mark.parametrize("student", DESERVED)
def test_the_gradebook_holds_what_each_deserves(graded: Path, student: str) -> None:
    with Gradebook(f"sqlite:///{graded / 'gradebook.db'}") as book:
        submission = book.find_submission(LAB.assignment, student)
        [notebook] = submission.notebooks
        assert submission.max_score == sum(task.points for task in LAB.tasks)
        assert submission.score == sum(filter(None, DESERVED[student].values()))
        scores = {grade.name: grade.auto_score for grade in notebook.grades}
        if student == "killer":  # nbgrader gives up on it: there are no scores, and a person is asked to look
            assert set(scores.values()) == {None}
            assert submission.needs_manual_grade
        else:
            assert scores == DESERVED[student]
            assert notebook.needs_manual_grade == (None in scores.values())


def test_the_export_agrees(graded: Path) -> None:
    with (graded / "grades.csv").open() as file:
        exported = {row["student_id"]: float(row["score"]) for row in csv.DictReader(file)}
    assert exported == {student: sum(filter(None, points.values())) for student, points in DESERVED.items()}


def test_the_release_has_no_solutions(graded: Path) -> None:
    released = (graded / "release" / LAB.assignment / f"{LAB.assignment}.ipynb").read_text()
    assert "SOLUTION" not in released
    assert "Marking guide" not in released
    assert released.count("# YOUR CODE HERE") + released.count("YOUR ANSWER HERE") == released.count('"solution": true')


def test_feedback_tells_what_was_found_and_nothing_hidden(graded: Path) -> None:
    name = f"{LAB.assignment}.html"
    feedback = {
        student: graded / "feedback" / student / LAB.assignment / name for student in ("solved", "half", "empty")
    }
    assert all("Where to look" in page.read_text() for page in feedback.values())
    hidden = "No other Pod has that label."
    assert not any(hidden in page.read_text() for page in feedback.values())
    assert "while true; do date" not in feedback["empty"].read_text()
