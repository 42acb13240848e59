"""A lab's namespace on a real cluster: begun, begun afresh, prepared and ended."""

import json

import pytest
from kubernetes.client import CoreV1Api

from autograder import begin, end, prepare
from autograder.cluster import View, connect, restore
from podium import Cluster
from podium.cli import main
from podium.waiting import wait_until


@pytest.fixture
def core(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> CoreV1Api:
    monkeypatch.setenv("PODIUM_CLUSTER", cluster.name)
    return CoreV1Api(cluster.api)


def note(core: CoreV1Api, namespace: str) -> None:
    """Leave something in the namespace."""
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "note"}})


def test_a_lab_is_begun_once_and_afresh_when_asked(core: CoreV1Api) -> None:
    namespace = begin("02", fresh=True)
    note(core, namespace)
    assert begin("02") == namespace
    assert core.read_namespaced_config_map("note", namespace)
    begin("02", fresh=True)
    note(core, namespace)
    end("02")
    assert namespace not in [found.metadata.name for found in core.list_namespace().items]


def test_prepared_pods_have_settled_and_are_made_anew(cluster: Cluster, namespace: str) -> None:
    view = View(cluster.api, namespace)
    prepare("02.6", cluster, namespace)
    first = view.pods()
    prepare("02.6", cluster, namespace)
    pods = view.pods()
    assert not {pod.metadata.uid for pod in first.values()} & {pod.metadata.uid for pod in pods.values()}
    assert pods["catalogue"].status.container_statuses[0].state.waiting.reason in ("ErrImagePull", "ImagePullBackOff")
    assert pods["greeter"].status.container_statuses[0].last_state.terminated.exit_code == 3


def test_any_cluster_can_be_graded(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PODIUM_CLUSTER", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig_path))
    assert connect().configuration.host == cluster.api.configuration.host


@pytest.mark.usefixtures("core")
def test_check_in_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "02.1", "--hints", "2"]) == 1
    text = capsys.readouterr().out
    assert "02.1 A Pod from a manifest: 0 of 4 points" in text
    assert "Hint 2 of 3" in text
    assert main(["check", "02", "--json"]) == 1
    reports = json.loads(capsys.readouterr().out)
    assert [report["task"] for report in reports] == ["02.1", "02.2", "02.4", "02.5", "02.6"]
    assert "No other Pod has that label." not in str(reports)
    assert main(["check", "99"]) == 2


def test_what_labs_do_outside_of_their_namespaces_is_undone(cluster: Cluster) -> None:
    node = cluster.nodes()[0]

    def state() -> str:
        return cluster.kubectl("get", "node", node, "-o", "jsonpath={.metadata.labels} {.spec}")

    before = state()
    cluster.kubectl("label", "node", node, "podium.test/for=batch")
    cluster.kubectl("taint", "node", node, "podium.test/for=batch:NoSchedule")
    cluster.kubectl("cordon", node)
    cluster.kubectl("create", "priorityclass", "lab-05-urgent", "--value=1000")
    restore(cluster.api)
    wait_until(lambda: state() == before, "the node to be as before: a controller takes its own taint away", limit=30)
    classes = cluster.kubectl("get", "priorityclasses", "-o", "name").split()
    assert sorted(name.partition("/")[2] for name in classes) == ["system-cluster-critical", "system-node-critical"]
