"""nbgrader's own commands, from the release to the exported grades, on submissions whose points are known."""

import csv
import html
import os
import pwd
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from nbgrader.api import Gradebook

from autograder.checks import criteria
from autograder.manifest import find_lab
from autograder.nbgrader_plugin import harmless
from podium.jupyter.submission import pack

pytestmark = pytest.mark.bundle

LAB = find_lab("02")
COURSE = Path(__file__).parents[2] / "labs"
LIMIT = 900  # seconds for one command of nbgrader

ME = pwd.getpwuid(os.getuid()).pw_name
"""Who hands in over the exchange; the others' work comes in an archive."""

NOTHING = {"02-1": 0, "02-2": 0, "02-3": 0, "02-4": 0, "02-5": 0, "02-6": 0}
DESERVED = {
    ME: {"02-1": 4, "02-2": 4, "02-3": 2.5, "02-4": 5, "02-5": 4, "02-6": 6},
    "half": {"02-1": 3, "02-2": 0, "02-3": None, "02-4": 0, "02-5": 2, "02-6": 1},
    "empty": NOTHING,
    "killer": NOTHING,
    "cheat": NOTHING | {"02-3": None},
    "broken": dict.fromkeys(NOTHING),
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
    "cheat": {
        "prediction": "[Look](javascript:alert(1)), <script>alert(1)</script>, <img src=x onerror=alert(1)>",
        "apply": "from IPython.display import HTML\nHTML('<script>alert(1)</script>')",
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("course")
    shutil.copytree(COURSE / "source", folder / "source")
    shutil.copy(COURSE / "nbgrader_config.py", folder)
    (folder / "exchange").mkdir(mode=0o777)
    (folder / "student").mkdir()
    return folder


@pytest.fixture(scope="module")
def nbgrader(folder: Path) -> Callable[..., str]:
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",  # nbgrader calls alembic by its name
    }

    def run(command: str, *arguments: str, status: int = 0, place: str = ".") -> str:
        """What a command of nbgrader says. It is the instructor's, unless ``place`` says ``student``."""
        exchange = [f"--Exchange.root={folder / 'exchange'}", f"--Exchange.cache={folder / 'cache'}"]
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", command, *arguments, "--course=podium", *exchange],
            cwd=folder / place, env=environment, timeout=LIMIT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    return run


@pytest.fixture(scope="module")
def graded(folder: Path, nbgrader: Callable[..., str]) -> Path:
    """The course folder after everything was released, handed in, graded, reported and given back."""
    lab, name = LAB.assignment, f"{LAB.assignment}.ipynb"
    nbgrader("generate_assignment", lab)
    nbgrader("release_assignment", lab)
    nbgrader("fetch_assignment", lab, place="student")
    fetched = folder / "student" / lab / name
    source = nbformat.read(folder / "source" / lab / name, as_version=4)
    solutions = {cell.id: cell.source for cell in source.cells}
    (archive := folder / "downloaded" / lab / "archive").mkdir(parents=True)
    for student, answers in ANSWERS.items():
        notebook = _answered(fetched, answers)
        if student == "cheat":
            _cheat(notebook)
            _pack(archive, student, nbformat.writes(notebook))
        else:
            file, packed = pack(name, notebook, student)
            (archive / file).write_bytes(packed)
    _pack(archive, "broken", "no notebook")
    nbformat.write(_answered(fetched, solutions), fetched)
    nbgrader("submit", lab, place="student")
    nbgrader("collect", lab)
    nbgrader("zip_collect", lab)
    with ThreadPoolExecutor() as pool:  # one of these is no notebook; the others are graded
        halves = {"[!a-h]*": 0, "[a-h]*": 1}
        for done in [pool.submit(nbgrader, "autograde", lab, f"--student={h}", status=s) for h, s in halves.items()]:
            done.result()
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}") as book:
        prediction = book.find_grade("02-3", lab, lab, ME)
        assert prediction.needs_manual_grade
        prediction.manual_score = 2.5
        prediction.needs_manual_grade = False
        book.db.commit()
    nbgrader("generate_feedback", lab)
    nbgrader("release_feedback", lab, f"--student={ME}")
    nbgrader("fetch_feedback", lab, place="student")
    nbgrader("export")
    return folder


