"""Swim lanes while a real Pod comes to be, and two traces compared."""

import threading

import pytest

from podium import Cluster
from podium.errors import UsageError
from podium.trace import Step
from podium.trace import Trace as Steps
from podium.waiting import wait_until
from podium.widgets import Trace

IMAGE = "podium.test/nginx:1.26"


def steps(subject: str, late: float) -> Steps:
    trace = Steps(subject)
    asked = Step("kube-apiserver", "create", subject, 100, 100.2, "asked", "audit log", {"kind": "<Event>"})
    stored = Step("etcd", "write", "/registry/pods/default/web", 100.1, None, "revision 7", "etcd watch", "{}")
    stored.cause = asked
    pulled = Step("node-1/containerd", "pull image", "image x", 100.3, 100.3 + late, "", "containerd's log", "text")
    begun = Step("node-1/containerd", "start", "container x", 100.3 + late, None, "", "containerd's log", "text")
    trace.fill([asked, stored, pulled, begun])
    return trace


def test_a_chosen_step_shows_its_record_and_its_cause() -> None:
    picture = Trace(steps("Pod web", 1))
    picture.do_choose("0/1")
    html = picture.draw()
    assert "Read from the etcd watch" in html
    assert "kube-apiserver: create Pod web" in html
    assert html.count("data-lit") == 5  # two steps, each in its lane and in the list, and the arrow between them
    picture.do_choose("0/99")  # drawn before the trace was read again
    picture.do_choose("0/0")
    assert "&lt;Event&gt;" in picture.draw()
    picture.close()


def test_two_traces_are_compared_by_what_both_have() -> None:
    picture = Trace(steps("Pod web", 1), steps("Pod slow", 3))
    html = picture.draw()
    assert "most right before node-1/containerd: start container x (+2000 ms)" in html
    assert "<td>1300</td><td>3300</td><td>+2000</td>" in html
    assert picture.still.count("<svg xmlns") == 2
    assert "Compared" in picture.still
    picture.close()
    with pytest.raises(UsageError, match="not 3"):
        Trace(*[steps("Pod web", 1)] * 3)


@pytest.mark.bundle
def test_it_grows_while_the_pod_comes_to_be(cluster: Cluster, namespace: str) -> None:
    picture = Trace("web", cluster=cluster, namespace=namespace)
    try:
        assert "Nothing has happened yet" in picture.html
        cluster.kubectl("run", "web", f"--image={IMAGE}", "-n", namespace)
        wait_until(lambda: "● live" in picture.html and "podium-step" in picture.html, "the first steps", limit=60)
        early = picture.html.count("podium-step")
        wait_until(lambda: "It is Ready." in picture.html and "● live" not in picture.html, "Ready", limit=120)
        assert picture.html.count("podium-step") > early
        assert len(picture.traces[0]) >= 15
    finally:
        picture.close()


@pytest.mark.bundle
def test_a_trace_that_is_closed_ends_its_watch(cluster: Cluster, namespace: str) -> None:
    picture = Trace("never", cluster=cluster, namespace=namespace)
    picture.close()
    assert picture.traces[0].outcome == "It is no longer followed."
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("podium-")]
