"""``podium grade``: the points of submitted notebooks, each on a fresh cluster."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from podium.errors import PodiumError, UsageError

if TYPE_CHECKING:
    from autograder.grading import Submission


def register(commands: argparse._SubParsersAction) -> None:
    """Add ``grade`` to the command line."""
    parser = commands.add_parser(
        "grade",
        help="run submitted notebooks, each on a fresh cluster, and print their points",
        description="Run submitted notebooks, each on a fresh cluster, and print their points. Their code runs as you:"
        " bounded in time, but not yet shut in. The points come from the cluster's state, never from the notebook.",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a notebook, or a folder of them")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Grade, print, and return 0 if every notebook could be graded, else 1."""
    graded = []
    if not (paths := list(_notebooks(arguments.paths))):
        raise UsageError("There is no notebook in what was given.")
    for path in paths:
        try:
            graded.append(_as_dict(_grade(path)))
        except PodiumError as error:
            graded.append({"path": str(path), "points": 0, "error": error.what, "tasks": []})
        if not arguments.json:
            print(_as_text(graded[-1]), flush=True)
    if arguments.json:
        print(json.dumps(graded, indent=2, ensure_ascii=False))
    return 0 if not any(entry["error"] for entry in graded) else 1


def _notebooks(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from (found for found in sorted(path.rglob("*.ipynb")) if ".ipynb_checkpoints" not in found.parts)
        else:
            yield path


def _grade(path: Path) -> "Submission":
    from autograder.grading import grade_notebook, read
    from podium import Cluster

    read(path)  # A file that is no notebook needs no cluster.
    print(f"Grading {path} on a fresh cluster …", file=sys.stderr, flush=True)
    with Cluster(name=f"grade-{uuid4().hex[:8]}") as cluster:
        environment = {"PODIUM_CLUSTER": cluster.name, "KUBECONFIG": str(cluster.kubeconfig_path)}
        return grade_notebook(path, cluster.api, environment)


def _as_dict(submission: "Submission") -> dict:
    return {
        "path": str(submission.path),
        "lab": submission.lab.id,
        "points": submission.points,
        "of": submission.of,
        "by_hand": submission.by_hand,
        "note": submission.note,
        "error": " ".join(f"{result.task.id}: {result.error}" for result in submission.results if result.error),
        "tasks": [
            {"task": result.task.id, "title": result.task.title, "points": result.points, "of": result.of}
            for result in submission.results
        ],
    }


def _as_text(entry: dict) -> str:
    if not entry["tasks"]:
        return f"{entry['path']}: 0 points. {entry['error']}"
    lines = [f"{entry['path']}: {entry['points']} of {entry['of']} points"]
    lines += [f"  {task['task']} {task['title']}: {task['points']} of {task['of']}" for task in entry["tasks"]]
    lines += [f"  marked by a person: up to {entry['by_hand']} more"] if entry["by_hand"] else []
    return "\n".join(lines + [f"  {entry[key]}" for key in ("note", "error") if entry[key]])
