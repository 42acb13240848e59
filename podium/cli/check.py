"""``podium check``: what holds of a lab's tasks, as in the notebook."""

import argparse
import json


def register(commands: argparse._SubParsersAction) -> None:
    """Add ``check`` to the command line."""
    parser = commands.add_parser("check", help="say what holds of a lab or one of its tasks, and give a hint")
    parser.add_argument("what", metavar="LAB[.TASK]", help="a lab, as 02, or one of its tasks, as 02.1")
    parser.add_argument("--hints", type=int, default=1, metavar="N", help="how many hints to give (default: 1)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check, print, and return 0 if everything that is checked holds, else 1."""
    from autograder.checks import judge
    from autograder.cluster import connect
    from autograder.manifest import find_lab, find_task
    from autograder.show import Report

    what = arguments.what
    tasks = [find_task(what)] if "." in what else find_lab(what).checked
    api = connect()
    reports = [Report(judge(task.id, api), arguments.hints) for task in tasks]
    if arguments.json:
        print(json.dumps([report.as_dict() for report in reports], indent=2, ensure_ascii=False))
    else:
        print("\n\n".join(map(str, reports)))
    return 0 if all(report.holds for report in reports) else 1
