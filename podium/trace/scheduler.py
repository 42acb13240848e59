"""What kube-scheduler's log tells: https://kubernetes.io/docs/concepts/scheduling-eviction/kube-scheduler/.

At which verbosity it says what stands in its source, pkg/scheduler/schedule_one.go: the result at 2, the attempt at 3,
the score of each plugin for each node at 10. Where one node only passes the filters, none is scored.
"""

from collections import defaultdict

from podium.trace.klog import Line
from podium.trace.model import Step

COMPONENT = "kube-scheduler"
SOURCE = "kube-scheduler's log"
VERBOSITY = 10


def steps(lines: list[Line], pod: str, namespace: str) -> list[Step]:
    """What the scheduler did about a Pod."""
    mine = [line for line in lines if line["pod"] == f"{namespace}/{pod}"]
    found: list[Step] = []

    def step(verb: str, about: list[Line], detail: str, end: float | None = None, **facts: object) -> None:
        text = "\n".join(line.text for line in about)
        found.append(
            Step(COMPONENT, verb, f"Pod {pod}", about[0].time, end, detail, SOURCE, text, facts={"pod": pod, **facts})
        )

    attempt: list[Line] = []
    scores: list[Line] = []
    binding: list[Line] = []
    for line in mine:
        match line.message:
            case "Add event for unscheduled pod":
                step("see", [line], "its watch brought a Pod without a node")
            case "Attempting to schedule pod":
                attempt, scores, binding = [line], [], []
            case "Plugin scored node for pod" | "Calculated node's final score for pod":
                scores.append(line)
            case "Attempting to bind pod to node":
                binding = [line]
            case "Successfully bound pod to node":
                evaluated, feasible = line["evaluatedNodes"], line["feasibleNodes"]
                step("filter", [*attempt, line], f"{feasible} of {evaluated} nodes pass")
                if scores:
                    table = _scores(scores)
                    said = ", ".join(f"{node} {sum(of.values())}" for node, of in table.items())
                    step("score", scores, said, scores[-1].time, scores=table)
                step("bind", [*binding, line], f"to {line['node']}", line.time, node=line["node"])
            case (
                "Unable to schedule pod; no fit; waiting"
                | "Unable to schedule pod; no nodes are registered to the cluster; waiting"
            ):
                step("filter", [*attempt, line], line["err"] or "no nodes are registered", line.time, refused=True)
    return found


def _scores(lines: list[Line]) -> dict[str, dict[str, int]]:
    """The score of each plugin, by node: the weighted ones, whose sum decides."""
    table: dict[str, dict[str, int]] = defaultdict(dict)
    for line in lines:
        if line["plugin"]:
            table[line["node"]][line["plugin"]] = int(line["score"])
    return dict(sorted(table.items(), key=lambda entry: -sum(entry[1].values())))
