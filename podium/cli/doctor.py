"""``podium doctor``: which backends can run here, and for each one that can't, why and what would help."""

import argparse
import json
from typing import Any

from podium.doctor import examine


def register(commands: Any) -> None:
    """Add the subcommand."""
    doctor = commands.add_parser("doctor", help="which backends can run here, and what would help where one can't")
    doctor.add_argument("--json", action="store_true", help="as one JSON object")
    doctor.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    found = examine()
    if arguments.json:
        print(
            json.dumps({name: [finding.__dict__ for finding in findings] for name, findings in found.items()}, indent=1)
        )
    else:
        for name, findings in found.items():
            print(f"{name}: {'can run here' if all(f.good for f in findings) else 'cannot run here'}")
            for finding in findings:
                print(f"  {'ok ' if finding.good else 'NO '} {finding.what}")
                if not finding.good:
                    print(f"      {finding.hint}")
    return 0 if any(all(f.good for f in findings) for findings in found.values()) else 3
