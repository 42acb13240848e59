"""A store of parts, each in a folder named for what it was made from.

    parts/NAME-KEY/    a finished part: its files, and part.json that says what it is
    tmp/NAME/          a part while it is made
    work/              what survives an interrupted build: source trees, downloads, package lists
    locks/ logs/

A part becomes visible by one rename, complete. Its key is a hash of everything that it is made from, so that a changed
part, and what stands on it, is made again and nothing else. One lock for each name lets several builds share a store.
"""

import errno
import fcntl
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from podium.bundle.commands import FULL, Commands, DiskFull
from podium.progress import Progress
from podium.waiting import wait_until

_FORMAT = 1  # of the store itself: raise it when folders or part.json change their meaning
_LIMIT = 3600  # seconds that a build waits for another one that makes the same part


@dataclass(frozen=True)
class Part:
    """One thing to make.

    Args:
        name: Its name in the store.
        what: What making it is, as a phrase: "compiling the kernel".
        make: Fills ``job.out`` and returns where the content came from, as a phrase for ``podium bundle status``.
        version: The version that is pinned, or "" where it has none of its own.
        pins: What else decides the content, as JSON: entries of the lock file, package lists.
        files: Files and folders whose content decides it.
        needs: Parts that it is made from.
        cost: Seconds of one processor, measured.
        size: Megabytes on disk while it is made, measured.
        turn: A lock for parts of which only one is made at a time.
    """

    name: str
    what: str
    make: Callable[["Job"], str]
    version: str = ""
    pins: Any = None
    files: tuple[Path, ...] = ()
    needs: tuple["Part", ...] = ()
    cost: float = 1
    size: float = 1
    turn: AbstractContextManager[Any] = field(default_factory=nullcontext)

    @cached_property
    def key(self) -> str:
        """A hash of everything that decides the content."""
        digest = hashlib.sha256(json.dumps([_FORMAT, self.name, self.version, self.pins], sort_keys=True).encode())
        for top in self.files:
            for file in sorted(top.rglob("*")) if top.is_dir() else [top]:
                if file.is_file() and "__pycache__" not in file.parts:
                    executable = bool(file.stat().st_mode & 0o100)
                    digest.update(f"\0{file.relative_to(top.parent)}\0{executable}\0".encode())
                    digest.update(hashlib.sha256(file.read_bytes()).digest())
        for part in self.needs:
            digest.update(part.key.encode())
        return digest.hexdigest()[:16]

    def closure(self) -> list["Part"]:
        """This part and all it needs, each after what it needs."""
        found: dict[str, Part] = {}

        def visit(part: Part) -> None:
            if part.name not in found:
                for need in part.needs:
                    visit(need)
                found[part.name] = part

        visit(self)
        return list(found.values())


