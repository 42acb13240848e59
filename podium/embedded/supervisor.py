"""The process that keeps a cluster's processes, and ends them all when its owner is gone.

``python supervisor.py FOLDER`` goes into the background and runs what FOLDER/supervisor.json lists, in that order; it
returns when it can be asked. It uses the standard library only and sleeps until something happens, so that it costs
next to nothing.

* A process that ends unasked is started again: at first after half a second, then after twice as long each time, at
  most ten seconds; a run of ten seconds makes it new. One that was stopped on purpose stays down.
* A node's kernel and its programs are processes that wait for each other, call by call: on one processor that takes
  half the time that it takes on two. So they are bound to one, and moved together when another one has more room.
* Every process dies with the supervisor, even if that is killed (``PR_SET_PDEATHSIG``, prctl(2)).
* The supervisor ends when the process that owns the cluster ends (pidfd_open(2)).
* ``FOLDER/control.sock`` takes one JSON object a connection and answers with one: see :func:`ask`.
"""

import ctypes
import fcntl
import heapq
import json
import os
import random
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

SHORTEST, LONGEST = 0.5, 10.0  # seconds between the end of a process and its next start
PATIENCE = 5.0  # seconds between SIGTERM and SIGKILL
PERIOD = 2.0  # seconds after which it is looked again whether a bound process is better off on another processor
WAITED = 0.1  # what part of them it may wait for its own
_PR_SET_PDEATHSIG, _PR_SET_TIMERSLACK = 1, 29


