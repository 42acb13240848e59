"""``podium submission``: a lab as the one file that a learner hands in."""

import argparse
from pathlib import Path

from podium.errors import UsageError


def register(commands: argparse._SubParsersAction) -> None:
    """Add ``submission`` to the command line."""
    parser = commands.add_parser(
        "submission",
        help="pack a lab as the one file to hand in",
        description="Write NOTEBOOK-STUDENT.zip into this folder: what `nbgrader zip_collect` takes.",
    )
    parser.add_argument("notebook", type=Path, metavar="NOTEBOOK", help="the lab, as you have solved it")
    parser.add_argument("--student", required=True, metavar="ID", help="your id, as your instructor knows it")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Pack, write, and print the file's name."""
    import nbformat

    from podium.jupyter.submission import pack

    if not arguments.notebook.is_file():
        raise UsageError(f"There is no notebook {arguments.notebook}.")
    name, packed = pack(arguments.notebook.name, nbformat.read(arguments.notebook, as_version=4), arguments.student)
    Path(name).write_bytes(packed)
    print(name)
