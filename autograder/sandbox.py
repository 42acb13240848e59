"""Where the cells of a submission run: cut off from all but the API server of their cluster, and within bounds.

The sandbox is made by bubblewrap (https://github.com/containers/bubblewrap). See ``docs/grading.md``.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import node
import podium
from autograder.dialogue import Dialogue, NoAnswer, clean
from autograder.inside import TEXT_LIMIT
from autograder.manifest import FOLDER, Lab
from autograder.relay import relay
from autograder.rights import learner
from podium.cluster import Cluster
from podium.errors import CannotRunHere

START_LIMIT = 60.0
"""Seconds that the sandbox and its kernel may take to start, on a busy machine."""

STOP_LIMIT = 20.0
"""Seconds that a cell has to end after it was interrupted."""

SCRATCH = "/scratch"
"""The folder in which cells run: the only one, beside /tmp and /dev/shm, in which they can write."""

_CODE = Path("/podium")
_STATE = Path("/run/podium")
_EVERY = 0.25  # seconds between two looks at the memory
_ETC = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")
NOBODY = 61_000
"""Who runs a sandbox where the grader is root: a user without a name, a folder or a file."""

_MODULES = ("__init__", "checks", "cluster", "faults", "inside", "manifest", "relay", "show")
"""Of the autograder what a notebook imports: no checks."""


@dataclass(frozen=True)
class Limits:
    """What a submission may use.

    Args:
        cell: Seconds for one cell.
        notebook: Seconds for all cells.
        memory_mb: Memory of all its processes together; what lies in its folders comes on top.
        disk_mb: What lies in its folder, which is in memory, and half of that in each of the other two.
        processes: Processes and threads at a time.
    """

    cell: float = 120
    notebook: float = 900
    memory_mb: int = 1536
    disk_mb: int = 128
    processes: int = 384

    def of_a_process(self) -> dict[str, int]:
        """The limits of each process, as setrlimit(2) has them."""
        return {
            "NPROC": self.processes,
            "DATA": self.memory_mb << 20,
            "FSIZE": self.disk_mb << 20,
            "CPU": int(self.notebook) + 60,
            "NOFILE": 1024,
            "CORE": 0,
            "MEMLOCK": 0,
            "MSGQUEUE": 0,
        }


class Ran(NamedTuple):
    """What became of a cell: what it printed, and why nothing more can be run, where that is so."""

    text: str
    note: str


@cache
def require() -> None:
    """Try whether there can be a sandbox on this machine.

    Raises:
        CannotRunHere: There can't.
    """
    if not shutil.which("bwrap"):
        raise CannotRunHere(
            "Submissions cannot be graded here: bubblewrap is missing, and without it their code is not shut in.",
            "Install the package bubblewrap, on Linux.",
        )
    done = subprocess.run(
        _command([], Limits(), [sys.executable, "-c", ""]),
        env={}, capture_output=True, text=True, check=False, timeout=START_LIMIT,
    )  # fmt: skip
    if done.returncode:
        raise CannotRunHere(
            f"Submissions cannot be graded here: no sandbox can be made ({done.stderr.strip()}).",
            "It needs user namespaces. In a container, allow them, or grade outside of it; on Ubuntu, see"
            " kernel.apparmor_restrict_unprivileged_userns.",
        )


class Sandbox:
    """A kernel that is shut in, for as long as the block runs.

    Args:
        cluster: The cluster that it works on, on which the lab's namespace exists.
        lab: The lab: its learners' rights are all that it has there.
        limits: What it may use.

    Raises:
        CannotRunHere: There can be no sandbox on this machine.
        PodiumError: The cluster did not give the rights.
    """

    def __init__(self, cluster: Cluster, lab: Lab, limits: Limits) -> None:
        require()
        self._cluster, self._lab, self._limits = cluster, lab, limits
        self._left = limits.notebook
        self._note = ""
        self._cells = 0

    def __enter__(self) -> "Sandbox":
        with ExitStack() as stack:
            home = self._cluster.kubeconfig_path.parent  # which goes with the cluster, whatever becomes of this process
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sandbox-", dir=home)))
            kubeconfig = learner(self._cluster, self._lab)
            server = kubeconfig["clusters"][0]["cluster"]["server"]
            stack.enter_context(relay(folder, self._cluster, server, self._lab))
            state = {"backend": "relayed", "kubectl": str(_CODE / "bin/kubectl")}
            (folder / "cluster.json").write_text(json.dumps(state))
            (folder / "kubeconfig").touch(0o600)
            (folder / "kubeconfig").write_text(json.dumps(kubeconfig))
            (folder / "labs.toml").write_text(_manifest(self._lab))
            if os.getuid() == 0:
                for path in (folder, *folder.iterdir()):
                    os.chown(path, NOBODY, NOBODY)
            inside = _STATE / self._cluster.name
            binds = [
                (folder, inside),
                (self._cluster.kubectl_path, _CODE / "bin/kubectl"),
                (Path(podium.__file__).parent, _CODE / "podium"),
                (Path(node.__file__).parent, _CODE / "node"),
                *((FOLDER / f"{name}.py", _CODE / f"autograder/{name}.py") for name in _MODULES),
                (folder / "labs.toml", _CODE / "autograder/labs.toml"),
                *((t.start, _CODE / "autograder/start" / t.start.name) for t in self._lab.tasks if t.start.exists()),
            ]
            limits = json.dumps(self._limits.of_a_process())
            argv = [sys.executable, "-m", "autograder.inside", str(inside), str(urlsplit(server).port), limits]
            environment = {
                "HOME": SCRATCH,
                "JUPYTER_PATH": str(_CODE / "podium/jupyter/share"),
                "KUBECONFIG": str(inside / "kubeconfig"),
                "LANG": "C.UTF-8",
                "PATH": f"{_CODE}/bin:{Path(sys.executable).parent}:/usr/bin:/bin",
                "PODIUM_CLUSTER": self._cluster.name,
                "PODIUM_STATE": str(_STATE),
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONPATH": str(_CODE),
            }
            self._dialogue = Dialogue(_command(binds, self._limits, argv, environment), {"PATH": os.defpath})
            stack.callback(self._dialogue.end)
            self._over = threading.Event()
            watch = threading.Thread(target=self._watch, daemon=True)
            watch.start()
            stack.callback(watch.join)
            stack.callback(self._over.set)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, source: str, number: int) -> Ran:
        """Run one cell.

        Args:
            source: Its text.
            number: Its place in the notebook, from 1, for messages.
        """
        if self._note:
            return Ran("", self._note)
        if self._left <= 0:
            self._note = f"The notebook ran out of time before cell {number}."
            return Ran("", self._note)
        limit = max(1.0, min(self._limits.cell, self._left))
        began = time.monotonic()
        try:
            request = {"source": source, "limit": limit}
            answer = self._dialogue.ask(request, limit + STOP_LIMIT + (0 if self._cells else START_LIMIT))
        except NoAnswer as problem:
            self._note = f"The sandbox {problem.what} in cell {number}; the cells after it were not run."
            return Ran("", self._note)
        self._cells += 1
        self._left -= time.monotonic() - began
        if answer.get("state") != "ran":
            what = "The kernel died in" if answer.get("state") == "died" else "There was no stopping"
            self._note = f"{what} cell {number}; the cells after it were not run."
        return Ran(clean(answer.get("text", ""), TEXT_LIMIT), self._note)

    def _watch(self) -> None:
        """End the sandbox when it takes too much memory."""
        while not self._over.wait(_EVERY):
            if _memory_mb(self._dialogue.pid, self._limits.memory_mb) > self._limits.memory_mb:
                self._dialogue.kill(f"used more than {self._limits.memory_mb} MB of memory and was ended")
                return


def _manifest(lab: Lab) -> str:
    """What a notebook needs to know of its lab, as labs.toml has it: no hints, and not what its wrong answers are."""
    lines = [
        "[[lab]]",
        *(f"{key} = {json.dumps(getattr(lab, key))}" for key in ("id", "assignment", "title", "minutes")),
    ]
    for task in lab.tasks:
        known = {"id": task.id, "title": task.title, "points": task.points, "manual": task.manual}
        lines += ["[[lab.task]]", *(f"{key} = {json.dumps(value)}" for key, value in known.items())]
        lines += ["concepts = []", 'design = ""']
    return "\n".join(lines)


def _command(
    binds: list[tuple[Path, Path]], limits: Limits, argv: list[str], environment: dict[str, str] | None = None
) -> list[str]:
    """The command line of a sandbox: all namespaces new, a file system of what Python needs and of ``binds``."""
    python = (Path(path) for prefix in (sys.base_prefix, sys.prefix) for path in (prefix, os.path.realpath(prefix)))
    system = [Path("/usr"), *dict.fromkeys(path for path in python if not path.is_relative_to("/usr"))]
    links = [Path(path) for path in ("/bin", "/sbin", "/lib", "/lib32", "/lib64") if os.path.exists(path)]
    system += [path for path in (*links, *map(Path, _ETC)) if path.exists() and not path.is_symlink()]
    shared = [*((path, path) for path in system), *binds]
    symlinks = [("--symlink", path.readlink(), path) for path in links if path.is_symlink()]
    before: list[tuple] = []
    if os.getuid() == 0:
        # What root starts is root, whatever it is called inside. So root only lays out what there is, and then a user
        # who is nobody makes the sandbox from that: the other user can't reach the caller's folders by himself.
        parents = sorted({parent for _, target in shared for parent in target.parents})
        before = [
            # bubblewrap looks its child up in /proc, so that has to be of its own process namespace, and whole: from a
            # /proc that bubblewrap itself has made, the other user could not make another one.
            ("setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"),
            ("bwrap", "--die-with-parent", "--cap-drop", "ALL"),
            ("--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"),
            *(("--perms", "0755", "--dir", path) for path in (*parents[1:], "/tmp")),
            *symlinks,
            *(("--ro-bind", *bind) for bind in shared),
            ("--bind", "/proc", "/proc", "--dev-bind", "/dev", "/dev", "--"),
            ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--"),
        ]
        shared = [(target, target) for _, target in shared]
    installed = Path(sys.prefix, "lib", f"python{sys.version_info.major}.{sys.version_info.minor}", "site-packages")
    hidden = [("--tmpfs", path) for path in (installed / "autograder",) if path.is_dir()]
    small = str(limits.disk_mb << 19)
    words = [
        *before,
        ("bwrap", "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent", "--new-session"),
        ("--uid", "1000", "--gid", "1000", "--hostname", "sandbox", "--clearenv"),
        *(("--setenv", name, value) for name, value in (environment or {}).items()),
        *symlinks,
        ("--size", small, "--tmpfs", "/tmp"),  # what is shared may lie in the machine's
        *(("--ro-bind", *bind) for bind in shared),
        *hidden,
        ("--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev"),
        ("--size", small, "--tmpfs", "/dev/shm"),
        ("--size", str(limits.disk_mb << 20), "--tmpfs", SCRATCH),
        ("--remount-ro", "/", "--chdir", SCRATCH, "--"),
        argv,
    ]
    return [str(word) for group in words for word in group]


def _memory_mb(root: int, enough: int) -> int:
    """The memory that a process and its descendants have, in MB.

    What they share is counted once, unless all of it together is less than ``enough`` anyway.
    """
    family = list(_family(root))
    resident = sum(map(_resident_kb, family)) >> 10
    return resident if resident <= enough else sum(map(_proportional_kb, family)) >> 10


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = [child for task in Path(f"/proc/{pid}/task").iterdir() for child in _words(task / "children")]
    except OSError:
        return  # it has ended
    for child in children:
        yield from _family(int(child))


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def _resident_kb(pid: int) -> int:
    words = _words(Path(f"/proc/{pid}/statm"))
    return int(words[1]) * os.sysconf("SC_PAGE_SIZE") >> 10 if words else 0


def _proportional_kb(pid: int) -> int:
    """Its share; all that it has where it doesn't let others look."""
    words = _words(Path(f"/proc/{pid}/smaps_rollup"))
    return int(words[words.index("Pss:") + 1]) if "Pss:" in words else _resident_kb(pid)
