"""Traces of real Pods."""

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from podium import Cluster, PodiumError, trace_pod
from podium.errors import UsageError
from podium.trace import Step, Trace

NGINX, BUSYBOX = "podium.test/nginx:1.26", "podium.test/busybox:1.37"


def pod(name: str, namespace: str, image: str = NGINX, **container: Any) -> dict[str, Any]:
    containers = [{"name": "app", "image": image, **container}]
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers}}


def service(cluster: Cluster, name: str, namespace: str) -> None:
    cluster.kubectl("create", "service", "clusterip", name, "--tcp=80", "-n", namespace)


def told(trace: Trace) -> list[tuple[str, str]]:
    """Who did what, without the names of the nodes."""
    return [(step.component.rpartition("/")[2], step.verb) for step in trace]


def step(trace: Trace, component: str, verb: str) -> Step:
    return next(s for s in trace if s.component.endswith(component) and s.verb == verb)


def chain(last: Step | None) -> list[tuple[str, str]]:
    """A step and its causes, back to the first."""
    found = []
    while last:
        found.append((last.component.rpartition("/")[2], last.verb))
        last = last.cause
    return found


@pytest.fixture(scope="module")
def plain(cluster: Cluster) -> tuple[Trace, Trace]:
    """The creation and the deletion of one Pod behind a Service."""
    cluster.kubectl("create", "namespace", "traced")
    try:
        cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", "traced", "--timeout=60s")
        service(cluster, "web", "traced")
        created = trace_pod(pod("web", "traced"), cluster)
        with trace_pod("web", cluster, namespace="traced", until="deleted") as deleted:
            cluster.kubectl("delete", "pod", "web", "-n", "traced", "--wait=false")
    finally:
        cluster.kubectl("delete", "namespace", "traced", "--wait=false")
    return created, deleted


def test_every_component_tells_its_part(plain: tuple[Trace, Trace]) -> None:
    trace, _ = plain
    assert trace.outcome == "It is Ready."
    expected = [
        ("kube-apiserver", "create"),
        ("kube-apiserver", "authorize"),
        ("kube-apiserver", "admit"),
        ("etcd", "write"),
        ("kube-apiserver", "answer"),
        ("kube-scheduler", "see"),
        ("kube-scheduler", "filter"),
        ("kube-scheduler", "score"),
        ("kube-scheduler", "bind"),
        ("kube-apiserver", "bind"),
        ("kubelet", "see"),
        ("kubelet", "admit"),
        ("kubelet", "mount"),
        ("kubelet", "sandbox"),
        ("containerd", "run sandbox"),
        ("kubelet", "address"),
        ("kubelet", "container"),
        ("containerd", "create"),
        ("containerd", "start"),
        ("containerd", "run"),
        ("kubelet", "notice start"),
        ("kube-apiserver", "patch status"),
        ("kube-apiserver", "event"),
        ("kube-apiserver", "update"),
        ("kube-proxy", "rules"),
    ]
    assert not set(expected) - set(told(trace))
    assert not trace.missing
    assert len({s.component for s in trace if s.verb == "rules"}) == 2  # on both nodes


def test_causes_lead_from_ready_back_to_the_request(plain: tuple[Trace, Trace]) -> None:
    trace, _ = plain
    bound = [
        ("kubelet", "see"),
        ("etcd", "write"),
        ("kube-apiserver", "bind"),
        ("kube-scheduler", "bind"),
        ("kube-scheduler", "score"),
        ("kube-scheduler", "filter"),
        ("kube-scheduler", "see"),
        ("etcd", "write"),
        ("kube-apiserver", "admit"),
        ("kube-apiserver", "authorize"),
        ("kube-apiserver", "create"),
    ]
    assert chain(step(trace, "kubelet", "see")) == bound
    ready = next(s for s in trace if "Ready True" in s.facts.get("changes", []))
    assert chain(ready)[:4] == [
        ("kube-apiserver", "patch status"),
        ("kubelet", "notice start"),
        ("containerd", "start"),
        ("containerd", "create"),
    ]
    assert chain(ready)[-len(bound) :] == bound
    assert chain(step(trace, "kube-proxy", "rules"))[1:3] == [("etcd", "write"), ("kube-apiserver", "update")]
    place = {each: index for index, each in enumerate(trace)}
    assert all(place[s.cause] < place[s] for s in trace if s.cause)


