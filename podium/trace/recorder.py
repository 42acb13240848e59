"""Following a Pod: what is switched on for it, when it has arrived, and which sources are read then."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, overload

from podium.cluster import Cluster
from podium.cluster import open as open_cluster
from podium.errors import PodiumError, UsageError, WaitedTooLong
from podium.trace import audit, causes, clocks, containerd, etcd, klog, kubelet, proxy, scheduler
from podium.trace.model import Step, Trace
from podium.waiting import wait_until

if TYPE_CHECKING:
    from kubernetes.client import V1Pod

_ALL = 1_000_000  # lines: a log whole
_SETTLE = 10.0  # seconds for records that are still on their way
_CLOCKS = 1.0  # seconds by which a node's clock is surely not off
_STARTING = {"ContainerCreating", "PodInitializing"}


@overload
def trace_pod(
    pod: str, cluster: Cluster | None = None, namespace: str = "default", until: str = "Ready", limit: float = 60
) -> AbstractContextManager[Trace]: ...
@overload
def trace_pod(
    pod: Mapping[str, Any],
    cluster: Cluster | None = None,
    namespace: str = "default",
    until: str = "Ready",
    limit: float = 60,
) -> Trace: ...
def trace_pod(
    pod: str | Mapping[str, Any],
    cluster: Cluster | None = None,
    namespace: str = "default",
    until: str = "Ready",
    limit: float = 60,
) -> AbstractContextManager[Trace] | Trace:
    """Follow one Pod, or a Deployment's Pods, through every component.

    While a trace runs, the scheduler and the kubelets log more than they usually do; afterwards, as before.

    Args:
        pod: Its name, or ``deployment/<name>``: then this is a context manager, and what happens inside of the block is
            followed. Or a manifest: then it is created and followed.
        cluster: Where; the one that is running, unless given.
        namespace: The Pod's namespace, unless the manifest has one.
        until: ``Ready``: or until the cluster says that it can't be, as for an image that does not exist; ``failed``,
            past Ready: until a container waits to be restarted or the Pod has ended; or ``deleted``.
        limit: Seconds after which the trace ends, wherever the Pod is then.

    Returns:
        The trace. It is filled when the block ends.

    Raises:
        UsageError: The manifest is of another kind, or ``until`` is something else.
        PodiumError: The API server does not answer.

    Example:
        >>> with trace_pod("web") as trace:  # doctest: +SKIP
        ...     cluster.kubectl("run", "web", "--image=podium.test/nginx:1.26")
        >>> trace.table  # doctest: +SKIP
    """
    if until not in ("Ready", "failed", "deleted"):
        raise UsageError(f"A trace goes until Ready, failed or deleted, not {until!r}.")
    cluster = cluster or open_cluster()
    if isinstance(pod, str):
        kind, _, name = pod.rpartition("/")
        return _follow(cluster, (kind or "pod").lower(), name, namespace, until, limit)
    kind, name = pod.get("kind", "Pod").lower(), pod["metadata"]["name"]
    namespace = pod["metadata"].get("namespace", namespace)
    with _follow(cluster, kind, name, namespace, until, limit) as trace:
        try:
            cluster.kubectl("create", "--namespace", namespace, "--filename", "-", input=json.dumps(pod))
        except PodiumError as error:
            trace.outcome = f"It was refused: {error.what}"
    return trace


@contextmanager
def _follow(cluster: Cluster, kind: str, name: str, namespace: str, until: str, limit: float) -> Iterator[Trace]:
    with Recorder(cluster, kind, name, namespace) as recorder:
        yield recorder.trace
        if recorder.trace.outcome.startswith("It was refused"):
            time.sleep(0.2)
        else:
            recorder.trace.outcome = recorder.wait(until, limit)
        recorder.settle()
        recorder.read()


class Recorder:
    """What runs while a trace does.

    Args:
        cluster: The cluster.
        kind: ``pod`` or ``deployment``.
        name: Its name.
        namespace: Its namespace.
    """

    def __init__(self, cluster: Cluster, kind: str, name: str, namespace: str) -> None:
        if kind not in ("pod", "deployment"):
            raise UsageError(f"A trace follows a Pod or a Deployment, not a {kind}.")
        from kubernetes import client

        self._cluster, self._kind, self._name, self._namespace = cluster, kind, name, namespace
        self._core, self._apps = client.CoreV1Api(cluster.api), client.AppsV1Api(cluster.api)
        self._stack = ExitStack()
        self._watch: etcd.Watch | None = None
        self.trace = Trace(f"{kind.capitalize()} {name}")

    def __enter__(self) -> "Recorder":
        for component, verbosity in self._talkative():
            with self._telling(f"{component}'s log at verbosity {verbosity}"):
                self._raise(component, verbosity)
        with self._telling(etcd.SOURCE):
            self._watch = etcd.Watch(self._cluster)
            self._stack.callback(self._watch.close)
        self._since = time.time()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @contextmanager
    def _telling(self, source: str) -> Iterator[None]:
        """What a source can't give is told in the trace."""
        self.trace.missing.pop(source, None)
        try:
            yield
        except PodiumError as error:
            self.trace.missing[source] = error.what

    def _talkative(self) -> list[tuple[str, int]]:
        return [
            (scheduler.COMPONENT, scheduler.VERBOSITY),
            *((f"{node}/kubelet", kubelet.VERBOSITY) for node in self._cluster.nodes()),
        ]

    def _raise(self, name: str, verbosity: int) -> None:
        component = self._cluster.components[name]
        usual = int(component.flags.get("v", "0"))
        component.set_verbosity(verbosity)
        self._stack.callback(self._lower, name, usual)

    def _lower(self, name: str, usual: int) -> None:
        with self._telling(f"{name}'s usual verbosity"):
            self._cluster.components[name].set_verbosity(usual)

    # -- when it is over

    def pods(self) -> "list[V1Pod]":
        """The Pods that are followed, as they are now."""
        pods = self._core.list_namespaced_pod(self._namespace).items
        if self._kind == "pod":
            return [pod for pod in pods if pod.metadata.name == self._name]
        sets = self._apps.list_namespaced_replica_set(self._namespace).items
        owned = {each.metadata.name for each in sets if self._owned(each, {self._name})}
        return [pod for pod in pods if self._owned(pod, owned)]

    @staticmethod
    def _owned(each: Any, owners: set[str]) -> bool:
        return any(owner.name in owners for owner in each.metadata.owner_references or [])

    def wait(self, until: str, limit: float) -> str:
        """Wait until the Pod has arrived or the cluster says that it can't.

        Returns:
            How it ended, in one sentence.
        """
        ended: Callable[[], str] = self._gone if until == "deleted" else lambda: self._arrived(until == "failed")
        try:
            return wait_until(ended, f"{self.trace.subject} to be {until}", limit, every=0.2)
        except WaitedTooLong as error:
            return f"{error.what} {self._unhealthy()}".strip()

    def _gone(self) -> str:
        return "" if self.pods() else "It is deleted."

    def _arrived(self, failed: bool) -> str:
        pods = self.pods()
        wanted = 1
        if self._kind == "deployment":
            found = self._apps.list_namespaced_deployment(
                self._namespace, field_selector=f"metadata.name={self._name}"
            ).items
            wanted = found[0].spec.replicas if found else 1
        ends = [_verdict(pod, failed) for pod in pods]
        if len(pods) < wanted or not all(ends):
            return ""
        return " ".join(sorted(set(ends)))

    def _unhealthy(self) -> str:
        """The last warning about the Pods."""
        names = {pod.metadata.name for pod in self.pods()}
        events = self._core.list_namespaced_event(self._namespace, field_selector="type=Warning").items
        told = [event for event in events if event.involved_object.name in names]
        return max(told, key=lambda event: int(event.metadata.resource_version)).message if told else ""

    # -- the sources

    def settle(self) -> None:
        """Wait for the records of what has happened: the audit log's last one, and every kube-proxy's rules."""
        pods = self.pods()
        newest = {pod.metadata.name: int(pod.metadata.resource_version) for pod in pods}

        def logged() -> bool:
            steps, _ = self._requests()
            seen = {(step.facts["name"], step.facts.get("revision")) for step in steps}
            return all(pair in seen for pair in newest.items())

        with self._telling("the end of the audit log"):
            wait_until(logged, "the audit log to have the Pod's last version", _SETTLE)
        for pod in pods:
            ready = any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or [])
            if ready and self._services(pod):
                with self._telling(f"the rules for {pod.metadata.name}"):
                    wait_until(
                        lambda address=pod.status.pod_ip: all(self._rules(address).values()),
                        "every kube-proxy to have rules for the Pod", _SETTLE, every=0.5,
                    )  # fmt: skip

    def _services(self, pod: "V1Pod") -> list[str]:
        """The Services that select a Pod."""
        labels = (pod.metadata.labels or {}).items()
        services = self._core.list_namespaced_service(self._namespace).items
        return [s.metadata.name for s in services if s.spec.selector and s.spec.selector.items() <= labels]

    def _rules(self, address: str) -> dict[str, str]:
        return {node: proxy.rules(self._cluster, node, address) for node in self._cluster.nodes()}

    def _requests(self) -> tuple[list[Step], audit.Family]:
        family = audit.Family(self._namespace)
        family.add(f"{self._kind}s", self._name)
        for pod in self.pods():
            family.add("pods", pod.metadata.name, self._cluster.api.sanitize_for_serialization(pod))
        return audit.steps(self._cluster.audit_log(self._since), family), family

    def read(self) -> None:
        """Read every source, and fill the trace."""
        steps, family = self._requests()
        if not steps:
            self.trace.missing[audit.SOURCE] = "it has no request about it"
        if self._watch:
            steps += self._watch.steps(family, self._since)
        with self._telling(scheduler.SOURCE):
            log = self._log(scheduler.COMPONENT, 0)
            for pod in family.pods:
                steps += scheduler.steps(log, pod, self._namespace)
        ahead = {node: self._offset(node, steps) for node in self._cluster.nodes()}
        for node, offset in ahead.items():
            here = {name: pod for name, pod in family.pods.items() if pod.get("spec", {}).get("nodeName") == node}
            if here:
                steps += self._node(node, here, offset)
        _name_containers(steps)
        causes.link(steps)
        for node, offset in ahead.items():
            steps += self._proxy(node, steps, family, offset)
        for source in (scheduler.SOURCE, kubelet.SOURCE, containerd.SOURCE, etcd.SOURCE):
            if not any(step.source == source for step in steps):
                self.trace.missing.setdefault(source, "it has no word about it")
        self.trace.fill(steps)

    def _log(self, component: str, offset: float) -> list[klog.Line]:
        lines = klog.parse(self._cluster.components[component].log(_ALL))
        return klog.shifted(lines, offset, self._since)

    def _offset(self, node: str, steps: list[Step]) -> float:
        """How far a node's clock is behind, in seconds."""
        with self._telling(f"{node}: {kubelet.SOURCE}"):
            lines = klog.parse(self._cluster.components[f"{node}/kubelet"].log(_ALL))
            measured = clocks.offset(node, klog.shifted(lines, 0, self._since - _CLOCKS), steps)
            if measured is None and any(step.facts.get("node") == node for step in steps):
                self.trace.missing[f"{node}'s clock"] = "no record to compare it with the API server's"
            return measured or 0
        return 0

    def _node(self, node: str, pods: dict[str, dict[str, Any]], offset: float) -> list[Step]:
        steps: list[Step] = []
        with self._telling(f"{node}: {kubelet.SOURCE}"):
            log = self._log(f"{node}/kubelet", offset)
            for pod in pods:
                steps += kubelet.steps(log, node, pod, self._namespace)
        with self._telling(f"{node}: {containerd.SOURCE}"):
            calls = containerd.parse(self._cluster.components[f"{node}/containerd"].log(_ALL))
            calls = klog.shifted(calls, offset, 0)
            for name, pod in pods.items():
                images = {container["image"] for container in pod["spec"]["containers"]}
                uid = pod["metadata"]["uid"]
                steps += containerd.steps(calls, node, name, uid, images, self._since)
                steps += containerd.inspected(self._cluster, node, name, uid, offset, self._since)
        return steps

    def _proxy(self, node: str, steps: list[Step], family: audit.Family, offset: float) -> list[Step]:
        writes = [step for step in steps if step.component == "etcd" and step.facts["resource"] == "endpointslices"]
        if not writes:
            return []
        with self._telling(f"{node}: {proxy.SOURCE}"):
            log = self._log(f"{node}/kube-proxy", offset)
            addresses = {pod.get("status", {}).get("podIP", "") for pod in family.pods.values()} - {""}
            present = {address: proxy.rules(self._cluster, node, address) for address in addresses}
            return proxy.steps(log, node, sorted(writes, key=lambda write: write.start), present)
        return []


