"""The components: stopped on purpose they stay down, killed they come back, and no Pod is lost."""

import os
import signal

import pytest

from podium.cluster import Cluster
from podium.waiting import wait_until

HOST = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")


def test_every_component_is_there_and_healthy(cluster: Cluster) -> None:
    nodes = [f"{node}/{name}" for node in cluster.nodes() for name in ("containerd", "kubelet", "kube-proxy")]
    components = cluster.components
    assert sorted(components) == sorted([*HOST, *nodes, "coredns"])
    for component in components.values():
        wait_until(component.health, f"{component.name} to be healthy", limit=60)
        assert component.state == "running"
        assert component.version
        assert component.flags or component.name.endswith("containerd")


@pytest.mark.parametrize("name", ["kube-scheduler", "etcd", "node-1/kubelet", "node-1/kube-proxy", "coredns"])
def test_metrics_and_logs_can_be_read(cluster: Cluster, name: str) -> None:
    component = cluster.components[name]
    assert "# TYPE" in component.metrics()
    assert component.log(5).strip()


@pytest.mark.parametrize("name", ["kube-scheduler", "node-2/kubelet"])
def test_one_that_was_stopped_stays_down_until_it_is_started(cluster: Cluster, name: str) -> None:
    component = cluster.components[name]
    component.stop()
    try:
        assert component.state == "stopped"
        assert not component.health()
    finally:
        component.start()
    assert component.state == "running"


@pytest.mark.parametrize("name", HOST)
def test_one_that_is_killed_comes_back_and_no_pod_is_lost(cluster: Cluster, namespace: str, name: str) -> None:
    cluster.kubectl("run", "-n", namespace, "kept", "--image=podium.test/busybox:1.37", "--", "sleep", "infinity")
    cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/kept", "--timeout=90s")
    component = cluster.components[name]
    before = component.pid
    if cluster.backend == "kind":
        cluster.node_exec("node-1", ["kill", "-KILL", str(before)])
    else:
        os.kill(before, signal.SIGKILL)
    wait_until(lambda: component.pid not in (0, before), f"{name} to be started again", limit=30)
    wait_until(component.health, f"{name} to be healthy", limit=60)
    wait_until(cluster.components["kube-apiserver"].health, "the API server to be healthy", limit=60)
    phase = ["-o", "jsonpath={.status.phase} {.status.containerStatuses[0].restartCount}"]
    assert cluster.kubectl("get", "pod", "-n", namespace, "kept", *phase) == "Running 0"
