"""Reading the records, by lines that real components wrote."""

from datetime import datetime
from types import SimpleNamespace

import pytest

from podium.trace import clocks, containerd, klog
from podium.trace.model import Step, Trace

SCHEDULER = """\
I1124 12:47:49.347043   15237 schedule_one.go:984] "Plugin scored node for pod" pod="default/web" plugin="NodeResourcesFit" node="node-2" score=77
I1124 12:47:49.347354   15237 pod_expansion.go:50] "Request Body" logger="Bind.DefaultBinder" pod="default/web" body=<
\t00000000  6b 38 73 00 0a 0d 0a 02  76 31 12 07 42 69 6e 64  |k8s.....v1..Bind|
 >
I1124 12:48:01.041290   15237 schedule_one.go:1194] "Unable to schedule pod; no fit; waiting" pod="default/big" err="0/2 nodes: \\"x\\""
"""  # noqa: E501
KUBELET = """\
Nov 24 12:47:49 kind-worker kubelet[69]: I1124 12:47:49.375895      69 kubelet.go:2760] "SyncLoop ADD" source="api" pods=["default/web"]
I1124 12:47:49.567973      69 atomic_writer.go:205] pod default/web volume kube-api-access-7vs8r: performed write
I1124 12:47:51.458216      69 kubelet.go:2788] "SyncLoop (PLEG): event for pod" pod="default/web" event={"ID":"3be0","Type":"ContainerStarted","Data":"d306"}
"""  # noqa: E501
SANDBOX, CONTAINER, UID = "ae" * 32, "d3" * 32, "3be0c8d8-e240-4081-a48c-a4be1f1f125a"
CONTAINERD = "".join(
    f'time="2026-11-24T12:47:{second}Z" level=info msg="{message}"\n'
    for second, message in (
        ("49.739919194", f'RunPodSandbox for name:\\"web\\" uid:\\"{UID}\\" namespace:\\"default\\"'),
        ("50.825499226", f'RunPodSandbox for name:\\"web\\" uid:\\"{UID}\\" returns sandbox id \\"{SANDBOX}\\"'),
        ("50.856752474", f'CreateContainer within sandbox \\"{SANDBOX}\\" for container name:\\"nginx\\"'),
        (
            "50.911485786",
            f'CreateContainer within sandbox \\"{SANDBOX}\\" for name:\\"nginx\\" returns container id '
            f'\\"{CONTAINER}\\"',
        ),
        ("50.920675418", f'StartContainer for \\"{CONTAINER}\\"'),
        ("51.357071706", f'StartContainer for \\"{CONTAINER}\\" returns successfully'),
        ("52.000000000", f'StartContainer for \\"{"00" * 32}\\"'),
    )
)


def test_structured_log_lines() -> None:
    scored, body, refused = klog.parse(SCHEDULER)
    assert (scored["plugin"], scored["node"], scored["score"]) == ("NodeResourcesFit", "node-2", "77")
    assert "Bind" in body.text
    assert body.text.endswith(" >")
    assert refused["err"] == '0/2 nodes: "x"'
    assert scored["absent"] == ""
    assert 1.69 < refused.time - scored.time - 10 < 1.70


def test_log_lines_of_journald_and_unstructured_ones() -> None:
    added, unstructured, event = klog.parse(KUBELET)
    assert (added.message, added["pods"]) == ("SyncLoop ADD", '["default/web"]')
    assert unstructured.message.startswith("pod default/web volume")
    assert '"Type": "ContainerStarted"' in event["event"]


def test_a_line_that_is_still_being_written_waits_for_its_end() -> None:
    added, _, event = KUBELET.splitlines()
    for cut in range(1, len(event)):
        assert [line.message for line in klog.parse(f"{added}\n{event[:cut]}")] == ["SyncLoop ADD"]
    assert len(containerd.parse(CONTAINERD[:-1])) == len(containerd.parse(CONTAINERD)) - 1


def test_a_message_that_go_quotes_as_json_does_not() -> None:
    (line,) = klog.parse('I1124 12:47:49.375895      69 a.go:1] "bell \\a" text="\\x1b[0m"\n')
    assert (line.message, line["text"]) == ('"bell \\a" text="\\x1b[0m"', '"\\x1b[0m"')


