"""How far a learner is: which cells of a lesson were run, and what the checks of a lab have said."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium.paths import state_dir


def record(task: str, points: int, of: int) -> None:
    """Keep what a check said of a task, unless it has said something better before.

    Args:
        task: The task's id: ``02.1``.
        points: What was got.
        of: What could be got.
    """
    if points < checked().get(task, -1):
        return
    folder = _folder()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = folder / f".{task}"
    new.write_text(json.dumps({"points": points, "of": of}))
    new.rename(folder / task)


def checked() -> dict[str, int]:
    """The most points that each task has got in a check, by its id."""
    return {path.name: json.loads(path.read_text())["points"] for path in _folder().glob("[0-9]*")}


def _folder() -> Path:
    return state_dir() / ".progress"  # no cluster's name begins with a dot


@dataclass(frozen=True)
class Notebook:
    """How far one notebook is.

    Args:
        path: Where it is.
        title: Its first heading.
        done: How many cells were run, or how many points were got.
        of: How many there are.
        failed: Whether a cell ended with an error.
    """

    path: Path
    title: str
    done: int
    of: int
    failed: bool = False


def lesson(path: Path) -> Notebook:
    """How far a lesson is, by its cells: as the notebook was last saved."""
    cells = _cells(path)
    code = [cell for cell in cells if cell["cell_type"] == "code" and _source(cell).strip()]
    run = [cell for cell in code if cell.get("execution_count")]
    failed = any(output["output_type"] == "error" for cell in run for output in cell["outputs"])
    return Notebook(path, _title(cells), len(run), len(code), failed)


def lab(path: Path) -> Notebook:
    """How far a lab is, by the checks. What a person marks is left out."""
    cells = _cells(path)
    graded = [cell["metadata"]["nbgrader"] for cell in cells if cell["metadata"].get("nbgrader", {}).get("grade")]
    tasks = {each["grade_id"].replace("-", "."): each["points"] for each in graded if not each["solution"]}
    got = checked()
    return Notebook(path, _title(cells), sum(got.get(task, 0) for task in tasks), sum(tasks.values()))


def _cells(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text())["cells"]


def _source(cell: dict[str, Any]) -> str:
    return "".join(cell["source"])


def _title(cells: list[dict[str, Any]]) -> str:
    return _source(cells[0]).partition("\n")[0].lstrip("# ")
