"""``podium grade``: the points of submitted notebooks, each on a pristine cluster."""

import argparse
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from podium.errors import UsageError
from podium.machine import free_memory_mb


def register(commands: argparse._SubParsersAction) -> None:
    """Add ``grade`` to the command line."""
    parser = commands.add_parser(
        "grade",
        help="run submitted notebooks, each shut in with a pristine cluster, and print their points",
        description="Run submitted notebooks, each in a sandbox with a pristine cluster, and print their points. The"
        " points come from the cluster's state, never from the notebook.",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a notebook, or a folder of them")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument(
        "--journal",
        type=Path,
        metavar="FILE",
        help="keep each result in this file, and don't grade what is in it again",
    )
    parser.add_argument(
        "--cores", type=int, default=os.cpu_count(), metavar="N", help="grade at most so many at a time (default: all)"
    )
    parser.add_argument("--memory", type=int, metavar="MB", help="use so much memory (default: what is available)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Grade, print, and return 0 if every notebook could be graded, else 1."""
    from autograder.batch import Journal, at_once, grade_all
    from autograder.sandbox import require

    if not (paths := list(dict.fromkeys(_notebooks(arguments.paths)))):
        raise UsageError("There is no notebook in what was given.")
    require()  # before anything is asked of a machine that is none of Linux
    workers = at_once(arguments.cores, arguments.memory or free_memory_mb())
    journal = Journal(arguments.journal) if arguments.journal else None
    graded = {}
    for entry in grade_all(paths, workers, journal):
        graded[entry["path"]] = entry
        if not arguments.json:
            print(_as_text(entry), flush=True)
    if arguments.json:
        print(json.dumps([graded[str(path)] for path in paths], indent=2, ensure_ascii=False))
    return 0 if not any(entry["error"] for entry in graded.values()) else 1


def _notebooks(paths: list[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from (found for found in sorted(path.rglob("*.ipynb")) if ".ipynb_checkpoints" not in found.parts)
        else:
            yield path


def _as_text(entry: dict[str, Any]) -> str:
    if not entry["tasks"]:
        return f"{entry['path']}: 0 points. {entry['error']}"
    lines = [f"{entry['path']}: {entry['points']} of {entry['of']} points"]
    lines += [f"  {task['task']} {task['title']}: {task['points']} of {task['of']}" for task in entry["tasks"]]
    lines += [f"  marked by a person: up to {entry['by_hand']} more"] if entry["by_hand"] else []
    return "\n".join(lines + [f"  {entry[key]}" for key in ("note", "error") if entry[key]])
