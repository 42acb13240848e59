"""Components are broken on purpose and mended again."""

import json

from autograder.faults import inject, mend
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
