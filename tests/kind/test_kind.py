"""What kind does otherwise than the embedded backend: components that are Pods and services, and the guard."""

import os
import subprocess
import sys

import pytest

from podium import paths
from podium.cluster import Cluster
from podium.kind import engine
from podium.waiting import wait_until

pytestmark = [pytest.mark.kind, pytest.mark.bundle]
in_kind = pytest.mark.parametrize("cluster", ["kind"], indirect=True, scope="session")

_OWNER = """
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


def test_a_cluster_is_made_anew_and_ends_with_its_owner_even_if_that_is_killed() -> None:
    name = f"owned-{os.getpid()}"
    folder = paths.state_dir() / name
    with subprocess.Popen(
        [sys.executable, "-c", _OWNER, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout
        assert owner.stdout.readline() == "up\n"
        cluster = Cluster(name)
        try:
            cluster.kubectl("create", "configmap", "old")
            cluster.reset()
            assert "configmap/old" not in cluster.kubectl("get", "configmaps", "--output=name")
            (container,) = (line for line in _containers() if name in line)
            owner.kill()
            wait_until(lambda: container not in _containers(), "the node to end with its owner", limit=60)
            wait_until(lambda: not folder.exists(), "the cluster's folder to be removed", limit=60)
        finally:
            owner.kill()
            cluster.down()


def _containers() -> list[str]:
    return engine.find().call("ps", "--all", "--format", "{{.Names}}").split()
