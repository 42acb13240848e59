"""Grading many submissions: side by side, and where a batch was broken off, from there on."""

import fcntl
import json
import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from autograder.grading import fresh_clusters, grade_notebook, read
from autograder.sandbox import require
from podium.cluster import Cluster
from podium.errors import PodiumError, UsageError
from podium.progress import Progress

MEMORY_MB = 2000
"""What the cluster and the sandbox of one submission take, as a rule."""

USUAL = 60.0
"""Seconds that a submission usually takes, for the first estimates."""


def at_once(cores: int, memory_mb: int) -> int:
    """How many submissions are graded side by side: one a core, as far as the memory suffices."""
    return max(1, min(cores, memory_mb // MEMORY_MB))


class Journal:
    """The results of a batch, each of them written down as soon as it is there.

    It is a file with one JSON object a line. A submission is known by its path and what is in it. While one process
    holds the journal, no other can.

    Args:
        path: The file, which need not exist.

    Raises:
        UsageError: It cannot be written, is no journal, or another batch is writing it.
    """

    def __init__(self, path: Path) -> None:
        self._known: dict[tuple[str, str], dict[str, Any]] = {}
        try:
            self._file: BinaryIO = path.open("a+b")
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            raise UsageError(f"Another batch is writing {path}.", "Wait for it, or take another file.") from problem
        except OSError as problem:
            raise UsageError(f"{path} cannot be written: {problem.strerror}.") from problem
        self._file.seek(0)
        whole = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break  # what was being written when the batch was broken off
            try:
                entry = json.loads(line)
                self._known[entry["path"], entry["sha256"]] = entry
            except (ValueError, KeyError, TypeError) as problem:
                raise UsageError(f"{path} is not a journal of graded submissions.", "Name another file.") from problem
            whole += len(line)
        self._file.truncate(whole)

    def find(self, path: Path) -> dict[str, Any] | None:
        """What was written down of this submission as it is now, if anything."""
        return self._known.get((str(path), _digest(path)))

    def write(self, path: Path, entry: dict[str, Any]) -> None:
        """Write down a result; it is on the disk when this returns."""
        self._file.write(json.dumps(entry | {"sha256": _digest(path)}).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Let others have it."""
        self._file.close()


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            digest = sha256()
            while chunk := file.read(1 << 20):
                digest.update(chunk)
            return digest.hexdigest()
    except OSError:
        return ""


def grade_all(
    paths: Sequence[Path], workers: int, journal: Journal | None = None, quiet: bool = False
) -> Iterator[dict[str, Any]]:
    """Grade submissions, each on a pristine cluster, several of them side by side.

    Args:
        paths: The notebooks.
        workers: How many at a time.
        journal: Where results are kept: what is in it is not graded again. What could not be judged, because a cluster
            failed, is not kept.
        quiet: Don't show what is being graded, and how long it may take.

    Yields:
        For each of them, as soon as it is there, what :meth:`~autograder.grading.Submission.as_dict` says. Of one that
        cannot be read: ``path``, ``points`` 0, ``tasks`` none, and why, under ``error``.

    Raises:
        CannotRunHere: There can be no sandbox on this machine.
    """
    require()
    known = {path: entry for path in paths if journal and (entry := journal.find(path))}
    yield from known.values()
    rest = [path for path in paths if path not in known]
    todo: queue.SimpleQueue[Path] = queue.SimpleQueue()
    done: queue.SimpleQueue[_Done | BaseException] = queue.SimpleQueue()
    for path in rest:
        todo.put(path)
    progress = Progress(USUAL * len(rest), quiet)
    threads = [
        threading.Thread(target=_work, args=(todo, done, progress), daemon=True) for _ in range(min(workers, len(rest)))
    ]
    for thread in threads:
        thread.start()
    for _ in rest:
        if isinstance(graded := done.get(), BaseException):
            raise graded
        if journal and graded.judged:
            journal.write(graded.path, graded.entry)
        yield graded.entry
    for thread in threads:
        thread.join()  # until its cluster is gone


class _Done(NamedTuple):
    path: Path
    entry: dict[str, Any]
    judged: bool
    """Whether that is the last word: it is not where a cluster failed."""


def _work(
    todo: "queue.SimpleQueue[Path]", done: "queue.SimpleQueue[_Done | BaseException]", progress: Progress
) -> None:
    """Grade one after the other on one cluster, which is made pristine each time."""
    try:
        with fresh_clusters() as fresh:
            while not todo.empty():
                with suppress(queue.Empty):
                    path = todo.get_nowait()
                    with progress.step(f"grading {path}", USUAL):
                        done.put(_grade(path, fresh))
    except BaseException as problem:  # a fault of ours: it is raised where the batch is waited for
        done.put(problem)


def _grade(path: Path, fresh: Callable[[], Cluster]) -> _Done:
    failed = {"path": str(path), "points": 0, "tasks": []}
    try:
        read(path)  # what is no notebook needs no cluster
    except PodiumError as problem:
        return _Done(path, failed | {"error": problem.what}, True)
    try:
        graded = grade_notebook(path, fresh())
    except PodiumError as problem:
        return _Done(path, failed | {"error": problem.what}, False)
    return _Done(path, graded.as_dict(), not graded.error)