def test_steps_say_what_the_records_say(plain: tuple[Trace, Trace], cluster: Cluster) -> None:
    trace, _ = plain
    records = list(cluster.audit_log())
    assert all(s.record in records for s in trace if s.source == "audit log")
    answer = step(trace, "kube-apiserver", "answer")
    assert answer.detail == "201"
    stored = step(trace, "etcd", "write")
    assert stored.facts["revision"] == int(answer.record["responseObject"]["metadata"]["resourceVersion"])
    assert stored.facts["version"] == 1
    assert stored.facts["size"] > 500
    revisions = [s.facts["revision"] for s in trace if s.component == "etcd"]
    assert revisions == sorted(set(revisions))
    scores = step(trace, "kube-scheduler", "score").facts["scores"]
    assert set(scores) == set(cluster.nodes())
    assert step(trace, "kube-scheduler", "bind").facts["node"] == max(scores, key=lambda n: sum(scores[n].values()))
    assert "spec.volumes" in step(trace, "kube-apiserver", "admit").detail
    started = step(trace, "containerd", "run")
    assert started.facts["pid"] == started.record["info"]["pid"] > 0
    address = step(trace, "kubelet", "address").detail.split()[-1]
    assert address in step(trace, "kube-proxy", "rules").text or any(
        address in s.text for s in trace if s.verb == "rules"
    )


def test_text_table_and_pictures_say_the_same(plain: tuple[Trace, Trace]) -> None:
    trace, _ = plain
    text, table = str(trace), trace.table
    assert text.count("\n") == len(trace) + len(trace.missing)
    assert list(table["verb"]) == [s.verb for s in trace]
    assert table["after"].iloc[0] == 0
    assert table["cause"].dropna().lt(table.index[table["cause"].notna()].to_numpy()).all()
    picture = ET.fromstring(trace.svg)
    titles = [title.text or "" for title in picture.iter("{http://www.w3.org/2000/svg}title")]
    assert [title.split(": ")[0] for title in titles] == [s.component for s in trace]
    assert picture.get("aria-label", "").startswith("The trace of Pod web")
    bundle = trace._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", "image/svg+xml"}
    assert "<script" not in bundle["text/html"]


def test_a_deletion_is_followed_to_its_end(plain: tuple[Trace, Trace]) -> None:
    _, trace = plain
    assert trace.outcome == "It is deleted."
    done = [each for each in told(trace) if each != ("kubelet", "mount")]  # it mounts volumes anew now and then
    assert done[0] == ("kube-apiserver", "delete")
    for part in (("kubelet", "see deletion"), ("kubelet", "stop"), ("containerd", "stop"), ("containerd", "exit")):
        assert part in done
    gone = step(trace, "etcd", "delete")
    assert gone.object == "/registry/pods/traced/web"
    assert chain(gone)[1] == ("kube-apiserver", "delete")
    assert "kube-scheduler's log" in trace.missing  # it had no part in it


