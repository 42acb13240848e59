"""``podium bench``: the figures of the README, measured here."""

import argparse
import json
from typing import Any

from podium import bench
from podium.progress import Progress


def register(commands: Any) -> None:
    """Add the subcommand."""
    command = commands.add_parser("bench", help="measure the figures of the README on this machine")
    command.add_argument("--json", action="store_true", help="every run, as one JSON object")
    command.add_argument("--runs", type=int, default=5, metavar="N", help="how many runs (default 5)")
    command.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    found = bench.measure(arguments.runs, Progress().say)
    if arguments.json:
        print(json.dumps(found, indent=1))
        return
    columns = {name: bench.median(found[name]) for name in ("embedded", "kind", "plain") if found[name]}
    print(f"| median of {arguments.runs} | {' | '.join(columns)} |\n|---{'|---' * len(columns)}|")
    for name, unit in bench.UNITS.items():
        cells = [f"{column[name]:g}" if name in column else "" for column in columns.values()]
        print(f"| {unit} | {' | '.join(cells)} |")
    for holds, words in bench.bars(found):
        print(f"{'holds' if holds else 'DOES NOT HOLD'}: {words}")
