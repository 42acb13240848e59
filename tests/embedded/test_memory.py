"""What a node no longer uses, the machine gets back."""

import os
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from podium import paths
from podium.cluster import Cluster
from podium.embedded import supervisor
from podium.waiting import wait_until

pytestmark = pytest.mark.bundle

HOG_MB = 200
HOG = f"import time; some = bytearray(b'x' * ({HOG_MB} << 20)); print('full', flush=True); time.sleep(1e6)"


@pytest.fixture
def fresh() -> Iterator[Cluster]:
    """A cluster of one node whose memory nothing has filled yet, and whose add-ons have all that they want of it."""
    with Cluster(f"memory-{os.getpid()}", nodes=1) as running:
        for namespace, name in ("kube-system", "metrics-server"), ("local-path-storage", "local-path-provisioner"):
            there = partial(running.kubectl, "get", "deployments", "-n", namespace, "-o", "name")
            wait_until(lambda name=name, there=there: name in there(), f"{name} to be made", limit=60)
            running.kubectl("rollout", "status", "-n", namespace, f"deployment/{name}", "--timeout=120s", limit=130)
        yield running


def _memory_mb(cluster: Cluster) -> int:
    """What the machine gives to the node, in MiB."""
    reports = supervisor.ask(paths.state_dir() / cluster.name, do="status")
    pid = next(report["pid"] for report in reports if report["name"] == "node-1")
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())[1]) >> 10


def test_the_memory_of_a_pod_comes_back_when_it_ends(fresh: Cluster) -> None:
    fresh.kubectl("run", "hog", "--image=podium.test/python:3.13", "--command", "--", "python3", "-c", HOG)
    fresh.kubectl("wait", "--for=condition=Ready", "pod/hog", "--timeout=120s")
    wait_until(lambda: "full" in fresh.logs("hog"), "the Pod to have filled its memory", limit=120)
    full = _memory_mb(fresh)
    fresh.kubectl("delete", "pod", "hog", "--now")
    most = full - HOG_MB * 3 // 4
    wait_until(lambda: _memory_mb(fresh) < most, f"the node to have less than {most} MiB", limit=60)
