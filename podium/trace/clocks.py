"""How far a node's clock is from the API server's, told by the records that both kept of the same requests.

A node is a machine of its own, and its clock goes its own way: milliseconds here, where the order of steps is at stake.
What the kubelet wrote down before it sent a request bounds the difference from above; what it wrote down after the
answer, or when it saw what another one had asked for, from below. On a busy machine a record may follow what it is
about by tenths of a second, so that the bounds lie wide apart. Between them the clocks are taken to agree, as those of
nodes on one machine nearly do.
"""

import json
from collections.abc import Iterable

from podium.trace.klog import Line
from podium.trace.model import Step

_SEEN = {"bind": "SyncLoop ADD", "delete": "SyncLoop DELETE"}


def offset(node: str, lines: list[Line], steps: Iterable[Step]) -> float | None:
    """Seconds to add to the node's times to have the API server's; None where no two records meet.

    Args:
        node: The node's name.
        lines: Its kubelet's log, by the node's clock.
        steps: What the audit log tells.
    """
    above, below = [], []
    requests = [step for step in steps if step.component == "kube-apiserver"]
    for request in requests:
        mine = request.by == f"{node}/kubelet"
        if mine and request.verb == "event" and request.facts["first"]:
            told = request.facts["told"]
            before = [line.time for line in lines if _is(line, "Event occurred") and _told(line) == told]
            above += [request.start - time for time in before[:1]]
        elif mine and request.verb == "patch status":
            asked = request.record["requestObject"]
            after = [line.time for line in lines if _is(line, "Patch status for pod") and _patch(line) == asked]
            below += [(request.end or request.start) - time for time in after[-1:]]
        elif not mine and request.verb in _SEEN:
            pod = f'/{request.facts["name"]}"'
            seen = [line.time for line in lines if _is(line, _SEEN[request.verb]) and pod in line["pods"]]
            below += [request.start - time for time in seen[-1:]]
    if not above or not below:
        return None
    least, most = max(below), min(above)
    return min(max(0.0, least), most) if least <= most else (least + most) / 2


def _is(line: Line, message: str) -> bool:
    return line.message == message


def _told(line: Line) -> tuple[str, str]:
    return line["reason"], line["message"]


def _patch(line: Line) -> object:
    return json.loads(line["patch"])
