"""``podium labs verify``: is the grader right about every answer whose worth is known?"""

import argparse
import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autograder.verify import Trial


def register(commands: Any) -> None:
    """Add ``labs`` to the command line."""
    labs = commands.add_parser("labs", help="tend a course of labs").add_subparsers(required=True, metavar="COMMAND")
    verify = labs.add_parser(
        "verify",
        help="grade solutions, unsolved labs and known answers on a fresh cluster, and print how often it is wrong",
        description="Every solution must get all points and every unsolved lab none. Every wrong answer (mutant) must"
        " lose just the criteria that it breaks, every right one of another make none. The bar is 0 wrong verdicts.",
    )
    verify.add_argument(
        "what", nargs="*", metavar="LAB[.TASK]", help="a lab, as 02, or a task's answers (default: all)"
    )
    verify.add_argument("--course", type=Path, default=Path("labs"), help="the course's folder (default: labs)")
    verify.add_argument("--minutes", type=float, metavar="N", help="begin none after so many, and name what is left")
    verify.add_argument("--json", action="store_true", help="print JSON")
    verify.set_defaults(run=_verify)


def _verify(arguments: argparse.Namespace) -> int:
    """Verify, print each trial as soon as it is known, and return 0 if the grader was always right, else 1."""
    from autograder.manifest import find_lab, find_task, labs
    from autograder.verify import Rates, answers, verify
    from podium.progress import Progress

    chosen = [find_task(name) if "." in name else find_lab(name) for name in arguments.what or labs()]
    # What is missing is told before a cluster is started.
    known = [answer for each in chosen for answer in answers(arguments.course, each)]
    progress = Progress()
    trials = []
    limit = math.inf if arguments.minutes is None else 60 * arguments.minutes
    for trial in verify(arguments.course, chosen, f"verify-{os.getpid()}", limit=limit):
        progress.say(str(trial))
        trials.append(trial)
    rates = Rates.of(trials)
    judged = {(trial.task, trial.answer) for trial in trials}
    left = [f"{each.task} {each.name}" for each in known if (each.task, each.name) not in judged]
    if arguments.json:
        found = {**rates.__dict__, "trials": [_as_dict(trial) for trial in trials], "left": left}
        print(json.dumps(found, indent=2))
    else:
        wrong = [trial for trial in trials if not trial.right]
        print("\n".join([*map(str, wrong), f"{len(trials)} trials, {len(wrong)} of them wrong: {rates}"]))
        if left:
            print(f"There was no time for {len(left)} of {len(known)} answers:", ", ".join(left))
    return 0 if all(trial.right for trial in trials) else 1


def _as_dict(trial: "Trial") -> dict:
    names = ("loses", "got", "falsely_accepted", "falsely_rejected")
    return {
        "task": trial.task, "answer": trial.answer, "right": trial.right, "error": trial.error,
        "seconds": round(trial.seconds, 1), **{name: sorted(getattr(trial, name)) for name in names},
    }  # fmt: skip
