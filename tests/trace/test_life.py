"""The life of a Pod, from versions of it as an API server sends them and lines as a kubelet writes them."""

import copy
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from typing import Any

import pytest

from podium.trace import klog, life_picture
from podium.trace.life import Life

BEGAN = datetime(2026, 11, 24, 12, 47, 49, tzinfo=UTC).timestamp()
PENDING: dict[str, Any] = {
    "metadata": {"name": "web", "uid": "1", "creationTimestamp": "2026-11-24T12:47:49Z"},
    "spec": {
        "nodeName": "node-1",
        "initContainers": [{"name": "prepare"}, {"name": "proxy", "restartPolicy": "Always"}],
        "containers": [
            {
                "name": "app",
                "livenessProbe": {"periodSeconds": 2},
                "lifecycle": {"preStop": {}, "postStart": {"exec": {}}},
            }
        ],
    },
    "status": {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]},
}
LOG = """\
I1124 12:47:52.000000      69 prober.go:123] "Probe failed" probeType="Liveness" pod="default/web" podUID="1" containerName="app" probeResult="failure" output="HTTP probe failed with statuscode: 500"
I1124 12:47:53.000000      69 prober.go:114] "Probe succeeded" probeType="Liveness" pod="default/web" podUID="1" containerName="app"
I1124 12:47:53.500000      69 prober.go:114] "Probe succeeded" probeType="Liveness" pod="default/other" podUID="2" containerName="app"
I1124 12:47:55.000000      69 kuberuntime_container.go:786] "Running preStop hook" pod="default/web" podUID="1" containerName="app" containerID="containerd://d3"
I1124 12:47:57.000000      69 kuberuntime_container.go:806] "PreStop hook completed" pod="default/web" podUID="1" containerName="app" containerID="containerd://d3"
"""  # noqa: E501


def version(phase: str, ready: bool, **app: Any) -> dict[str, Any]:
    pod = copy.deepcopy(PENDING)
    done = {"name": "prepare", "restartCount": 0, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
    proxy = {"name": "proxy", "restartCount": 0, "ready": True, "state": {"running": {}}}
    pod["status"] = {
        "phase": phase,
        "conditions": [{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": str(ready)}],
        "initContainerStatuses": [done, proxy],
        "containerStatuses": [{"name": "app", "restartCount": 0, "ready": ready, "state": {"running": {}}} | app],
    }
    return pod


@pytest.fixture
def life() -> Life:
    life = Life("web")
    life.see(PENDING, BEGAN + 0.5)
    life.see(version("Running", False), BEGAN + 2)
    life.see(version("Running", True), BEGAN + 3)
    return life


def spans(life: Life, group: str, name: str) -> list[tuple[str, float, float | None]]:
    track = life.track(group, name)
    return [(s.value, s.start - BEGAN, s.end and s.end - BEGAN) for s in track.spans]


def test_what_held_and_for_how_long(life: Life) -> None:
    assert spans(life, "Pod", "phase") == [("Pending", 0.5, 2), ("Running", 2, None)]
    assert spans(life, "Conditions", "Ready") == [("False", 2, 3), ("True", 3, None)]
    assert spans(life, "Conditions", "PodScheduled") == [("True", 0.5, None)]
    assert spans(life, "Containers", "app") == [
        ("waiting", 0.5, 2), ("running, not ready", 2, 3), ("running, ready", 3, None),
    ]  # fmt: skip
    assert [track.note for track in life.tracks if track.group == "Containers"] == ["init", "sidecar", ""]
    assert life.phase == "Running"


def test_a_crash_between_two_versions_is_told(life: Life) -> None:
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-11-24T12:47:54Z"}}
    waits = {"waiting": {"reason": "CrashLoopBackOff"}}
    life.see(version("Running", False, restartCount=1, lastState=ended, state=waits), BEGAN + 6)
    app = life.track("Containers", "app")
    assert app.now == "waiting"
    assert "CrashLoopBackOff" in app.spans[-1].detail
    (mark,) = app.marks
    assert (mark.time - BEGAN, mark.ok) == (5, False)
    assert "OOMKilled, exit status 137" in mark.detail


def test_probes_and_hooks_come_from_the_kubelets_log_once(life: Life) -> None:
    assert life.listens == "node-1"
    lines = klog.parse(LOG.replace("1124", datetime.now(UTC).strftime("%m%d")))
    shift = lines[0].time - (BEGAN + 3)
    lines = klog.shifted(lines, -shift, 0)
    assert life.read(lines, "default")
    assert not life.read(lines, "default")
    failed, succeeded = life.track("Probes", "app: liveness").marks
    assert not failed.ok
    assert "statuscode: 500" in failed.detail
    assert succeeded.ok
    assert [(value, end - start) for value, start, end in spans(life, "Hooks", "app: preStop") if end] == [
        ("running", 2)
    ]
    assert "no record" in life.track("Hooks", "app: postStart").note


def test_the_end_and_a_new_beginning(life: Life) -> None:
    deleted = version("Running", True)
    deleted["metadata"] |= {"deletionTimestamp": "2026-11-24T12:48:20Z", "deletionGracePeriodSeconds": 30}
    life.see(deleted, BEGAN + 4)
    assert "being deleted" in str(life)
    life.go(BEGAN + 6)
    assert life.phase == "gone"
    assert spans(life, "Pod", "deletion") == [("terminating", 4, 6)]
    assert not life.listens
    again = copy.deepcopy(PENDING)
    again["metadata"] |= {"uid": "2", "creationTimestamp": "2026-11-24T12:48:00Z"}
    life.see(again, BEGAN + 11)
    assert spans(life, "Pod", "phase") == [("Pending", 11, None)]
    assert life.gone is None


def test_an_older_pod_says_since_when_it_is_so() -> None:
    pod = version("Running", True)
    pod["status"]["conditions"][1]["lastTransitionTime"] = "2026-11-24T12:48:49Z"
    life = Life("web")
    life.see(pod, BEGAN + 100)
    assert life.began == BEGAN
    assert spans(life, "Conditions", "Ready") == [("True", 60, None)]
    assert spans(life, "Pod", "phase") == [("Running", 100, None)]  # since when is not told by the object


def test_the_picture_lights_the_present_states(life: Life) -> None:
    picture = ET.fromstring(life_picture.svg(life, BEGAN + 10))
    lit = [g.get("data-name") for g in picture.iter("{http://www.w3.org/2000/svg}g") if g.get("data-state") == "now"]
    assert lit == ["Running", "PodScheduled", "Ready", "terminated", "running", "running"]
    told = [g.get("aria-label") for g in picture.iter("{http://www.w3.org/2000/svg}g") if g.get("role") == "button"]
    assert "phase: Pending, from 0.00 s, for 1.5 s" in told
    assert "There is no Pod" in life_picture.svg(Life("none"), BEGAN)
