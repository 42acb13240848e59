"""The programs that a build runs: each has a limit and a log, and none outlives the build."""

import errno
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from podium.bundle.tools import PATH
from podium.errors import CannotRunHere, PodiumError, WaitedTooLong

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the operating system answers when no more can be written: disk full, over quota, over the file size limit."""

# Kills a process group when its own standard input ends, which is when the build ends, however it ends.
_GUARD = 'read -r _; kill -s KILL -- "-$1"'


class DiskFull(PodiumError):
    """There is no room for what is being made."""


class Commands:
    """Runs programs for one build; safe to use from several threads."""

    def __init__(self) -> None:
        self._groups: set[int] = set()
        self._lock = threading.Lock()
        self._stopped = False

    def run(
        self,
        command: Sequence[str | Path],
        what: str,
        limit: float,
        log: Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> str:
        """Run ``command`` to its end and return what it printed.

        Args:
            command: Program and arguments.
            what: What it does, as it stands in a message: "compiling the kernel".
            limit: Seconds after which it is killed.
            log: The file to which everything it prints is appended.
            cwd: Its working directory.
            env: Variables to add to this process's own.

        Raises:
            CannotRunHere: The program is not installed.
            PodiumError: It failed; the message ends with its last lines.
            DiskFull: It failed because no more can be written.
            WaitedTooLong: It was killed at its limit.
        """
        with log.open("a+b") as file:
            file.write(f"$ {' '.join(map(str, command))}\n".encode())
            file.flush()
            start = file.tell()
            try:
                code = self._wait(self._start(command, file.fileno(), cwd, env), limit)
            except FileNotFoundError:
                raise CannotRunHere(f"{command[0]} is not installed.", "See `podium doctor`.") from None
            file.seek(start)
            output = file.read().decode(errors="replace")
        if code == 0:
            return output
        last = "\n".join(output.rstrip().splitlines()[-12:])
        what = what[0].upper() + what[1:]
        if code is None:
            raise WaitedTooLong(f"{what} was not done after {limit:g} s:\n{last}", f"All output: {log}")
        if any(os.strerror(number) in last for number in FULL):
            raise DiskFull(f"There was no room left: {last}")
        raise PodiumError(f"{what} failed with exit code {code}:\n{last}", f"All output: {log}")

    def check(self) -> None:
        """Raise PodiumError if everything was stopped."""
        if self._stopped:
            raise PodiumError("The build was stopped.")

    def stop(self) -> None:
        """Kill everything that runs, and start nothing more."""
        with self._lock:
            self._stopped = True
            for group in self._groups:
                _kill(group)

    def _start(
        self, command: Sequence[str | Path], output: int, cwd: Path | None, env: Mapping[str, str] | None
    ) -> subprocess.Popen[bytes]:
        with self._lock:
            self.check()
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd,
                env={**os.environ, "PATH": PATH, **(env or {})},
                start_new_session=True,
            )
            self._groups.add(process.pid)
            return process

    def _wait(self, process: subprocess.Popen[bytes], limit: float) -> int | None:
        """The exit code of ``process``, or None if it was killed at its limit; its children are gone as well."""
        guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "sh", str(process.pid)], stdin=subprocess.PIPE, start_new_session=True
        )
        try:
            return process.wait(limit)
        except subprocess.TimeoutExpired:
            return None
        finally:
            _kill(process.pid)
            with self._lock:
                self._groups.discard(process.pid)
            process.wait()
            guard.kill()
            guard.communicate()


def _kill(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