def test_logs_are_as_quiet_afterwards_as_before(plain: tuple[Trace, Trace], cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("run", "quiet", f"--image={NGINX}", "-n", namespace)
    cluster.kubectl("wait", "--for=condition=Ready", "pod/quiet", "-n", namespace, "--timeout=60s")
    log = cluster.components["kube-scheduler"].log(1000)
    assert f'"Successfully bound pod to node" pod="{namespace}/quiet"' in log
    assert f'"Plugin scored node for pod" pod="{namespace}/quiet"' not in log


def test_a_pod_that_no_node_takes_stops_at_the_scheduler(cluster: Cluster, namespace: str) -> None:
    big = pod("big", namespace, resources={"requests": {"memory": "64Gi"}})
    trace = trace_pod(big, cluster)
    assert "2 Insufficient memory" in trace.outcome
    refused = step(trace, "kube-scheduler", "filter")
    assert refused.facts["refused"]
    assert ("kube-scheduler", "bind") not in told(trace)
    assert {"kubelet's log", "containerd's log"} <= set(trace.missing)
    status = step(trace, "kube-apiserver", "patch status")
    assert status.cause is refused


def test_a_pod_that_is_refused_stops_at_the_api_server(cluster: Cluster, namespace: str) -> None:
    trace = trace_pod(pod("Bad_Name", namespace), cluster)
    assert trace.outcome.startswith("It was refused")
    assert told(trace) == [("kube-apiserver", "create"), ("kube-apiserver", "authorize"), ("kube-apiserver", "answer")]
    assert trace[-1].detail.startswith("422")


def test_an_image_that_does_not_exist_stops_at_the_runtime(cluster: Cluster, namespace: str) -> None:
    trace = trace_pod(pod("none", namespace, "podium.test/none:1"), cluster)
    assert "ErrImagePull" in trace.outcome or "ImagePullBackOff" in trace.outcome
    failed = step(trace, "containerd", "pull image")
    assert failed.facts["failed"]
    assert failed.object == "image podium.test/none:1"
    assert ("containerd", "create") not in told(trace)


def test_what_can_not_be_followed_is_said(cluster: Cluster) -> None:
    with pytest.raises(UsageError, match="not a job"):
        trace_pod({"kind": "Job", "metadata": {"name": "x"}}, cluster)
    with pytest.raises(UsageError, match="until"):
        trace_pod("web", cluster, until="tomorrow")


def test_verbosity_of_what_has_none(cluster: Cluster) -> None:
    with pytest.raises(PodiumError, match="verbosity"):
        cluster.components["etcd"].set_verbosity(1)


@pytest.mark.all
def test_a_deployment_is_followed_through_its_replica_set(cluster: Cluster, namespace: str) -> None:
    template = {"metadata": {"labels": {"app": "shop"}}, "spec": pod("x", namespace)["spec"]}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "shop"}}, "template": template}
    metadata = {"name": "shop", "namespace": namespace}
    trace = trace_pod({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}, cluster)
    assert trace.outcome == "It is Ready."
    created = [s for s in trace if s.verb == "create" and s.component == "kube-apiserver"]
    assert [s.object.split(" ")[0] for s in created] == ["Deployment", "ReplicaSet", "Pod", "Pod"]
    assert [s.by for s in created[1:]] == ["deployment-controller", "replicaset-controller", "replicaset-controller"]
    assert chain(created[-1]) == [
        *[("kube-apiserver", "create"), ("etcd", "write"), ("kube-apiserver", "admit"), ("kube-apiserver", "authorize")]
        * 2,
        ("kube-apiserver", "create"),
    ]
    assert len([s for s in trace if s.verb == "run"]) == 2


@pytest.mark.all
def test_a_crash_and_a_lack_of_memory(cluster: Cluster, namespace: str) -> None:
    crash = trace_pod(pod("crash", namespace, BUSYBOX, command=["sh", "-c", "exit 3"]), cluster, until="failed")
    assert "CrashLoopBackOff" in crash.outcome
    assert "ended with 3" in crash.outcome
    assert step(crash, "containerd", "exit").detail == "exit status 3"
    limits = {"limits": {"memory": "16Mi"}}
    oom = trace_pod(
        pod("oom", namespace, BUSYBOX, command=["tail", "/dev/zero"], resources=limits),
        cluster,
        until="failed",
        limit=120,
    )
    assert "OOMKilled" in oom.outcome
    assert ("containerd", "out of memory") in told(oom)
    assert step(oom, "containerd", "exit").detail == "exit status 137"


@pytest.mark.all
def test_a_probe_that_fails(cluster: Cluster, namespace: str) -> None:
    probe = {"httpGet": {"path": "/nope", "port": 80}, "periodSeconds": 1}
    trace = trace_pod(pod("unready", namespace, readinessProbe=probe), cluster, limit=15)
    assert "Readiness probe failed" in trace.outcome
    assert any(s.verb == "probe" and s.facts.get("failed") for s in trace)


@pytest.mark.all
def test_a_scheduler_that_is_stopped_is_missed(cluster: Cluster, namespace: str) -> None:
    scheduler = cluster.components["kube-scheduler"]
    scheduler.stop()
    try:
        trace = trace_pod(pod("held", namespace), cluster, limit=3)
    finally:
        scheduler.start()
    assert "in vain" in trace.outcome
    assert "does not answer" in trace.missing["kube-scheduler's log at verbosity 10"]
    assert {s.component for s in trace} == {"kube-apiserver", "etcd"}
