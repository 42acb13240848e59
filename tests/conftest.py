"""What the tests share: one cluster for the whole session, and a namespace for each test."""

import os
import uuid
from collections.abc import Iterator

import pytest

from podium.cluster import Cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster with two nodes, gone with the session."""
    with Cluster(f"test-{os.getpid()}", nodes=2) as running:
        yield running


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """A new namespace."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    cluster.kubectl("create", "namespace", name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
