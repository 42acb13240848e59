"""Components are broken on purpose and mended again; objects get a fault that a seed draws."""

import json

import pytest

from autograder.cluster import start_of
from autograder.faults import draw, inject, lost, mend, merge
from autograder.manifest import find_lab
from podium import Cluster


def test_a_component_is_stopped_and_mended(cluster: Cluster) -> None:
    last = f"{max(cluster.nodes())}/kube-proxy"
    inject(cluster, {"metadata": {"name": "kube-scheduler"}})
    inject(cluster, {"metadata": {"name": "kube-proxy"}})
    assert [cluster.components[name].state for name in ("kube-scheduler", last)] == ["stopped", "stopped"]
    mend(cluster)
    assert [cluster.components[name].state for name in ("kube-scheduler", last)] == ["running", "running"]


def test_a_flag_is_set_wrong_and_right_again(cluster: Cluster) -> None:
    before = cluster.components["coredns"].flags
    inject(cluster, {"metadata": {"name": "coredns"}, "flags": {"-conf": "/etc/coredns/Korefile"}})
    assert cluster.components["coredns"].flags == before | {"-conf": "/etc/coredns/Korefile"}
    mend(cluster)
    assert cluster.components["coredns"].flags == before
    assert cluster.components["coredns"].health()
    deployment = json.loads(cluster.kubectl("get", "deployment", "coredns", "-n", "kube-system", "-o", "json"))
    assert "podium.test/args" not in deployment["metadata"]["annotations"]


FAULTY = [(task.id, name) for task in find_lab("08").checked for name in start_of(task.id) if name.startswith("fault/")]


@pytest.mark.parametrize(("task", "fault"), FAULTY)
def test_some_seed_draws_each_fault_and_it_changes_something_that_is_there(task: str, fault: str) -> None:
    start = start_of(task)
    assert fault in {draw(start, str(seed)) for seed in range(50)}
    for name, changes in start[fault]["changes"].items():
        broken = merge(start[name], changes)
        assert broken != start[name]
        assert merge(broken, changes) == broken
        assert list(lost(start[name]["spec"], broken["spec"], changes["spec"])) == []


def test_the_same_seed_draws_the_same() -> None:
    assert len({draw(start_of("08.2"), "Ada") for _ in range(5)}) == 1
    assert draw(start_of("05.1"), "Ada") == ""


def test_what_is_lost_is_told_by_its_path() -> None:
    manifest = {"a": {"b": 1}, "list": [{"name": "x", "probe": {"port": 80}}, {"name": "y"}], "ports": [{"port": 1}]}
    found = {"a": {"b": 1, "more": 2}, "list": [{"name": "x"}], "ports": [{"port": 2, "protocol": "TCP"}]}
    assert list(lost(manifest, found)) == [".list[x].probe", ".list[y]", ".ports[0].port"]
    assert list(lost(manifest, found, {"list": [{"name": "x", "probe": {"port": 8080}}]})) == [
        ".list[y]",
        ".ports[0].port",
    ]
