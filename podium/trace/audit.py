"""What the API server's audit log tells: https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

from podium.trace.model import Step

SOURCE = "audit log"
_WRITES = {"create", "update", "patch", "delete"}
_KINDS = {
    "pods": "Pod",
    "deployments": "Deployment",
    "replicasets": "ReplicaSet",
    "endpointslices": "EndpointSlice",
    "events": "Event",
}


@dataclass
class Family:
    """What belongs together: what was asked to be followed, what it owns, and what refers to its Pods.

    Attributes:
        namespace: Where it lives.
        names: The objects: pairs of the resource and the name.
        pods: What is known of each Pod, by name: the object as it was last written.
    """

    namespace: str
    names: set[tuple[str, str]] = field(default_factory=set)
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, resource: str, name: str, written: dict[str, Any] | None = None) -> None:
        """Note an object; ``written`` is what the API server answered with."""
        self.names.add((resource, name))
        if resource == "pods":
            self.pods[name] = written or self.pods.get(name, {})

    def has(self, resource: str, name: str, written: dict[str, Any]) -> bool:
        """Whether an object belongs: by its name, by its owner, or because it refers to one of the Pods."""
        if (resource, name) in self.names:
            return True
        owners = {f"{owner['kind'].lower()}s" for owner in owners_of(written)}
        if resource == "events":
            about = written.get("involvedObject") or written.get("regarding") or {}
            return (f"{about.get('kind', '').lower()}s", about.get("name")) in self.names
        if resource == "endpointslices":
            targets = [endpoint.get("targetRef") or {} for endpoint in written.get("endpoints") or []]
            return any(target.get("name") in self.pods for target in targets)
        return bool(owners) and any((f"{o['kind'].lower()}s", o["name"]) in self.names for o in owners_of(written))


def owners_of(written: dict[str, Any]) -> list[dict[str, Any]]:
    """https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/."""
    return written.get("metadata", {}).get("ownerReferences", [])


def key_of(resource: str, namespace: str, name: str) -> str:
    """Where the API server keeps an object in etcd."""
    return f"/registry/{resource}/{namespace}/{name}"


def steps(records: Iterable[dict[str, Any]], family: Family) -> list[Step]:
    """The requests that wrote the family's objects. Objects that turn out to belong to it are noted in it."""
    found: list[Step] = []
    for record in records:
        reference = record.get("objectRef", {})
        resource = reference.get("resource")
        written = record.get("responseObject") or {}
        if (
            record["verb"] not in _WRITES
            or record["stage"] != "ResponseComplete"
            or reference.get("namespace") != family.namespace
            or resource not in _KINDS
        ):
            continue
        asked = record.get("requestObject") or {}
        name = reference.get("name") or (written.get("metadata") or {}).get("name", "")
        if not family.has(resource, name, written if "metadata" in written else asked):
            continue
        refused = record["responseStatus"]["code"] >= 400
        whole = written if not refused and written.get("kind") == _KINDS[resource] else None
        before = family.pods.get(name, {})
        family.add(resource, name, whole)
        found += _steps(record, resource, name, whole, before)
    return found


