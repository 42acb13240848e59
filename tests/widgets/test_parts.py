"""What the pictures read from: Pods' status, metrics, stored values, what a node's kernel told."""

from typing import Any

import pytest

from podium.widgets.map import telling
from podium.widgets.pods import status
from podium.widgets.store import dump, type_meta
from podium.widgets.xray import read


def pod(phase: str, *states: dict[str, Any], ready: bool = False, **meta: str) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": str(ready)}]
    containers = [{"name": "web", "state": state, "restartCount": 0} for state in states]
    return {"metadata": meta, "status": {"phase": phase, "conditions": conditions, "containerStatuses": containers}}


@pytest.mark.parametrize(
    ("told", "word", "sign"),
    [
        (pod("Running", {"running": {}}, ready=True), "Running", "✓"),
        (pod("Running", {"running": {}}), "Running, not Ready", "◐"),
        (pod("Pending"), "Pending", "○"),
        (pod("Pending", {"waiting": {"reason": "ContainerCreating"}}), "ContainerCreating", "○"),
        (pod("Pending", {"waiting": {"reason": "ErrImagePull"}}), "ErrImagePull", "✗"),
        (pod("Pending", {"waiting": {"reason": "ImagePullBackOff"}}), "ImagePullBackOff", "✗"),
        (pod("Running", {"waiting": {"reason": "CrashLoopBackOff"}}), "CrashLoopBackOff", "✗"),
        (pod("Running", {"running": {}}, ready=True, deletionTimestamp="2026-01-01T00:00:00Z"), "Terminating", "◌"),
        (pod("Succeeded", {"terminated": {"reason": "Completed"}}), "Completed", "■"),
        (pod("Failed", {"terminated": {"reason": "OOMKilled"}}), "OOMKilled", "✗"),
        (pod("Failed"), "Failed", "✗"),
    ],
)
def test_a_pod_is_told_in_a_word_and_a_sign(told: dict[str, Any], word: str, sign: str) -> None:
    assert status(told)[:2] == (word, sign)


def test_metrics_are_summed_over_their_series_and_keep_their_meaning() -> None:
    text = """# HELP apiserver_request_total [STABLE] Counter of requests.
apiserver_request_total{code="200",verb="GET path{x} "} 40
apiserver_request_total{code="201"} 2
# HELP process_resident_memory_bytes Resident memory.
process_resident_memory_bytes 1.048576e+06
unknown_total 7
"""
    assert telling(text) == [
        ("apiserver_request_total", "42", "Counter of requests."),
        ("process_resident_memory_bytes", "1.0 MiB", "Resident memory."),
    ]


def test_a_stored_object_names_its_kind_first() -> None:
    stored = b'k8s\0\n\x15\n\x07apps/v1\x12\nDeployment\x12\x03abc\x1a\0"\0'
    assert type_meta(stored) == ("apps/v1", "Deployment")
    assert dump(b"k8s\0\n\x02hi!") == "0000  6b 38 73 00 0a 02 68 69  k8s...hi\n0008  21                       !"


def test_what_the_kernel_told_is_read() -> None:
    folder = "/sys/fs/cgroup/kubepods/pod1/abc"
    files = {
        f"{folder}/cgroup.procs": "435\n436",  # the second one has ended in the meantime
        f"{folder}/memory.max": "67108864",
        f"{folder}/cpu.stat": "usage_usec 550000\nuser_usec 500000",
        "/proc/435/status": "Name:\tnginx\nPPid:\t237\nUid:\t33\t33\t33\t33\nVmRSS:\t   14756 kB\nNSpid:\t435\t1",
        "/proc/435/mountinfo": "209 201 98:0 /var/lib/x /etc/config ro,relatime - ext4 /dev/root rw",
    }
    words = ["nginx", "-g", "daemon off;\n/proc/1/ns/net:1\x85"]  # whose second line is but a part of it
    text = "".join(f"{path}:{content}\n\0" for path, content in files.items())
    text += "".join(f"/proc/435/cmdline:{word}\0" for word in words)
    inside = read(text + "/proc/1/ns/net:4026531840\n/proc/435/ns/net:4026532094\n")
    group = inside.of("abc")
    assert group
    assert inside.node == {"net": 4026531840}
    assert group.namespaces == {"net": 4026532094}
    assert group.values == {"memory.max": "67108864", "cpu.usage_usec": "550000", "cpu.user_usec": "500000"}
    [process] = group.processes.values()
    assert (process.pid, process.inside, process.parent, process.memory, process.user) == (435, 1, 237, 14756, 33)
    assert process.command == "nginx -g daemon off; /proc/1/ns/net:1"
    assert (group.mounts["/etc/config"].source, group.mounts["/etc/config"].type) == ("/var/lib/x", "ext4")
    assert group.mounts["/etc/config"].options == "ro,relatime"
