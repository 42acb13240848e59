"""What is in the way: a port that is taken, a disk that is full, a bundle that is damaged or of another version."""

import os
import resource
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from podium import bundle, paths
from podium.cluster import Cluster
from podium.embedded import supervisor
from podium.errors import CannotRunHere, PodiumError
from podium.waiting import wait_until

pytestmark = pytest.mark.bundle

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk that is small enough to fill")


@pytest.fixture(scope="module")
def single() -> Iterator[Cluster]:
    """A cluster that a test may ruin; the tests that do so begin by starting it again where it does not run."""
    cluster = Cluster(f"single-{os.getpid()}", nodes=1)
    yield cluster
    cluster.down()


# -- ports


def test_a_component_whose_port_is_taken_is_started_again_until_it_is_free(cluster: Cluster) -> None:
    scheduler, folder = cluster.components["kube-scheduler"], paths.state_dir() / cluster.name
    port = int(scheduler.flags["secure-port"])
    scheduler.stop()
    before = scheduler.restarts
    with socket.socket() as thief:
        thief.bind(("127.0.0.1", port))
        thief.listen()
        supervisor.ask(folder, do="start", name=scheduler.name)
        wait_until(lambda: scheduler.restarts > before, "the scheduler to fail and be started again", limit=60)
        assert "address already in use" in scheduler.log()
        assert not scheduler.health()
    wait_until(scheduler.health, "the scheduler to have its port", limit=60)


def test_reset_says_whose_port_is_taken(single: Cluster) -> None:
    single.up()
    port = int(single.components["kube-apiserver"].flags["secure-port"])
    with socket.socket() as thief:

        def steal() -> bool:
            try:
                thief.bind(("127.0.0.1", port))
            except OSError:
                return False
            thief.listen()
            return True

        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stealing = threading.Thread(target=wait_until, args=(steal, "the port", 60, 0.001))
        stealing.start()
        with pytest.raises(PodiumError, match=f"Port {port}, which the cluster's api had, is taken"):
            single.reset()
        stealing.join()
    assert not single.is_running()
    single.up()
    assert single.nodes() == ["node-1"]


# -- disks


def _mounted(place: Path, megabytes: int) -> Iterator[Path]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "none", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk on which no cluster has room."""
    yield from _mounted(tmp_path / "small", 100)


@pytest.fixture
def tight(tmp_path: Path) -> Iterator[Path]:
    """A disk that has room for one node."""
    yield from _mounted(tmp_path / "tight", 550)


@needs_root
def test_a_disk_that_is_too_small_is_refused_at_once(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_STATE", str(small))
    with pytest.raises(PodiumError, match=f"MB are needed in {small}, and 100 MB are free"):
        Cluster("cramped", nodes=1).up()
    assert not list(small.iterdir())


def test_a_folder_that_cannot_be_filled_is_an_error_and_is_gone(tmp_path: Path) -> None:
    """The file size limit stands for a quota, which the room that is free does not show."""
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    code = "import sys; from podium.cli import main; sys.exit(main(['up', '--name', 'cramped', '--nodes', '1']))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PODIUM_STATE": str(tmp_path / "state")}, preexec_fn=limit,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "could not be laid: [Errno 27] File too large" in done.stderr
    assert "set PODIUM_STATE to a folder on another disk" in done.stderr
    assert not list((tmp_path / "state").iterdir())


@needs_root
@pytest.mark.all
def test_a_node_that_found_the_disk_full_comes_back_when_there_is_room(
    tight: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node's disk is a file: the kernel ends when it can't write there, and starts again."""
    monkeypatch.setenv("PODIUM_STATE", str(tight))
    with Cluster("cramped", nodes=1) as cluster:
        cluster.kubectl("run", "kept", "--image=podium.test/busybox:1.37", "--", "sleep", "infinity")
        cluster.kubectl("wait", "--for=condition=Ready", "pod/kept", "--timeout=90s")
        uid = ["get", "pod", "kept", "-o", "jsonpath={.metadata.uid}"]
        started = ["get", "pod", "kept", "-o", "jsonpath={.status.containerStatuses[0].restartCount}"]
        before = cluster.kubectl(*uid)
        fill = ["dd", "if=/dev/zero", f"of={tight}/filler", "bs=1M"]
        assert b"No space left" in subprocess.run(fill, capture_output=True, timeout=60, check=False).stderr
        with pytest.raises(PodiumError, match="node-1"):
            cluster.node_exec("node-1", ["dd", "if=/dev/zero", "of=/var/large", "bs=1M", "count=250", "conv=fsync"])
        reports = partial(supervisor.ask, tight / cluster.name, do="status")
        wait_until(lambda: {r["name"]: r["restarts"] for r in reports()}["node-1"], "the node to end", limit=60)
        (tight / "filler").unlink()
        wait_until(lambda: cluster.kubectl(*started) != "0", "the Pod's container to be started again", limit=180)
        cluster.kubectl("wait", "--for=condition=Ready", "node/node-1", "pod/kept", "--timeout=120s")
        assert cluster.kubectl(*uid) == before


# -- bundles


def test_a_damaged_bundle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = bundle.current().path
    copy = tmp_path / "parts" / here.name
    shutil.copytree(here, copy, copy_function=lambda source, link: Path(link).symlink_to(source))
    monkeypatch.setenv("PODIUM_CACHE", str(tmp_path))
    assert bundle.current().path == copy
    (copy / "linux").unlink()
    (copy / "linux").write_bytes((here / "linux").read_bytes()[:-1])
    with pytest.raises(CannotRunHere, match="bundle is damaged"):
        Cluster("never").up()
    assert not Cluster("never").is_running()


def test_a_bundle_of_another_version_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "bundle-0123456789abcdef").symlink_to(bundle.current().path)
    monkeypatch.setenv("PODIUM_CACHE", str(tmp_path))
    with pytest.raises(CannotRunHere, match="bundle is not there yet"):
        Cluster("never").up()


def test_a_running_cluster_keeps_its_bundle(single: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an update, which wants a bundle that is not there yet, it can be used and ended, but not begun anew."""
    single.up()
    kubectl = single.kubectl_path
    monkeypatch.setenv("PODIUM_CACHE", str(tmp_path))
    same = Cluster(single.name)
    assert same.kubectl_path == kubectl
    assert same.kubectl("get", "nodes", "-o", "name") == "node/node-1\n"
    with pytest.raises(CannotRunHere, match="not there yet"):
        same.reset()
    assert same.is_running()
    same.down()
    assert not same.is_running()
