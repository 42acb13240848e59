"""What the tests share: one cluster for the whole session, and a namespace for each test."""

import os
import uuid
from collections.abc import Iterator

import pytest

from podium.cluster import Cluster
from podium.waiting import wait_until


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that uses the cluster needs the bundle."""
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.bundle)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster with two nodes, gone with the session."""
    with Cluster(f"test-{os.getpid()}", nodes=2) as running:
        yield running


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A new namespace, with the service account that Pods need: the controller manager makes it a moment later."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    accounts = ["get", "serviceaccounts", "-n", name, "-o", "name"]
    wait_until(lambda: "serviceaccount/default" in cluster.kubectl(*accounts), f"{name}'s service account", limit=60)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
