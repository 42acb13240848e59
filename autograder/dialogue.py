"""A process that is asked and answers in lines of JSON, each of them within limits of time and size."""

import json
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from podium.errors import PodiumError

LINE_LIMIT = 256 * 1024
"""Bytes that one answer may have."""

END_LIMIT = 30.0
"""Seconds that the processes may take to go once they are killed."""


def clean(value: object, limit: int) -> str:
    """A value from an answer as text that can be shown and written: not too long, and nothing that is no character."""
    return str(value)[:limit].encode(errors="replace").decode()


class NoAnswer(PodiumError):
    """The process ended, took too long, or answered what cannot be read. It has been ended."""


class Dialogue:
    """A process, and all its children where it is the first one of a PID namespace.

    Args:
        argv: The command.
        environment: Its whole environment.
    """

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            argv, env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True, cwd="/",
        )  # fmt: skip
        self._why = ""

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def ask(self, request: Mapping[str, Any], limit: float) -> dict[str, Any]:
        """Ask, and wait for the answer.

        Args:
            request: What to ask.
            limit: Seconds after which the process is ended.

        Raises:
            NoAnswer: There is no answer.
        """
        assert self._process.stdin
        assert self._process.stdout
        timer = threading.Timer(limit, self.kill, [f"took more than {limit:.0f} s"])
        timer.start()
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline(LINE_LIMIT)
            answer = json.loads(line) if line.endswith(b"\n") else None
        except (ValueError, RecursionError):
            answer = None
            line = b"x"
        except BrokenPipeError:
            answer, line = None, b""
        finally:
            timer.cancel()
        if self._why or not isinstance(answer, dict):
            self.kill("gave an answer that cannot be read" if line else "ended")
            raise NoAnswer(self._why)
        return answer

    def kill(self, why: str) -> None:
        """End the process; ``why`` is told to who asks it, unless it was killed before."""
        self._why = self._why or why
        self._process.kill()

    def end(self) -> None:
        """End the process, and wait until it and all that holds on to its output are gone.

        Raises:
            subprocess.TimeoutExpired: Something held on.
        """
        self.kill("ended")
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            with suppress(BrokenPipeError):
                pipe.close()
        self._process.wait(END_LIMIT)
