"""The command line."""

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from podium.errors import PodiumError, UsageError

_COMMANDS = (
    "doctor", "bundle", "clusters", "components", "lab", "course", "slides", "labs", "check", "submission", "grade",
    "bench",
)  # fmt: skip


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:
        raise UsageError(message, self.format_usage().strip())


def parser() -> argparse.ArgumentParser:
    """The parser of ``podium``, with one subcommand from each module of this package."""
    top = _Parser(prog="podium", description="A real, disposable Kubernetes cluster, and a course about the Pod.")
    commands = top.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    for name in _COMMANDS:
        import_module(f"podium.cli.{name}").register(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``podium ARGV`` and return its exit code: 0 done, 1 did not hold, 2 bad usage, 3 this machine can't."""
    try:
        arguments = parser().parse_args(argv)
        code = arguments.run(arguments) or 0
        sys.stdout.flush()
        return code
    except PodiumError as error:
        print(f"podium: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("podium: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # https://docs.python.org/3/library/signal.html#note-on-sigpipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # what a shell gives to a program that SIGPIPE ended
