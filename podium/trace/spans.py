"""OpenTelemetry's spans, joined to the steps that they belong to: what a component did inside of one of its steps.

API server, kubelet and containerd tell them in a cluster that was started with tracing:
https://kubernetes.io/docs/concepts/cluster-administration/system-traces/.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from podium.trace.model import Span, Step

SOURCE = "OpenTelemetry's spans"
_NEAR = 0.02  # seconds by which a log's entry may lie outside of its span
_IDS = ("sandbox.id", "container.id")


def join(steps: Iterable[Step], told: Iterable[Mapping[str, Any]], ahead: Mapping[str, float]) -> None:
    """Give each step its spans.

    Args:
        steps: All steps of a trace.
        told: The spans, as :meth:`podium.Cluster.spans` gives them.
        ahead: By how many seconds each node's clock is behind the API server's.
    """
    whole: dict[str, list[Span]] = defaultdict(list)  # by the number of their trace
    for each in told:
        whole[each["trace"]].append(Span.read(each, ahead.get(each["host"], 0.0)))
    by_request = {
        span.attributes["audit-id"]: spans
        for spans in whole.values()
        for span in spans
        if span.service == "apiserver" and "audit-id" in span.attributes
    }
    taken: set[str] = set()
    for step in steps:
        program = step.component.rpartition("/")[2]
        if program == "kube-apiserver" and step.record["auditID"] not in taken:
            taken.add(step.record["auditID"])  # the parts of a request share its record: the first one has the spans
            step.spans = _ordered(by_request.get(step.record["auditID"], []), "apiserver")
        elif program == "kubelet":
            uid = step.facts.get("uid")
            trees = [all_ for all_ in whole.values() if any(s.attributes.get("k8s.pod.uid") == uid for s in all_)]
            step.spans = [s for tree in trees for s in _ordered(tree, "kubelet") if _meets(s, step)]
        elif program == "containerd" and "id" in step.facts:
            mine = {s.id for all_ in whole.values() for s in all_ if step.facts["id"] in map(s.attributes.get, _IDS)}
            trees = [all_ for all_ in whole.values() if any(s.id in mine for s in all_)]
            step.spans = [
                s for tree in trees for s in _ordered(tree, "containerd") if _meets(s, step) and _within(s, tree, mine)
            ]


def complete(told: Collection[Mapping[str, Any]], requests: set[str], nodes: set[str], until: float) -> bool:
    """Whether all spans of these requests, and of what these nodes did until then, have been told.

    A component tells its spans in the order of their ends, so that one which ended later shows that none is missing.
    There always is one: a kubelet asks its container runtime for all containers once a second.

    Args:
        told: The spans, as :meth:`podium.Cluster.spans` gives them.
        requests: The audit log's numbers of the requests.
        nodes: The names of the nodes.
        until: When, in seconds since the epoch.
    """
    later = {(span["host"], span["service"]) for span in told if span["end"] > until}
    answered = {span["attributes"].get("audit-id") for span in told}
    return requests <= answered and all((node, name) in later for node in nodes for name in ("kubelet", "containerd"))


def _ordered(tree: Iterable[Span], service: str) -> list[Span]:
    return sorted((span for span in tree if span.service == service), key=lambda span: (span.start, -span.end))


def _meets(span: Span, step: Step) -> bool:
    """Whether the step happened within the span, or the middle of the span lies within the step."""
    end = step.end or step.start
    around = span.start - _NEAR <= step.start and end <= span.end + _NEAR
    return around or step.start <= (span.start + span.end) / 2 <= end


def _within(span: Span, tree: Iterable[Span], ids: set[str]) -> bool:
    """Whether it is one of those spans, or stands somewhere below one."""
    known = {each.id: each for each in tree}
    here: Span | None = span
    while here and here.id not in ids:
        here = known.get(here.parent)
    return here is not None
