"""Following a Pod: what is switched on for it, when it has arrived, and which sources are read then."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, overload

from kubernetes import client
from kubernetes.client.exceptions import OpenApiException
from urllib3.exceptions import HTTPError

from podium.cluster import Cluster
from podium.cluster import open as open_cluster
from podium.errors import PodiumError, UsageError, WaitedTooLong
from podium.trace import audit, causes, clocks, containerd, etcd, klog, kubelet, proxy, scheduler, spans, verbosity
from podium.trace.model import Step, Trace
from podium.waiting import wait_until

_ALL = 1_000_000  # lines: a log whole
_RECENT = 3_000  # lines: what a log holds of the last seconds, at the verbosity that a trace asks for
_PATIENCE = 0.03  # seconds that a live picture waits for a log
_SETTLE = 20.0  # seconds for records that are still on their way
_CLOCKS = 1.0  # seconds by which a node's clock is surely not off
_API = "the API server's list of Pods"
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
        PodiumError: There is no cluster, and none could be started.

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
        recorder.follow(until, limit)


class Recorder:
    """What runs while a trace does. One that was stopped may be entered again: the trace goes on.

    Args:
        cluster: The cluster.
        kind: ``pod`` or ``deployment``.
        name: Its name.
        namespace: Its namespace.
    """

    def __init__(self, cluster: Cluster, kind: str, name: str, namespace: str) -> None:
        if kind not in ("pod", "deployment"):
            raise UsageError(f"A trace follows a Pod or a Deployment, not a {kind}.")
        self._cluster, self._kind, self._name, self._namespace = cluster, kind, name, namespace
        self._core, self._apps = client.CoreV1Api(cluster.api), client.AppsV1Api(cluster.api)
        self._stack = ExitStack()
        self._watches: list[etcd.Watch] = []
        self._fetches: dict[str, Future[str]] = {}
        self._texts: dict[str, str] = {}
        self._since = 0.0
        self._stopped = False
        self.trace = Trace(f"{kind.capitalize()} {name}")

    def __enter__(self) -> "Recorder":
        for component, level in self._talkative():
            with self._telling(f"{component}'s log at verbosity {level}"):
                self._stack.callback(self._lower, component, verbosity.more(self._cluster, component, level))
        self._pool = self._stack.enter_context(ThreadPoolExecutor(thread_name_prefix="podium-log"))
        with self._telling(etcd.SOURCE):
            self._watches.append(etcd.Watch(self._cluster))
            self._stack.callback(self._watches[-1].close)
        if self._since:
            self.trace.missing["the time until it was followed again"] = "nobody watched etcd"
        self._since = self._since or time.time()
        self._stopped = False
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
        except (HTTPError, OpenApiException) as error:
            self.trace.missing[source] = f"it does not answer: {error}"

    def _talkative(self) -> list[tuple[str, int]]:
        return [
            (scheduler.COMPONENT, scheduler.VERBOSITY),
            *((f"{node}/kubelet", kubelet.VERBOSITY) for node in self._cluster.nodes()),
        ]

    def _lower(self, name: str, less: Callable[[], None]) -> None:
        with self._telling(f"{name}'s usual verbosity"):
            less()

    def follow(self, until: str, limit: float, on_change: Callable[[], object] | None = None) -> bool:
        """Wait until the Pod has arrived, and fill the trace.

        Args:
            until: See :func:`trace_pod`.
            limit: Seconds.
            on_change: Called whenever the trace may have grown. With it, the sources are read all the time: what takes
                a call into a node (the containers' processes, the rules) only at the end.

        Returns:
            Whether it came to its end: it was not stopped.
        """
        if self.trace.outcome.startswith("It was refused"):
            time.sleep(0.2)
        else:
            self.trace.outcome = self.wait(until, limit, on_change)
        if self._stopped:
            return False
        self.settle()
        self.read()
        if on_change:
            on_change()
        return True

    def stop(self) -> None:
        """Let :meth:`follow` come to its end, wherever the Pod is."""
        self._stopped = True

    # -- when it is over

    def pods(self) -> list[client.V1Pod]:
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

    def wait(self, until: str, limit: float, on_change: Callable[[], object] | None = None) -> str:
        """Wait until the Pod has arrived or the cluster says that it can't.

        Returns:
            How it ended, in one sentence.
        """

        def ended() -> str:
            if self._stopped:
                return "It is no longer followed."
            with self._telling(_API):
                if on_change:
                    self.read(live=True)
                    on_change()
                return self._gone() if until == "deleted" else self._arrived(until == "failed")
            return ""

        try:
            return wait_until(ended, f"{self.trace.subject} to be {until}", limit, every=0.1 if on_change else 0.2)
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
        with self._telling(_API):
            names = {pod.metadata.name for pod in self.pods()}
            events = self._core.list_namespaced_event(self._namespace, field_selector="type=Warning").items
            told = [event for event in events if event.involved_object.name in names]
            return max(told, key=lambda event: int(event.metadata.resource_version)).message if told else ""
        return ""

    # -- the sources

    def settle(self) -> None:
        """Wait for the records of what has happened: the audit log's last one, and every kube-proxy's rules."""
        pods: list[client.V1Pod] = []
        with self._telling(_API):
            pods = self.pods()
        newest = {pod.metadata.name: int(pod.metadata.resource_version) for pod in pods}

        def logged() -> bool:
            steps, _ = self._requests()
            seen = {(step.facts["name"], step.facts.get("revision")) for step in steps}
            return all(pair in seen for pair in newest.items())

        with self._telling("the end of the audit log"):
            wait_until(logged, "the audit log to have the Pod's last version", _SETTLE)
        if self._cluster.tracing:
            now = time.time()
            requests, family = self._requests()
            asked = {step.record["auditID"] for step in requests}
            nodes = {pod["spec"]["nodeName"] for pod in family.pods.values() if "nodeName" in pod.get("spec", {})}
            with self._telling(spans.SOURCE):
                wait_until(
                    lambda: spans.complete(self._spans(), asked, nodes, now),
                    "the spans of the API server and the nodes", _SETTLE,
                )  # fmt: skip
        for pod in pods:
            ready = any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or [])
            with self._telling(f"the rules for {pod.metadata.name}"):
                if ready and self._services(pod):
                    wait_until(
                        lambda address=pod.status.pod_ip: all(self._rules(address).values()),
                        "every kube-proxy to have rules for the Pod", _SETTLE, every=0.5,
                    )  # fmt: skip

    def _spans(self) -> list[dict[str, Any]]:
        return list(self._cluster.spans(self._since - _CLOCKS))

    def _services(self, pod: client.V1Pod) -> list[str]:
        """The Services that select a Pod."""
        labels = (pod.metadata.labels or {}).items()
        services = self._core.list_namespaced_service(self._namespace).items
        return [s.metadata.name for s in services if s.spec.selector and s.spec.selector.items() <= labels]

    def _rules(self, address: str) -> dict[str, str]:
        return {node: proxy.rules(self._cluster, node, address) for node in self._cluster.nodes()}

    def _requests(self) -> tuple[list[Step], audit.Family]:
        family = audit.Family(self._namespace)
        family.add(f"{self._kind}s", self._name)
        with self._telling(_API):
            for pod in self.pods():
                family.add("pods", pod.metadata.name, self._cluster.api.sanitize_for_serialization(pod))
        return audit.steps(self._cluster.audit_log(self._since), family), family

    def read(self, live: bool = False) -> None:
        """Read every source, and fill the trace.

        Args:
            live: Read the ends of the logs only, and nothing that takes a call into a node.
        """
        steps, family = self._requests()
        for watch in self._watches:
            steps += watch.steps(family, self._since)
        with self._telling(scheduler.SOURCE):
            log = self._log(scheduler.COMPONENT, 0, live)
            for pod in family.pods:
                steps += scheduler.steps(log, pod, self._namespace)
        ahead: dict[str, float] = {}
        for node in self._cluster.nodes():
            here = {name: pod for name, pod in family.pods.items() if pod.get("spec", {}).get("nodeName") == node}
            if here:
                steps += self._node(node, here, steps, ahead, live)
        _name_containers(steps)
        causes.link(steps)
        for node in self._cluster.nodes():
            steps += self._proxy(node, steps, family, ahead.get(node, 0), live)
        if not live and self._cluster.tracing:
            with self._telling(spans.SOURCE):
                spans.join(steps, self._spans(), ahead)
                if not any(step.spans for step in steps):
                    self.trace.missing[spans.SOURCE] = "nobody has told any of it"
        for source in (audit.SOURCE, scheduler.SOURCE, kubelet.SOURCE, containerd.SOURCE, etcd.SOURCE):
            if not live and not any(step.source == source for step in steps):
                self.trace.missing.setdefault(source, "it has no word about it")
        self.trace.fill(steps)

    def _text(self, component: str, live: bool) -> str:
        """A log. Live, its end as it was a moment ago, for a node may take longer to answer than a picture can wait."""
        log = self._cluster.components[component].log
        if not live:
            return log(_ALL)
        fetch = self._fetches.get(component)
        if fetch is None:
            fetch = self._fetches[component] = self._pool.submit(log, _RECENT)
        if wait([fetch], _PATIENCE).done:
            del self._fetches[component]
            self._texts[component] = fetch.result()
        return self._texts.get(component, "")

    def _log(self, component: str, offset: float, live: bool) -> list[klog.Line]:
        return klog.shifted(klog.parse(self._text(component, live), self._since - _CLOCKS), offset, self._since)

    def _node(
        self, node: str, pods: dict[str, dict[str, Any]], requests: list[Step], ahead: dict[str, float], live: bool
    ) -> list[Step]:
        """What a node's own logs tell, by the API server's clock; how far the node's is behind it is noted."""
        steps: list[Step] = []
        ahead[node] = 0
        with self._telling(f"{node}: {kubelet.SOURCE}"):
            log = klog.parse(self._text(f"{node}/kubelet", live), self._since - _CLOCKS)
            measured = clocks.offset(node, log, requests)
            if measured is not None:
                ahead[node] = measured
            elif not live:
                self.trace.missing[f"{node}'s clock"] = "no record to compare it with the API server's"
            log = klog.shifted(log, ahead[node], self._since)
            for name, pod in pods.items():
                steps += kubelet.steps(log, node, name, self._namespace, pod["metadata"]["uid"])
        with self._telling(f"{node}: {containerd.SOURCE}"):
            calls = containerd.parse(self._text(f"{node}/containerd", live))
            calls = klog.shifted(calls, ahead[node], 0)
            for name, pod in pods.items():
                spec, uid = pod["spec"], pod["metadata"]["uid"]
                images = {container["image"] for container in spec["containers"] + spec.get("initContainers", [])}
                steps += containerd.steps(calls, node, name, uid, images, self._since)
                if not live:
                    steps += containerd.inspected(self._cluster, node, name, uid, ahead[node], self._since)
        return steps

    def _proxy(self, node: str, steps: list[Step], family: audit.Family, offset: float, live: bool) -> list[Step]:
        writes = [step for step in steps if step.component == "etcd" and step.facts["resource"] == "endpointslices"]
        if not writes:
            return []
        with self._telling(f"{node}: {proxy.SOURCE}"):
            log = self._log(f"{node}/kube-proxy", offset, live)
            addresses = {pod.get("status", {}).get("podIP", "") for pod in family.pods.values()} - {"", None}
            present = {} if live else {each: proxy.rules(self._cluster, node, each) for each in addresses}
            return proxy.steps(log, node, sorted(writes, key=lambda write: write.start), present)
        return []


def _name_containers(steps: list[Step]) -> None:
    """A kubelet notices ids; containerd knows what they are."""
    names = {step.facts["id"]: step.object for step in steps if step.source == containerd.SOURCE and "id" in step.facts}
    for step in steps:
        if step.verb in ("notice start", "notice end"):
            step.object = names.get(step.facts["id"], step.object)


def _verdict(pod: client.V1Pod, failed: bool) -> str:
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
