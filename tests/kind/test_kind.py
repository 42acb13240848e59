"""What kind does otherwise than the embedded backend: components that are Pods and services, and the guard."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from podium import paths
from podium.cli import main
from podium.cluster import Cluster, left_behind
from podium.errors import PodiumError
from podium.kind import engine
from podium.waiting import wait_until

pytestmark = [pytest.mark.kind, pytest.mark.bundle]
in_kind = pytest.mark.parametrize("cluster", ["kind"], indirect=True, scope="session")

_OWNER_PROGRAM = """
import sys
from podium.cluster import Cluster
cluster = Cluster(sys.argv[1], nodes=1, backend="kind")
cluster.up()
print("up", flush=True)
sys.stdin.read()
"""


@in_kind
def test_every_component_is_healthy_and_tells_its_metrics(cluster: Cluster) -> None:
    for component in cluster.components.values():
        wait_until(component.health, f"{component.name} to be healthy", limit=60)
        assert "# TYPE" in component.metrics(), component.name


@in_kind
def test_a_scheduler_that_is_told_to_logs_more(cluster: Cluster, namespace: str) -> None:
    scheduler = cluster.components["kube-scheduler"]
    scheduler.set_verbosity(4)
    try:
        cluster.kubectl("run", "-n", namespace, "told", "--image=podium.test/busybox:1.37", "--", "true")
        tried = f'"Attempting to schedule pod" pod="{namespace}/told"'  # at 3 and above
        wait_until(lambda: tried in scheduler.log(500), "the scheduler to log what it tries", limit=60)
    finally:
        scheduler.set_verbosity(2)


@in_kind
def test_a_node_sees_one_folder_of_the_machine_and_can_not_write_to_it(cluster: Cluster) -> None:
    for node in cluster.nodes():
        (paths.state_dir() / cluster.name / node / "given").write_text(f"for {node}")
        assert cluster.node_exec(node, ["cat", "/exchange/given"]) == f"for {node}"
        with pytest.raises(PodiumError, match="Read-only file system"):
            cluster.node_exec(node, ["touch", "/exchange/taken"])


@contextlib.contextmanager
def _owner(name: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has started a cluster, or taken one up, and owns it."""
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER_PROGRAM, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        try:
            assert owner.stdout
            assert owner.stdout.readline() == "up\n"
            yield owner
        finally:
            owner.kill()


def test_a_cluster_survives_a_crash_is_made_anew_and_ends_with_its_owner(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PODIUM_BACKEND", "kind")
    name = f"owned-{os.getpid()}"
    folder, cluster, other = paths.state_dir() / name, Cluster(name), f"podium-{name}-abcdef-control-plane"
    docker = engine.find()
    try:
        with _owner(name) as owner:
            cluster.kubectl("create", "configmap", "old")
            os.kill(int((folder / "guard.pid").read_text()), signal.SIGKILL)  # as in a crash, both end at once
            owner.kill()
        (container,) = (line for line in _containers() if name in line)
        docker.call("stop", container)  # and the machine was started again
        # Somebody else's cluster, of the same name.
        image = docker.call("inspect", "--format", "{{.Image}}", container).strip()
        label = f"--label={engine.LABEL}=podium-{name}-abcdef"
        docker.call("run", "--detach", f"--name={other}", label, "--entrypoint=sleep", image, "infinity")
        assert name in left_behind()
        main(["status"])
        assert f"podium up --name {name}" in capsys.readouterr().err

        with _owner(name) as owner:
            assert name not in left_behind()
            assert "configmap/old" in cluster.kubectl("get", "configmaps", "--output=name")
            cluster.reset()
            assert "configmap/old" not in cluster.kubectl("get", "configmaps", "--output=name")
            owner.kill()
            wait_until(lambda: container not in _containers(), "the node to end with its owner", limit=60)
            wait_until(lambda: not folder.exists(), "the cluster's folder to be removed", limit=60)
        assert other in _containers()
    finally:
        cluster.down()
        docker.call("rm", "--force", other)


@in_kind
def test_a_cluster_whose_folder_is_gone_is_found(cluster: Cluster, tmp_path: Path) -> None:
    assert cluster.name not in left_behind()
    folder = paths.state_dir() / cluster.name
    folder.rename(tmp_path / "away")
    try:
        assert cluster.name in left_behind()
    finally:
        (tmp_path / "away").rename(folder)


def _containers() -> list[str]:
    return engine.find().call("ps", "--all", "--format", "{{.Names}}").split()
