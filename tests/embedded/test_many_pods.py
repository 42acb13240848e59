"""Many Pods on one node."""

import os

import pytest

from podium.cluster import Cluster

MANY = 50


@pytest.mark.all
@pytest.mark.bundle
def test_fifty_pods_become_ready_on_one_node() -> None:
    with Cluster(f"many-{os.getpid()}", nodes=1) as cluster:
        sleep = ["--image=podium.test/busybox:1.37", f"--replicas={MANY}", "--", "sleep", "infinity"]
        cluster.kubectl("create", "deployment", "many", *sleep)
        ready = f"--for=jsonpath={{.status.readyReplicas}}={MANY}"
        cluster.kubectl("wait", ready, "deployment/many", "--timeout=300s", limit=310)
        assert cluster.kubectl("get", "pods", "-l", "app=many", "-o", "name").count("pod/") == MANY