def _name_containers(steps: list[Step]) -> None:
    """A kubelet notices ids; containerd knows what they are."""
    names = {step.facts["id"]: step.object for step in steps if step.source == containerd.SOURCE and "id" in step.facts}
    for step in steps:
        if step.verb in ("notice start", "notice end"):
            step.object = names.get(step.facts["id"], step.object)


def _verdict(pod: "V1Pod", failed: bool) -> str:
    """How a Pod has ended up, as its status says; empty while it is on its way. Ready is no end for one that fails."""
    conditions = {c.type: c for c in pod.status.conditions or []}
    scheduled, ready = conditions.get("PodScheduled"), conditions.get("Ready")
    if scheduled and scheduled.status == "False" and scheduled.reason == "Unschedulable":
        return f"No node takes it: {scheduled.message}"
    if ready and ready.status == "True" and not failed:
        return "It is Ready."
    if pod.status.phase in ("Succeeded", "Failed"):
        return f"It has ended: {pod.status.phase}."
    for status in [*(pod.status.init_container_statuses or []), *(pod.status.container_statuses or [])]:
        waiting = status.state.waiting
        if waiting and waiting.reason not in _STARTING:
            last = status.last_state.terminated
            why = f" It ended with {last.exit_code} ({last.reason})." if last else ""
            return f"Container {status.name} waits: {waiting.reason}: {waiting.message or ''}{why}"
    return ""
