"""The supervisor, on real processes that need no cluster."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from podium.embedded import supervisor
from podium.waiting import wait_until

Start = Callable[..., Path]


@pytest.fixture
def start(tmp_path: Path) -> Any:
    """Starts a supervisor in a folder of its own; what it runs ends after the test, and with the tests if they die."""

    def begin(*processes: dict[str, Any], owner: int = os.getpid()) -> Path:
        identity = {"pid": owner, "start_time": supervisor.start_time(owner)}
        (tmp_path / "supervisor.json").write_text(json.dumps({"owner": identity, "processes": processes}))
        subprocess.run([sys.executable, "-I", "-S", supervisor.__file__, str(tmp_path)], check=True, timeout=20)
        return tmp_path

    yield begin
    with suppress(OSError):  # it may have ended in the test
        supervisor.ask(tmp_path, do="down")


def _sleeper(name: str = "sleeper", **more: Any) -> dict[str, Any]:
    return {"name": name, "argv": ["sleep", "1000"], "log": "log", **more}


def _report(folder: Path, name: str = "sleeper") -> dict[str, Any]:
    return next(report for report in supervisor.ask(folder, do="status") if report["name"] == name)


def _gone(pid: int) -> bool:
    return supervisor.start_time(pid) is None


def _supervisor_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_process_that_dies_is_started_again(start: Start) -> None:
    folder = start(_sleeper())
    first = _report(folder)["pid"]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: _report(folder)["pid"] not in (0, first), "a new process", limit=10)
    assert _report(folder)["restarts"] == 1
    assert _report(folder)["last_exit"] == "killed by SIGKILL"


def test_the_pause_grows_with_each_quick_end(start: Start) -> None:
    folder = start({"name": "brief", "argv": ["date", "+%s.%N"], "log": "log"})
    wait_until(lambda: len((folder / "log").read_text().split()) >= 4, "four runs", limit=20)
    times = [float(word) for word in (folder / "log").read_text().split()]
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert pauses[0] < pauses[1] < pauses[2]


def test_one_that_was_stopped_stays_down(start: Start) -> None:
    folder = start(_sleeper())
    supervisor.ask(folder, do="stop", name="sleeper")
    wait_until(lambda: _report(folder)["state"] == "stopped", "the process to stop", limit=10)
    time.sleep(2 * supervisor.SHORTEST)
    assert _report(folder)["state"] == "stopped"
    supervisor.ask(folder, do="start", name="sleeper")
    wait_until(lambda: _report(folder)["state"] == "running", "the process to run", limit=10)


def test_one_that_ignores_sigterm_is_killed(start: Start) -> None:
    folder = start({"name": "deaf", "argv": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], "log": "log"})
    time.sleep(0.3)  # until the trap is set
    supervisor.ask(folder, do="stop", name="deaf")
    wait_until(lambda: _report(folder, "deaf")["state"] == "stopped", "SIGKILL", limit=supervisor.PATIENCE + 5)
    assert _report(folder, "deaf")["last_exit"] == "killed by SIGKILL"


def test_timers_may_be_as_late_as_a_process_is_told(start: Start) -> None:
    folder = start(_sleeper(slack_ms=20), _sleeper("prompt"))
    late, prompt = (
        int(Path(f"/proc/{_report(folder, n)['pid']}/timerslack_ns").read_text()) for n in ("sleeper", "prompt")
    )
    assert late == 20_000_000
    assert prompt == int(Path("/proc/self/timerslack_ns").read_text())


def test_a_program_that_is_missing_is_reported_and_tried_again(start: Start) -> None:
    folder = start({"name": "missing", "argv": ["/no/such/program"], "log": "log"})
    assert _report(folder, "missing")["state"] == "restarting"
    assert "No such file" in _report(folder, "missing")["last_exit"]


def test_everything_dies_with_a_killed_supervisor(start: Start) -> None:
    folder = start(_sleeper())
    pid = _report(folder)["pid"]
    os.kill(_supervisor_of(pid), signal.SIGKILL)
    wait_until(lambda: _gone(pid), "the process to die", limit=5)
    start(_sleeper())  # and the folder can be used again
    assert _report(folder)["state"] == "running"


def test_everything_ends_with_the_owner(start: Start) -> None:
    with subprocess.Popen(["sleep", "1000"]) as owner:
        folder = start(_sleeper(), owner=owner.pid)
        pid = _report(folder)["pid"]
        owner.kill()
        wait_until(lambda: _gone(pid), "the process to end with the owner", limit=5)
    wait_until(lambda: not (folder / "control.sock").exists(), "the socket to go", limit=5)


def test_a_new_owner_takes_over(start: Start) -> None:
    with subprocess.Popen(["sleep", "1000"]) as first, subprocess.Popen(["sleep", "1000"]) as second:
        folder = start(_sleeper(), owner=first.pid)
        pid = _report(folder)["pid"]
        supervisor.ask(folder, do="own", owner={"pid": second.pid, "start_time": supervisor.start_time(second.pid)})
        first.kill()
        first.wait()
        time.sleep(0.5)
        assert not _gone(pid)
        second.kill()
        wait_until(lambda: _gone(pid), "the process to end with its second owner", limit=5)


def test_a_process_number_that_was_used_again_is_no_owner(start: Start) -> None:
    folder = start(_sleeper())
    pid = _report(folder)["pid"]
    supervisor.ask(folder, do="own", owner={"pid": os.getpid(), "start_time": 1})
    wait_until(lambda: _gone(pid), "the cluster of a stranger to end", limit=5)


def test_the_dependents_of_a_group_start_anew(start: Start) -> None:
    folder = start(_sleeper("net", group="network"), _sleeper("node", needs="network"))
    node = _report(folder, "node")["pid"]
    os.kill(_report(folder, "net")["pid"], signal.SIGKILL)
    wait_until(lambda: _report(folder, "node")["pid"] not in (0, node), "a new node", limit=10)


def test_what_is_not_wanted_yet_waits_until_it_is_asked_for(start: Start) -> None:
    folder = start(_sleeper(wanted=False))
    assert _report(folder)["state"] == "stopped"
    supervisor.ask(folder, do="start", name="sleeper")
    assert _report(folder)["state"] == "running"


def test_what_runs_once_is_tried_again_until_it_succeeds_and_then_forgotten(start: Start) -> None:
    folder = start(
        _sleeper("stays"), _sleeper("once", argv=["sh", "-c", "test -e done || { touch done; exit 3; }"], once=True)
    )
    wait_until(lambda: [p["name"] for p in supervisor.ask(folder, do="status")] == ["stays"], "it to end", limit=10)
    assert (folder / "done").exists()


@pytest.mark.parametrize(
    "request_", [b"nonsense\n", b"{}\n", b'{"do": "fly"}\n', b'{"do": "stop", "name": "nobody"}\n', b""]
)
def test_nonsense_is_answered_and_harms_nothing(start: Start, request_: bytes) -> None:
    import socket

    folder = start(_sleeper())
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(folder / "control.sock"))
        connection.sendall(request_)
        connection.shutdown(socket.SHUT_WR)
        assert b"error" in connection.makefile("rb").read()
    assert _report(folder)["state"] == "running"


def test_one_folder_has_one_supervisor(start: Start) -> None:
    folder = start(_sleeper())
    second = subprocess.run(
        [sys.executable, "-I", "-S", supervisor.__file__, str(folder)], capture_output=True, text=True, timeout=20
    )
    assert second.returncode == 1
    assert "already has a supervisor" in second.stderr


def test_a_bound_process_runs_on_one_processor_with_all_that_it_starts(start: Start) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this machine has one processor")
    folder = start(*(_sleeper(name, argv=["sh", "-c", "sleep 1000 & wait"], bound=True) for name in ("one", "other")))
    first, second = (os.sched_getaffinity(_report(folder, name)["pid"]) for name in ("one", "other"))
    assert len(first) == len(second) == 1
    assert first != second

    pid = _report(folder, "one")["pid"]
    children = Path(f"/proc/{pid}/task/{pid}/children")
    child = int(wait_until(lambda: children.read_text().split(), "its child", limit=10)[0])
    assert os.sched_getaffinity(child) == first
    supervisor.bind(pid, *second)
    assert os.sched_getaffinity(pid) == os.sched_getaffinity(child) == second
    assert os.sched_getaffinity(_report(folder, "other")["pid"]) == second


@pytest.mark.parametrize(
    ("waited", "idle", "better"),
    [
        (0.0, {0: 0.0, 1: 2.0}, None),  # nobody else is there
        (0.1, {0: 0.0, 1: 2.0}, None),  # not worth while
        (0.8, {0: 0.0, 1: 1.9}, 1),
        (0.8, {0: 0.0, 1: 0.3}, None),  # it would have to wait there, too
        (0.8, {}, None),  # the machine does not tell
    ],
)
def test_a_bound_process_moves_to_where_it_waits_less(waited: float, idle: dict[int, float], better: int) -> None:
    assert supervisor.roomier(waited, idle) == better


def test_a_bound_process_makes_room_for_another(start: Start) -> None:
    """Two that are always busy end on two processors, whatever else runs there."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this machine has one processor")
    folder = start(*(_sleeper(name, argv=["sh", "-c", "while :; do :; done"], bound=True) for name in ("one", "other")))
    pids = [_report(folder, name)["pid"] for name in ("one", "other")]
    for pid in pids:
        supervisor.bind(pid, min(os.sched_getaffinity(0)))
    apart = lambda: len(set.union(*map(os.sched_getaffinity, pids))) == 2  # noqa: E731
    wait_until(apart, "one of them to be moved", limit=120, every=0.5)
