"""What a Pod's status says, in a word and a sign."""

import re
from typing import Any, NamedTuple

_FAILING = re.compile("^Err|BackOff$|Error$|OOMKilled$|^InvalidImageName$")  # ErrImagePull, CreateContainerError


class Status(NamedTuple):
    """How a Pod is: a word as ``kubectl get pods`` has it, a sign, and how good that is.

    Attributes:
        word: ``Running``, ``Pending``, ``CrashLoopBackOff``.
        sign: One character that says the same without a colour.
        tone: ``good``, ``warn``, ``bad`` or ``idle``.
    """

    word: str
    sign: str
    tone: str


SIGNS = {
    "ready": Status("Running and Ready", "✓", "good"),
    "running": Status("Running, not Ready", "◐", "warn"),
    "pending": Status("Pending", "○", "warn"),
    "failing": Status("failing", "✗", "bad"),
    "terminating": Status("Terminating", "◌", "idle"),
    "done": Status("Completed", "■", "idle"),
}
"""The signs and what they mean: a legend."""


def status(pod: dict[str, Any]) -> Status:
    """How a Pod is: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/.

    Args:
        pod: The Pod, as the API has it.
    """
    told = pod.get("status", {})
    phase = told.get("phase", "Pending")
    reasons = [
        state.get("reason", "")
        for entry in told.get("initContainerStatuses", []) + told.get("containerStatuses", [])
        for kind, state in entry.get("state", {}).items()
        if kind != "running"
    ]
    failing = next((reason for reason in reasons if _FAILING.search(reason)), "")
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in told.get("conditions", []))
    if "deletionTimestamp" in pod["metadata"]:
        return SIGNS["terminating"]
    if phase == "Succeeded":
        return SIGNS["done"]
    if phase == "Failed" or failing:
        return SIGNS["failing"]._replace(word=failing or told.get("reason", "") or phase)
    if phase == "Running":
        return SIGNS["ready"]._replace(word="Running") if ready else SIGNS["running"]
    return SIGNS["pending"]._replace(word=next((r for r in reasons if r and r != "PodInitializing"), phase))
