"""OpenTelemetry's spans: what a cluster with tracing tells, to whom, and to which steps of a trace it belongs."""

import contextlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from podium import Cluster, paths, trace_pod
from podium.embedded import network, spans
from podium.trace.spans import complete
from podium.waiting import wait_until


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Path]:
    """The folder in which a collector runs."""
    with subprocess.Popen([sys.executable, "-m", spans.__name__, "."], cwd=tmp_path) as process:
        wait_until((tmp_path / spans.SOCKET).exists, "the collector to listen", limit=60)
        yield tmp_path
        process.kill()


def test_the_collector_writes_what_it_is_told(collector: Path) -> None:
    request = trace_service_pb2.ExportTraceServiceRequest()
    told = request.resource_spans.add()
    told.resource.attributes.add(key="service.name").value.string_value = "kubelet"
    span = told.scope_spans.add().spans.add(
        name="syncPod",
        trace_id=b"\x01" * 16,
        span_id=b"\x02" * 8,
        start_time_unix_nano=10**18,
        end_time_unix_nano=10**18,
    )
    span.attributes.add(key="tries").value.int_value = 3
    with grpc.insecure_channel(f"unix:{collector / spans.SOCKET}") as channel:
        trace_service_pb2_grpc.TraceServiceStub(channel).Export(request, timeout=60)
    assert [json.loads(line) for line in spans.lines(collector)] == [
        {
            "service": "kubelet", "host": "", "name": "syncPod", "trace": "01" * 16, "id": "02" * 8, "parent": "",
            "start": 1e9, "end": 1e9, "attributes": {"tries": 3}, "events": [],
        }
    ]  # fmt: skip
    assert {stat.S_IMODE((collector / name).stat().st_mode) for name in (spans.SOCKET, spans.LOG)} == {0o600}


def test_spans_are_complete_when_each_component_has_told_a_later_one() -> None:
    def span(service: str, host: str, end: float, **attributes: str) -> dict[str, Any]:
        return {"service": service, "host": host, "end": end, "attributes": attributes}

    told = [
        span("apiserver", "", 1, **{"audit-id": "a"}),
        span("containerd", "node-1", 6),
        span("kubelet", "node-1", 4),
    ]
    assert not complete(told, {"a"}, {"node-1"}, until=5)  # the kubelet's have not come
    told.append(span("kubelet", "node-1", 6))
    assert complete(told, {"a"}, {"node-1"}, until=5)
    assert not complete(told, {"a", "b"}, {"node-1"}, until=5)
    assert not complete(told, {"a"}, {"node-1", "node-2"}, until=5)


def traced_steps(cluster: Cluster) -> None:
    """Trace a Pod called ``web`` and look at the spans of its steps."""
    containers = [{"name": "app", "image": "podium.test/busybox:1.37", "command": ["sleep", "infinity"]}]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": containers}}
    trace = trace_pod(pod, cluster)
    assert trace.outcome == "It is Ready."
    assert not trace.missing
    by_step = {
        (step.component.rpartition("/")[2], step.verb): [f"{span.service} {span.name}" for span in step.spans]
        for step in reversed(trace)
    }
    assert "apiserver Create" in by_step["kube-apiserver", "create"]
    assert "kubelet syncPod" in by_step["kubelet", "sandbox"]
    assert "containerd cri.sandbox.run" in by_step["containerd", "run sandbox"]
    assert any("CreateContainer" in name for name in by_step["containerd", "create"])
    assert any("StartContainer" in name for name in by_step["containerd", "start"])
    for step in trace:
        assert all(span.start <= span.end for span in step.spans)


@pytest.mark.all
@pytest.mark.bundle
def test_steps_have_their_spans_and_pods_can_tell_none() -> None:
    with Cluster(f"spans-{os.getpid()}", nodes=1, tracing=True) as cluster:
        traced_steps(cluster)

        # A collector that learners' Pods could reach would believe whatever they say. It greets whom it hears.
        greeting = f"sleep 2 | busybox nc -w 5 {network.GATEWAY} {network.SPANS_PORT} | wc -c"
        assert int(cluster.node_exec("node-1", ["sh", "-c", greeting])) > 0
        assert int(cluster.exec("web", ["sh", "-c", greeting])) == 0
        assert stat.S_IMODE((paths.state_dir() / cluster.name / spans.SOCKET).stat().st_mode) == 0o600
        cluster.reset()
        assert cluster.tracing
        wait_until(lambda: any(span["host"] for span in cluster.spans()), "a node's first span", limit=60)


@pytest.mark.kind
@pytest.mark.bundle
def test_nodes_in_kind_tell_spans_and_the_collector_ends_with_them() -> None:
    with Cluster(f"spans-{os.getpid()}", nodes=1, backend="kind", tracing=True) as cluster:
        traced_steps(cluster)
        cluster.add_node()
        wait_until(lambda: any(span["host"] == "node-2" for span in cluster.spans()), "node-2's first span", limit=60)
        [collector] = collectors(cluster)
        folder = paths.state_dir() / cluster.name / "spans"
        assert {stat.S_IMODE((folder / name).stat().st_mode) for name in (spans.SOCKET, spans.LOG)} == {0o600}
    wait_until(lambda: not Path(f"/proc/{collector}").exists(), "the collector to end", limit=30)


def collectors(cluster: Cluster) -> list[int]:
    """The processes that collect this cluster's spans."""
    folder = paths.state_dir() / cluster.name / "spans"
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if spans.__name__.encode() in (process / "cmdline").read_bytes() and (process / "cwd").readlink() == folder:
                found.append(int(process.name))
    return found
