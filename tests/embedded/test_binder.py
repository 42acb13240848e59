"""The cluster runs where Binder runs: as a user who may do very little, on one core and 2 GB."""

import json
import os
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from podium import paths
from podium.embedded.backend import NODE_MEMORY_MB, SMALL_NODE_MEMORY_MB
from tests.embedded import binder

MEMORY = 2 << 30  # bytes

# What a session says of its own conditions, and then does.
SESSION = """
import ctypes, json, os
from podium import Cluster

status = dict(line.split(":\\t") for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
mounts = [line.split() for line in open("/proc/self/mounts")]
shm = os.statvfs("/dev/shm")
print(json.dumps({
    "users": sorted(set(status["Uid"].split())), "groups": status["Groups"].split(),
    "capabilities": sorted({status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}),
    "no_new_privs": status["NoNewPrivs"], "seccomp": status["Seccomp"],
    "new user namespace": ctypes.CDLL(None).unshare(0x10000000),
    "processors": len(os.sched_getaffinity(0)), "shm": shm.f_blocks * shm.f_frsize,
    "writable": [m[1] for m in mounts if "rw" in m[3].split(",") and m[1].split("/")[1] not in ("proc", "sys", "dev")],
}))
with Cluster("podium", nodes=1) as cluster:
    cluster.kubectl("run", "first", "--image=podium.test/busybox:1.37", "--", "sleep", "infinity")
    cluster.kubectl("wait", "--for=condition=Ready", "pod/first", "--timeout=120s")
    print(cluster.exec("first", ["hostname"]).strip())
    print(cluster.kubectl("get", "node", "node-1", "--output", "jsonpath={.status.capacity.memory}"))
print(os.listdir(".local/state/podium"))
"""


@pytest.fixture
def group() -> Iterator[Path | None]:
    """A control group with 2 GB, version 1 or 2 (cgroups(7)); None, with a warning, where none can be made."""
    top = Path("/sys/fs/cgroup")
    unified = (top / "cgroup.controllers").exists()
    place = (top if unified else top / "memory") / f"podium-{os.getpid()}"
    try:
        if unified:
            (top / "cgroup.subtree_control").write_text("+memory")
        place.mkdir()
        (place / ("memory.max" if unified else "memory.limit_in_bytes")).write_text(str(MEMORY))
    except OSError as error:
        warnings.warn(f"The Binder conditions are tested without the limit of 2 GB: {error}", stacklevel=1)
        yield None
        return
    yield place
    events = (place / ("memory.events" if unified else "memory.oom_control")).read_text()
    place.rmdir()
    assert "oom_kill 0" in events.splitlines()


@pytest.mark.bundle
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make the conditions of a Binder session")
def test_a_pod_runs_under_the_conditions_of_binder(tmp_path: Path, group: Path | None) -> None:
    home = tmp_path / "home"
    home.mkdir()
    os.chown(home, 1000, 1000)
    processor = min(os.sched_getaffinity(0))
    command, variables = binder.command(home, paths.cache_dir(), processor, group, "python3", "-c", SESSION)
    done = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    conditions, *words = done.stdout.splitlines()
    assert json.loads(conditions) == {
        "users": ["1000"], "groups": [], "capabilities": ["0" * 16], "no_new_privs": "1", "seccomp": "2",
        "new user namespace": -1, "processors": 1, "shm": 64 << 20, "writable": ["/home/jovyan"],
    }  # fmt: skip
    name, memory, left = words
    assert (name, left) == ("first", "[]")
    if group:
        assert int(memory.removesuffix("Ki")) < SMALL_NODE_MEMORY_MB << 10 < NODE_MEMORY_MB << 10