def _answered(path: Path, answers: dict[str, str]) -> NotebookNode:
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = answers.get(cell.id, cell.source)
    return notebook


def _pack(archive: Path, student: str, text: str) -> None:
    """Pack what Podium would refuse to pack."""
    with zipfile.ZipFile(archive / f"{student}.zip", "w") as file:
        file.writestr(f"{student}/20260101T000000Z/{LAB.assignment}.ipynb", text)


def _cheat(notebook: NotebookNode) -> None:
    """Edit what nbgrader wrote about the cells: each of these alone makes it give up, ask a person or give points."""
    edits = {
        "02-1": {"points": 400}, "02-2": {"solution": True}, "02-4": {"schema_version": 99}, "02-5": {"grade": False},
        "manifest": {"schema_version": 0}, "apply": "4.0", "setup": {"grade_id": "of-another-lab"},
    }  # fmt: skip
    for cell in notebook.cells:
        told = cell.metadata.get("nbgrader", {})
        edit = edits.get(told.get("grade_id"), {})
        if told:
            cell.metadata["nbgrader"] = told | edit if isinstance(edit, dict) else edit
        if cell.id.startswith("points-"):
            cell.source = "print(4.0); 4.0"
    notebook.cells = [cell for cell in notebook.cells if cell.id != "points-6"]
    notebook.cells.append(new_code_cell("4.0", metadata={"nbgrader": {"grade_id": "02-1"}}))


@pytest.mark.parametrize("student", DESERVED)
def test_the_gradebook_holds_what_each_deserves(graded: Path, student: str) -> None:
    with Gradebook(f"sqlite:///{graded / 'gradebook.db'}") as book:
        submission = book.find_submission(LAB.assignment, student)
        [notebook] = submission.notebooks
        assert submission.max_score == sum(task.points for task in LAB.tasks)
        assert submission.score == sum(filter(None, DESERVED[student].values()))
        scores = {grade.name: grade.score if grade.name == "02-3" else grade.auto_score for grade in notebook.grades}
        by_hand = {grade.name for grade in notebook.grades if grade.needs_manual_grade}
    assert {name: score or None for name, score in scores.items()} == {
        name: score or None for name, score in DESERVED[student].items()
    }
    assert by_hand == {name for name, score in DESERVED[student].items() if score is None}


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
    pages = {path.parts[-3]: path.read_text() for path in (graded / "feedback").rglob("*.html")}
    assert set(pages) == set(DESERVED) - {"broken"}
    hidden = [each.asked for task in LAB.checked for each in criteria(task.id) if each.hidden]
    assert hidden
    for student, page in pages.items():
        assert "Where to look" in page
        source = () if student == ME else ("Marking guide", "BEGIN SOLUTION")  # whose cells are the source's own
        assert not [each for each in (*hidden, *source) if html.escape(each) in page]
        assert ("while true; do date" in page) == (student == ME)  # a solution is only in the page of who found it
    assert "onerror" not in pages["cheat"]
    assert "<a>Look</a>, &lt;script&gt;alert(1)&lt;/script&gt;, <img alt=" in pages["cheat"]
    assert "The kernel died in cell" in pages["killer"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("[a](&#74;avascript:alert(1)) [b](data:text/html,c)", "<p><a>a</a> <a>b</a></p>"),
        ("<iframe src=x></iframe>", "&lt;iframe src=x&gt;&lt;/iframe&gt;"),
        ("`a < b`, $a<b$", "<p><code>a &lt; b</code>, $a&lt;b$</p>"),
        ("# Why\n![b](data:image/png;base64,AAAA)", '<img src="data:image/png;base64,AAAA" alt="b">'),
        ("![gone](attachment:it.png)", "missing attachment: it.png"),
    ],
)
def test_markdown_is_shown_and_does_nothing(written: str, shown: str) -> None:
    assert shown in harmless({}, written)


def test_feedback_comes_back_over_the_exchange(graded: Path) -> None:
    [page] = (graded / "student" / LAB.assignment).rglob("*.html")
    assert "Where to look" in page.read_text()