def _steps(
    record: dict[str, Any], resource: str, name: str, whole: dict[str, Any] | None, before: dict[str, Any]
) -> list[Step]:
    start, end = (
        datetime.fromisoformat(record[f"{stage}Timestamp"]).timestamp() for stage in ("requestReceived", "stage")
    )
    part = record["objectRef"].get("subresource", "")
    verb, what = record["verb"], f"{_KINDS[resource]} {name}"
    sender, status = sender_of(record), record["responseStatus"]
    facts = {
        "resource": resource,
        "name": name,
        "part": part,
        "key": key_of(resource, record["objectRef"]["namespace"], name),
    }
    facts["refused"] = status["code"] >= 400
    if whole:
        facts["revision"] = int(whole["metadata"]["resourceVersion"])
    if resource == "pods":
        facts["pod"] = name

    def step(verb: str, detail: str, start: float = start, end: float | None = end) -> Step:
        return Step("kube-apiserver", verb, what, start, end, detail, SOURCE, record, sender, {"verb": verb, **facts})

    said = f"{status['code']}" + (f" {status['message']}" if status.get("message") else "")
    if part == "binding":
        return [step("bind", f"{sender} binds it to {record['requestObject']['target']['name']}: {said}")]
    if resource == "events":
        event = whole or record.get("requestObject") or {}
        facts |= {"reason": event.get("reason", ""), "about": (event.get("involvedObject") or {}).get("name", "")}
        facts |= {"told": (event.get("reason", ""), event.get("message", "")), "first": verb == "create"}
        what = f"Event {event.get('reason', name)}"
        times = f" ({event['count']} times)" if event.get("count", 1) > 1 else ""
        return [step("event", f"{sender}: {event.get('message', '')}{times}")]
    if resource == "endpointslices":
        facts["endpoints"] = whole["endpoints"] if whole else []
        ready = [f"{a} ready={e['conditions'].get('ready')}" for e in facts["endpoints"] or [] for a in e["addresses"]]
        return [step(verb, f"{sender}: {', '.join(ready) or 'no endpoint'}")]
    if verb == "create":
        return _creation(record, whole, step, sender, said, end)
    if verb == "delete":
        meta = (whole or {}).get("metadata", {})
        grace = meta.get("deletionGracePeriodSeconds")
        facts["final"] = not grace
        return [step("delete", f"{sender}, with {grace or 0} seconds of grace: {said}")]
    if resource == "pods" and whole:
        facts["changes"] = changes(before.get("status", {}), whole["status"])
        return [step(f"{verb} {part}".strip(), f"{sender}: {'; '.join(facts['changes']) or said}")]
    return [step(f"{verb} {part}".strip(), f"{sender}: {said}")]


def _creation(
    record: dict[str, Any], whole: dict[str, Any] | None, step: Any, sender: str, said: str, end: float
) -> list[Step]:
    annotations = record.get("annotations", {})
    reason = annotations.get("authorization.k8s.io/reason") or "the Node authorizer or a superuser's right"
    decision = annotations.get("authorization.k8s.io/decision", "?")
    received = step("create", f"asked for by {sender} as {record['user']['username']}")
    found = [received, step("authorize", f"{decision}: {reason}", end=None)]
    if whole and record.get("requestObject"):
        asked, got = record["requestObject"].get("spec", {}), whole.get("spec", {})
        filled = [f"spec.{key}" for key in sorted(got) if got[key] != asked.get(key)]
        found.append(step("admit", f"set {', '.join(filled)}" if filled else "changed nothing", end=None))
    found.append(step("answer", said, start=end, end=None))
    for earlier, later in pairwise(found):
        later.cause = earlier
    return found


def sender_of(record: dict[str, Any]) -> str:
    """The program that sent a request: a component by its name in the trace, anybody else as it calls itself."""
    program, user = record.get("userAgent", "?").split("/")[0], record["user"]["username"]
    if user.startswith("system:node:"):
        return f"{user.removeprefix('system:node:')}/{program}"
    if user.startswith("system:serviceaccount:kube-system:") and program == "kube-controller-manager":
        return user.rpartition(":")[2]
    return program


def changes(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What differs between two statuses of a Pod, in words."""
    return [f"{name} {value}" for name, value in facts_of(after).items() if facts_of(before).get(name) != value]


def facts_of(status: dict[str, Any]) -> dict[str, str]:
    """A Pod's status in short: its phase, address, conditions, and the state of each container."""
    facts = {"phase": status.get("phase", ""), "address": status.get("podIP", "")}
    for condition in status.get("conditions") or []:
        facts[condition["type"]] = condition["status"]
    for kind in ("initContainerStatuses", "containerStatuses"):
        for container in status.get(kind) or []:
            (state, about), *_ = container["state"].items() or [("unknown", {})]
            reason = f" ({about['reason']})" if about.get("reason") else ""
            restarts = f", {container['restartCount']} restarts" if container["restartCount"] else ""
            facts[f"container {container['name']}"] = f"{state}{reason}{restarts}"
    return {name: value for name, value in facts.items() if value}
