"""Progress of long work, one line for the start and one for the end of each step: it reads the same in a log."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


def clock(seconds: float) -> str:
    """``seconds`` as minutes and seconds: "4:05"."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


class Progress:
    """The steps of one piece of work; steps in different threads may overlap.

    Args:
        total: What all steps together are expected to cost, in seconds of one processor; 0 where nobody knows.
        quiet: Print nothing.
    """

    def __init__(self, total: float = 0, quiet: bool = False) -> None:
        self._left, self._quiet, self._began = total, quiet, time.monotonic()
        self._done = 0.0
        self._lock = threading.Lock()

    @contextmanager
    def step(self, what: str, estimate: float = 0) -> Iterator[None]:
        """Print that ``what`` begins, and when the block is left, how long it took and how much time is left.

        Args:
            what: What is done, as a phrase: "compiling the kernel".
            estimate: What the step is expected to cost, in seconds of one processor.

        Example:
            >>> with Progress(quiet=True).step("compiling the kernel", estimate=540):
            ...     pass
        """
        began = time.monotonic()
        self.say(what)
        try:
            yield
        except BaseException:
            self.say(f"{what}: given up after {clock(time.monotonic() - began)}")
            raise
        with self._lock:
            self._left, self._done = self._left - estimate, self._done + estimate
        self.say(f"{what}: done in {clock(time.monotonic() - began)}{self._time_left()}")

    def say(self, line: str) -> None:
        """Print one line, with the time since the work began."""
        if not self._quiet:
            print(f"[{clock(time.monotonic() - self._began):>5}] {line}", file=sys.stderr, flush=True)

    def _time_left(self) -> str:
        """As if every processor were free, or from the speed so far where that is less and enough is done to tell."""
        if self._left < 1:
            return ""
        speed: float = os.cpu_count() or 1
        if self._done > 60:
            speed = min(speed, self._done / (time.monotonic() - self._began))
        return f", about {max(1, round(self._left / speed / 60))} min left"


_progress = Progress()
step = _progress.step
