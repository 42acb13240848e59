"""Nothing listens beyond loopback, nothing answers a stranger, and nothing is left behind."""

import json
import os
import signal
import ssl
import stat
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from podium import paths
from podium.cluster import Cluster, clusters
from podium.embedded import supervisor
from podium.waiting import wait_until


def _processes_in(folder: Path) -> set[int]:
    """The processes whose working folder is a cluster's."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            here = Path(os.readlink(process / "cwd").removesuffix(" (deleted)"))
            if here.is_relative_to(folder):
                found.add(int(process.name))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return found


def _waiting(folder: Path) -> bool:
    """Whether a `kubectl wait` runs there."""
    for pid in _processes_in(folder):
        with suppress(FileNotFoundError, ProcessLookupError):
            if b"kubectl\0wait\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return True
    return False


def _listeners(processes: set[int]) -> set[str]:
    """The addresses, as hexadecimal digits, on which these processes take TCP connections (proc_net_tcp(5))."""
    inodes = set()
    for pid in processes:
        try:
            inodes |= {os.readlink(descriptor) for descriptor in Path(f"/proc/{pid}/fd").glob("*")}
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    return {row[1].partition(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes}


def test_everything_listens_on_loopback_only(cluster: Cluster) -> None:
    assert _listeners(_processes_in(paths.state_dir() / cluster.name)) == {"0100007F"}


def test_a_stranger_gets_no_answer(cluster: Cluster) -> None:
    state = json.loads((paths.state_dir() / cluster.name / "cluster.json").read_text())
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    for name, port in state["ports"].items():
        for path in ("/healthz", "/livez", "/metrics"):
            with pytest.raises((urllib.error.HTTPError, OSError)) as refused:
                urllib.request.urlopen(f"https://127.0.0.1:{port}{path}", context=trusting, timeout=10)
            if isinstance(refused.value, urllib.error.HTTPError):
                assert refused.value.code in (401, 403), f"{name}{path}"


def test_keys_and_sockets_are_for_their_owner_only(cluster: Cluster) -> None:
    folder = paths.state_dir() / cluster.name
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    secrets = [*folder.glob("pki/*.key"), *folder.glob("*.conf"), *folder.glob("*.sock"), folder / "kubeconfig"]
    assert len(secrets) > 10
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in secrets} == {0}


@pytest.mark.bundle
def test_a_killed_owner_leaves_nothing_running() -> None:
    name = f"orphan-{os.getpid()}"
    code = (
        "import time; from podium.cluster import Cluster; "
        f"Cluster({name!r}, 1).up(); print('up', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == "up\n"
        folder = paths.state_dir() / name
        assert len(_processes_in(folder)) > 5
        wait_until(lambda: _waiting(folder), "the add-ons to wait for the cluster's DNS", limit=10, every=0.02)
        owner.send_signal(signal.SIGKILL)
    wait_until(lambda: not _processes_in(folder), "the cluster's processes to end", limit=10)
    assert name not in [cluster.name for cluster in clusters()]
    assert not folder.exists()


@pytest.mark.bundle
def test_a_killed_supervisor_leaves_nothing_running_and_the_folder_can_be_used_again() -> None:
    with Cluster(f"fallen-{os.getpid()}", 1) as cluster:
        folder = paths.state_dir() / cluster.name
        etcd = next(report for report in supervisor.ask(folder, do="status") if report["name"] == "etcd")["pid"]
        os.kill(int(Path(f"/proc/{etcd}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
        wait_until(lambda: not _processes_in(folder), "the cluster's processes to end", limit=10)
        assert not cluster.is_running()
        cluster.up()
        assert cluster.nodes() == ["node-1"]
