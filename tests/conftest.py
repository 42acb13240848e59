"""What the tests share: one cluster of each backend for the whole session, and a namespace for each test."""

import os
import uuid
from collections.abc import Generator, Iterator

import pytest

from podium.cluster import Cluster
from podium.waiting import wait_until
from tests.turns import CGROUP2

os.environ.setdefault("PODIUM_BACKEND", "embedded")  # whatever engine this machine has: what runs in kind says so


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Let a test that uses the cluster run on both backends, but for those in a backend's own folder.

    In kind it is a long one, unless it is marked ``both``; what is marked ``cgroup2`` needs a machine that has them.
    """
    chosen = any("cluster" in mark.args[0] for mark in metafunc.definition.iter_markers("parametrize"))
    if "cluster" not in metafunc.fixturenames or chosen:
        return
    long = [] if metafunc.definition.get_closest_marker("both") else [pytest.mark.all]
    backends = {"embedded": "embedded", "kind": pytest.param("kind", marks=[pytest.mark.kind, *long])}
    if metafunc.definition.get_closest_marker("cgroup2") and not CGROUP2:
        del backends["kind"]
    own = metafunc.definition.path.parent.name
    metafunc.parametrize(
        "cluster", [backends[own]] if own in backends else list(backends.values()), indirect=True, scope="session"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that uses the cluster needs the bundle."""
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.bundle)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Who asks for the tests of kind gets them: one that is skipped has failed."""
    report = yield
    if report.skipped and item.get_closest_marker("kind"):
        report.outcome = "failed"
    return report


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