def ask(folder: Path, **request: Any) -> Any:
    """Send one request to the supervisor of ``folder``.

    Args:
        folder: The cluster's folder.
        request: ``do`` and what it needs: ``status``; ``start``, ``stop`` with ``name``; ``add`` with ``process``;
            ``remove`` with ``name``; ``own`` with ``owner``; ``down``.

    Returns:
        The answer's ``ok``.

    Raises:
        OSError: No supervisor answers there.
        KeyError: There is no process of that name.
    """
    directory = os.open(folder, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(f"/proc/self/fd/{directory}/control.sock")  # the path itself may be too long
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile() as answer:
                reply = json.loads(answer.readline() or "{}")
    finally:
        os.close(directory)
    if "error" in reply:
        raise KeyError(reply["error"])
    return reply.get("ok")


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot (proc_pid_stat(5)); None if it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def roomier(waited: float, idle: dict[int, float]) -> int | None:
    """The processor to which a process should move; None where it should stay.

    Args:
        waited: For how many seconds of the last :data:`PERIOD` it has waited for its own.
        idle: For how many seconds of that time each processor has had nothing to do.
    """
    most = max(idle, key=idle.__getitem__, default=None)
    return most if most is not None and idle[most] > waited > WAITED * PERIOD else None


def bind(pid: int, processor: int) -> None:
    """Let a process and what it has started in its session run on one processor: sched_setaffinity(2)."""
    everybody = map(int, filter(str.isdigit, os.listdir("/proc")))
    for each in (pid, *everybody):  # itself first: what it starts from now on inherits it
        try:
            if os.getsid(each) == pid:
                for task in os.listdir(f"/proc/{each}/task"):
                    os.sched_setaffinity(int(task), {processor})
        except (FileNotFoundError, ProcessLookupError):
            continue


def _waited(pid: int) -> float:
    """For how many seconds a process was ready to run and did not: https://docs.kernel.org/scheduler/sched-stats.html."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def _idle() -> dict[int, float]:
    """For how many seconds each processor that may be used has had nothing to do: proc_stat(5).

    A container may be shown a file of its own, without some of them: nobody moves there.
    """
    lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
    idle = {line[0]: int(line[4]) / os.sysconf("SC_CLK_TCK") for line in lines if line[0].startswith("cpu")}
    return {number: idle[name] for number in os.sched_getaffinity(0) if (name := f"cpu{number}") in idle}


@dataclass
class _Process:
    """One supervised process, as supervisor.json describes it."""

    name: str
    argv: list[str]
    env: dict[str, str] = field(default_factory=dict)
    log: str = ""
    group: str = ""  # when a member of this group ends unasked …
    needs: str = ""  # … every process that needs the group is started anew
    wanted: bool = True  # False: it is started when that is asked for
    slack_ms: int = 0  # how late its timers may be, so that several end together; 0: as late as its parent's
    once: bool = False  # its work is done, and it is forgotten, when it ends with exit status 0
    bound: bool = False  # to one processor, with all that it starts

    running: "subprocess.Popen[bytes] | None" = None
    since: float = 0.0
    restarts: int = 0
    last_exit: str = ""
    pause: float = SHORTEST
    processor: int | None = None
    waited: float = 0.0

    def report(self) -> dict[str, Any]:
        state = "running" if self.running else "restarting" if self.wanted else "stopped"
        return {
            "name": self.name, "state": state, "pid": self.running.pid if self.running else 0, "argv": self.argv,
            "restarts": self.restarts, "last_exit": self.last_exit, "since": self.since, "log": self.log,
        }  # fmt: skip


class _Supervisor:
    def __init__(self, folder: Path) -> None:
        os.chdir(folder)
        os.umask(0o077)
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._processes: dict[str, _Process] = {}
        self._owner = -1
        self._over = False
        self._counted = 0
        self._idle = _idle()

    def run(self, listening: Callable[[], object]) -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self._end())
        wake, wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wakes)
        self._selector.register(wake, selectors.EVENT_READ, lambda: os.read(wake, 512))
        plan = json.loads(Path("supervisor.json").read_text())
        self._own(plan["owner"])
        Path("control.sock").unlink(missing_ok=True)
        control = socket.socket(socket.AF_UNIX)
        control.bind("control.sock")
        control.listen(16)
        self._selector.register(control, selectors.EVENT_READ, lambda: self._accept(control))
        listening()
        for description in plan["processes"]:
            self._add(description)
        self._later(PERIOD, self._balance)
        try:
            while not self._over:
                due = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
                for key, _ in self._selector.select(due):
                    key.data()
                while self._timers and self._timers[0][0] <= time.monotonic():
                    heapq.heappop(self._timers)[2]()
        finally:
            self._kill_all()

    def _end(self) -> None:
        self._over = True

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self._counted += 1
        heapq.heappush(self._timers, (time.monotonic() + seconds, self._counted, action))

    # -- the owner

    def _own(self, owner: dict[str, int] | None) -> None:
        if self._owner >= 0:
            self._selector.unregister(self._owner)
            os.close(self._owner)
            self._owner = -1
        if owner is None:
            return
        try:
            self._owner = os.pidfd_open(owner["pid"])
        except ProcessLookupError:
            return self._end()
        if start_time(owner["pid"]) != owner["start_time"]:
            return self._end()
        self._selector.register(self._owner, selectors.EVENT_READ, self._end)

    # -- processes

    def _add(self, description: dict[str, Any]) -> None:
        process = _Process(**description)
        self._processes[process.name] = process
        self._start(process)

    def _start(self, process: _Process) -> None:
        if not process.wanted or process.running:
            return
        if process.bound:
            process.processor, process.waited = self._free_processor(), 0.0
        prepare = partial(_prepare, os.getpid(), process.slack_ms, process.processor)
        with open(process.log, "ab") as log:
            try:
                process.running = subprocess.Popen(
                    process.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | process.env,
                    start_new_session=True, preexec_fn=prepare,
                )  # fmt: skip
            except OSError as error:
                process.last_exit = str(error)
                log.write(f"{error}\n".encode())
                return self._again(process)
        process.since = time.time()
        watch = os.pidfd_open(process.running.pid)
        self._selector.register(watch, selectors.EVENT_READ, lambda: self._ended(process, watch))

    def _ended(self, process: _Process, watch: int) -> None:
        self._selector.unregister(watch)
        os.close(watch)
        assert process.running
        status = process.running.wait()
        process.running = None
        process.last_exit = f"killed by {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        if time.time() - process.since > LONGEST:
            process.pause = SHORTEST
        process.since = time.time()
        if process.once and status == 0:
            self._processes.pop(process.name, None)
        elif process.wanted:
            self._again(process)
            for other in self._processes.values():
                if process.group and other.needs == process.group and other.running:
                    other.running.kill()

    def _again(self, process: _Process) -> None:
        process.restarts += 1
        self._later(process.pause, lambda: self._start(process))
        process.pause = min(2 * process.pause, LONGEST)

    def _stop(self, process: _Process) -> None:
        process.wanted = False
        if running := process.running:
            running.terminate()
            self._later(PATIENCE, lambda: running.kill() if process.running is running else None)

    def _kill_all(self) -> None:
        """End everything at once; whatever a process started itself dies with it."""
        running = [p.running for p in self._processes.values() if p.running]
        for process in running:
            process.kill()
        for process in running:
            process.wait()
        Path("control.sock").unlink(missing_ok=True)

    # -- processors

    def _free_processor(self) -> int:
        """One of those to which fewest processes are bound; by chance, for other clusters do the same."""
        bound = [process.processor for process in self._processes.values() if process.running]
        return min(os.sched_getaffinity(0), key=lambda processor: (bound.count(processor), random.random()))

    def _balance(self) -> None:
        """Move bound processes that are better off elsewhere; not always, for other clusters do the same."""
        self._later(PERIOD, self._balance)
        before, self._idle = self._idle, _idle()
        idle = {processor: seconds - before.get(processor, seconds) for processor, seconds in self._idle.items()}
        for process in self._processes.values():
            if process.bound and process.running:
                before_that, process.waited = process.waited, _waited(process.running.pid)
                waited = process.waited - before_that
                better = roomier(waited, idle)
                if better is not None and better != process.processor and random.random() < 0.5:
                    bind(process.running.pid, better)
                    process.processor = better
                    idle[better] -= waited

    # -- requests

    def _accept(self, control: socket.socket) -> None:
        connection, _ = control.accept()
        with connection:
            connection.settimeout(2)
            try:
                with connection.makefile() as request:
                    text = request.readline()
                try:
                    reply = {"ok": self._do(json.loads(text))}
                except (KeyError, TypeError, ValueError) as error:
                    reply = {"error": str(error)}
                connection.sendall(json.dumps(reply).encode() + b"\n")
            except OSError:
                return  # the asker has gone; the next one is served

    def _do(self, request: dict[str, Any]) -> Any:
        match request["do"]:
            case "status":
                return [p.report() for p in self._processes.values()]
            case "start":
                process = self._processes[request["name"]]
                process.pause, process.wanted = SHORTEST, True
                self._start(process)
            case "stop":
                self._stop(self._processes[request["name"]])
            case "add":
                self._add(request["process"])
            case "remove":
                process = self._processes.pop(request["name"])
                process.wanted = False
                if process.running:
                    process.running.kill()
            case "own":
                self._own(request["owner"])
            case "down":
                self._end()
            case other:
                raise ValueError(f"unknown request {other!r}")
        return None


def _prepare(parent: int, slack_ms: int, processor: int | None) -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if processor is not None:
        os.sched_setaffinity(0, {processor})
    if slack_ms:
        _LIBC.prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(slack_ms * 1_000_000))
    if os.getppid() != parent:
        os._exit(1)


_LIBC = ctypes.CDLL(None, use_errno=True)


def _main(folder: Path) -> int:
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"{folder} already has a supervisor", file=sys.stderr)
        return 1
    ready, answer = os.pipe()
    if os.fork():
        os.close(answer)
        return 0 if os.read(ready, 1) else 1
    os.close(ready)
    os.setsid()
    _Supervisor(folder).run(lambda: os.write(answer, b"1"))
    return 0


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]).absolute()))