def test_shifting_leaves_out_what_was_before() -> None:
    lines = klog.parse(KUBELET)
    moved = klog.shifted(lines, 5, lines[1].time + 5)
    assert [line.time for line in moved] == [line.time + 5 for line in lines[1:]]


@pytest.mark.parametrize(
    ("since", "now", "found"),
    [
        ("2026-12-31T23:00", "2026-12-31T23:59", ["eve"]),
        ("2026-12-31T23:00", "2027-01-01T00:30", ["eve", "day"]),
        ("2027-01-01T00:00", "2027-01-01T00:30", ["day"]),
    ],
)
def test_what_is_too_old_is_left_out_with_the_lines_that_continue_it(
    since: str, now: str, found: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        'I1130 10:00:00.000000 1 a.go:1] "old" x=<\n\tbody\n >\n'
        'I1231 23:30:00.000000 1 a.go:1] "eve" x=<\n\tbody\n >\n'
        'I0101 00:10:00.000000 1 a.go:1] "day"\n'
    )
    moments = [datetime.fromisoformat(f"{moment}+00:00").timestamp() for moment in (since, now)]
    monkeypatch.setattr(klog, "time", SimpleNamespace(time=lambda: moments[1]))
    lines = klog.parse(text if now > "2027" else text.partition("I0101")[0], moments[0])
    assert [line.message for line in lines] == found
    assert "old" not in "".join(line.text for line in lines)
    assert all(line.text.endswith(" >") for line in lines if line.message == "eve")


def test_cri_calls_of_one_pod() -> None:
    lines = containerd.parse(CONTAINERD)
    steps = containerd.steps(lines, "node-1", "web", UID, set(), 0)
    assert [(s.verb, s.object) for s in steps] == [
        ("run sandbox", "sandbox of web"),
        ("create", "container nginx"),
        ("start", "container nginx"),
    ]
    assert [round(s.end - s.start, 3) for s in steps if s.end] == [1.086, 0.055, 0.436]
    assert steps[1].text.count("CreateContainer") == 2
    assert not containerd.steps(lines, "node-1", "other", "another-uid", set(), 0)


def test_cri_calls_as_older_containerds_log_them() -> None:
    old = CONTAINERD.replace(
        f'name:\\"web\\" uid:\\"{UID}\\"', f"&PodSandboxMetadata{{Name:web,Uid:{UID},Namespace:default,Attempt:0,}}"
    ).replace('name:\\"nginx\\"', "&ContainerMetadata{Name:nginx,Attempt:0,}")
    steps = containerd.steps(containerd.parse(old), "node-1", "web", UID, set(), 0)
    assert [s.object for s in steps] == ["sandbox of web", "container nginx", "container nginx"]


def test_a_step_stands_after_its_cause() -> None:
    first, second, third = (Step("etcd", "write", "", start, None, "", "", "") for start in (2.0, 1.0, 1.5))
    second.cause, third.cause = first, second
    trace = Trace("Pod web")
    trace.fill([third, second, first])
    assert list(trace) == [first, second, third]
    assert [row["cause"] for row in trace.rows()] == [None, 0, 1]


@pytest.mark.parametrize(
    ("told", "heard", "behind"),
    [
        (10.3, 9.99, 0.0),  # the event was told late: that says nothing of the clock
        (10.5, 10.4, 0.4),  # what was done at 10.0 by the node's clock was asked for at 10.4
        (9.9, 9.8, -0.1),
    ],
)
def test_clocks_agree_as_far_as_the_records_allow(told: float, heard: float, behind: float) -> None:
    asked = {"by": "node-1/kubelet", "facts": {"first": True, "told": ("Pulled", "x")}}
    requests = [
        Step("kube-apiserver", "event", "", told, told, "", "", {}, **asked),
        Step("kube-apiserver", "bind", "", heard, heard, "", "", {}, facts={"name": "web"}),
    ]
    lines = [
        klog.Line(10.0, "Event occurred", ' reason="Pulled" message="x"'),
        klog.Line(10.0, "SyncLoop ADD", ' pods=["default/web"]'),
    ]
    assert clocks.offset("node-1", lines, requests) == pytest.approx(behind)


def test_a_trace_without_steps_can_be_shown() -> None:
    trace = Trace("Pod web")
    assert "Pod web" in str(trace)
    assert trace.table.empty
    assert trace.svg.startswith("<svg")
