"""What the tests share: one cluster of each backend for the whole session, and a namespace for each test."""

import os
import uuid
from collections.abc import Iterator

import pytest

from podium.cluster import Cluster
from podium.waiting import wait_until

os.environ.setdefault("PODIUM_BACKEND", "embedded")  # whatever engine this machine has: what runs in kind says so


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that uses the cluster runs on the embedded backend; one that is marked ``both`` runs on kind as well."""
    chosen = any("cluster" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "cluster" in metafunc.fixturenames and not chosen:
        both = metafunc.definition.get_closest_marker("both")
        backends = ["embedded", *([pytest.param("kind", marks=pytest.mark.kind)] if both else [])]
        metafunc.parametrize("cluster", backends, indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that uses the cluster needs the bundle."""
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.bundle)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A running cluster with two nodes, gone with the session: one of each backend."""
    with Cluster(f"test-{os.getpid()}-{request.param}", nodes=2, backend=request.param) as running:
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