@dataclass
class Job:
    """What a part's ``make`` works with.

    Args:
        part: The part to make.
        out: The folder to fill.
        store: Where other parts are.
        commands: Runs programs.
        progress: Prints lines.
    """

    part: Part
    out: Path
    store: "Store"
    commands: Commands
    progress: Progress
    scratch: Path = field(init=False)

    def __post_init__(self) -> None:
        self.scratch = self.out.with_name(f"{self.out.name}.scratch")

    @property
    def work(self) -> Path:
        """A folder that is kept from one attempt to the next and removed when the part is done."""
        return self.store.folder(f"work/{self.part.name}-{self.part.key}")

    def need(self, name: str) -> Path:
        """The folder of a part that this one is made from."""
        return next(self.store.path(part) for part in self.part.needs if part.name == name)

    def run(
        self, *command: str | Path, limit: float, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> str:
        """Run a program as ``Commands.run`` does, with this part's name and log."""
        log = self.store.folder("logs") / f"{self.part.name}.log"
        return self.commands.run(command, self.part.what, limit, log, cwd, env)


class Store:
    """Parts in one folder.

    Args:
        root: The folder; made when something is put there.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, name: str) -> Path:
        """The folder ``name`` of the store, made if it is not there."""
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def path(self, part: Part) -> Path:
        """Where ``part`` is, or would be."""
        return self.root / "parts" / f"{part.name}-{part.key}"

    def facts(self, part: Part) -> dict[str, Any] | None:
        """What part.json says of ``part``, or None where it is not there or not as it was made."""
        folder = self.path(part)
        try:
            facts: dict[str, Any] = json.loads((folder / "part.json").read_text())
            return facts if _agree(facts["files"], listing(folder)) else None
        except (FileNotFoundError, ValueError, KeyError):
            return None

    def describe(self, part: Part) -> dict[str, Any]:
        """Name, key and version of ``part``, and where it is there its source and the seconds that it took."""
        facts = self.facts(part) or {}
        known = {name: facts[name] for name in ("source", "seconds") if name in facts}
        return {"name": part.name, "key": part.key, "version": part.version, **known}

    def build(self, goal: Part, quiet: bool = False) -> Path:
        """Make ``goal`` and everything it needs that is not there yet, at once where possible.

        Args:
            goal: The part to make.
            quiet: Print no progress.

        Raises:
            DiskFull: There is not enough room; parts that were finished are kept.
            PodiumError: A part could not be made.
        """
        if not (missing := self._missing(goal)):
            return self.path(goal)
        progress = Progress(sum(part.cost for part in missing), quiet)
        self._sweep()
        self._check_room(missing)
        commands = Commands()
        with ThreadPoolExecutor(len(missing)) as pool:
            futures: dict[str, Future[None]] = {}
            for part in missing:
                before = [futures[need.name] for need in part.needs if need.name in futures]
                futures[part.name] = pool.submit(self._make, part, before, commands, progress)
            try:
                wait(futures.values(), return_when=FIRST_EXCEPTION)
                failed = [future for future in futures.values() if future.done() and future.exception()]
            finally:
                if any(not future.done() for future in futures.values()):
                    commands.stop()
        if failed:
            failed[0].result()
        return self.path(goal)

    def _missing(self, goal: Part) -> list[Part]:
        """What has to be made for ``goal``, each part after what it needs; nothing below a part that is there."""
        found: dict[str, Part] = {}

        def visit(part: Part) -> None:
            if part.name not in found and self.facts(part) is None:
                for need in part.needs:
                    visit(need)
                found[part.name] = part

        visit(goal)
        return list(found.values())

    def put(self, part: Part, commands: Commands, progress: Progress) -> None:
        """Make ``part``, whose needs are there, unless another build makes it meanwhile.

        Raises:
            DiskFull: There is not enough room; nothing half-made is left.
            PodiumError: It could not be made.
        """
        with part.turn, self._lock(part.name, progress):
            commands.check()
            if self.facts(part) is not None:
                return
            out = self.folder("tmp") / part.name
            job = Job(part, out, self, commands, progress)
            _remove(out, job.scratch, *self._work(part, old=True))
            try:
                with progress.step(part.what, part.cost):
                    out.mkdir()
                    began = time.monotonic()
                    source = part.make(job)
                    self._finish(part, out, source, time.monotonic() - began)
                _remove(*self._work(part))
            except OSError as error:
                if error.errno not in FULL:
                    raise
                raise self._full([part]) from error
            except DiskFull as error:
                raise self._full([part]) from error
            finally:
                _remove(out, job.scratch)

    def _make(self, part: Part, before: list[Future[None]], commands: Commands, progress: Progress) -> None:
        for future in before:
            future.result()
        self.put(part, commands, progress)

    def _finish(self, part: Part, out: Path, source: str, seconds: float) -> None:
        facts = {"source": source, "seconds": round(seconds, 1), "files": listing(out)}
        (out / "part.json").write_text(json.dumps(facts, indent=1))
        self.folder("parts")
        _remove(self.path(part))  # there only if it was damaged
        out.rename(self.path(part))

    @contextmanager
    def _lock(self, name: str, progress: Progress) -> Iterator[None]:
        with (self.folder("locks") / name).open("w") as file:
            if not _locked(file.fileno()):
                progress.say(f"waiting for another build to finish {name}")
                wait_until(lambda: _locked(file.fileno()), f"another build to finish {name}", _LIMIT, every=0.5)
            yield

    def _work(self, part: Part, old: bool = False) -> list[Path]:
        """The folders of work that attempts to make ``part`` left; only those for other keys, if ``old``."""
        names = [path.name for path in self.folder("work").iterdir() if path.name.rpartition("-")[0] == part.name]
        return [self.root / "work" / name for name in names if not (old and name.endswith(f"-{part.key}"))]

    def _sweep(self) -> None:
        """Remove what dead builds left half-made."""
        for left in self.folder("tmp").iterdir():
            with (self.folder("locks") / left.name.removesuffix(".scratch")).open("w") as file:
                if _locked(file.fileno()):
                    _remove(left)

    def _check_room(self, missing: list[Part]) -> None:
        if shutil.disk_usage(self.folder("parts")).free < sum(part.size for part in missing) * 1e6:
            raise self._full(missing)

    def _full(self, missing: list[Part]) -> DiskFull:
        free = shutil.disk_usage(self.root).free / 1e6
        need = sum(part.size for part in missing)
        names = ", ".join(part.name for part in missing)
        return DiskFull(
            f"There is not enough room in {self.root}: {need:.0f} MB are needed for {names}, {free:.0f} MB are free.",
            "Make room there, or set PODIUM_CACHE to a folder on a larger disk. What is finished is kept.",
        )


def listing(folder: Path) -> dict[str, list[int]]:
    """Size and time of change of each file in ``folder``: enough to see that one was cut short or written to."""
    return {
        str(path.relative_to(folder)): [status.st_size, status.st_mtime_ns]
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "part.json" and (status := path.stat())
    }


def _agree(recorded: dict[str, list[int]], found: dict[str, list[int]]) -> bool:
    """Whether two listings are of the same files. A layer of a container image keeps times to the second only."""
    rounded = {name: [size, changed // 10**9 * 10**9] for name, (size, changed) in recorded.items()}
    return recorded.keys() == found.keys() and all(found[name] in (recorded[name], rounded[name]) for name in found)


def _locked(file: int) -> bool:
    """Whether the lock on ``file`` could be taken at once."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _remove(*paths: Path) -> None:
    """Remove files and folders, those that are not there too."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
