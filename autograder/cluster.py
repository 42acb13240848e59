"""The cluster as the autograder sees it: how to reach it, a lab's namespace, and what checks read there."""

import os
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

import yaml
from kubernetes import config
from kubernetes.client import (
    ApiClient,
    ApiException,
    AppsV1Api,
    CoreV1Api,
    CoreV1Event,
    DiscoveryV1Api,
    SchedulingV1Api,
    V1ConfigMap,
    V1ContainerStatus,
    V1Deployment,
    V1Namespace,
    V1Node,
    V1ObjectMeta,
    V1Pod,
    V1Service,
)
from urllib3.exceptions import MaxRetryError, TimeoutError

import podium
from autograder.faults import draw, inject, lost, mend, merge
from autograder.manifest import find_lab, find_task
from podium.cluster import Cluster
from podium.errors import PodiumError
from podium.waiting import wait_until

T = TypeVar("T")

REQUEST_LIMIT = 10.0
"""Seconds that one request to the API server may take."""

SETTLE_LIMIT = 25.0
"""Seconds without any change to the Pods of a namespace after which a check waits no longer."""

STEADY = 5.0
"""Seconds that a Pod must stay Ready: a container that crashes is Ready for a moment, and longer on a busy node."""

STEADY_AFTER_CRASH = 12.0
"""The same for a Pod whose containers have been restarted: longer than the first back-off, which is 10 s."""

SLOWNESS = 4.0
"""How much longer than a container takes to be started its program may take to do something, on any machine."""

START_LIMIT = 120.0
"""Seconds that the Pods of a task may take to come to what they are meant for: to run, to end, or to fail."""

NAMESPACE_LIMIT = 180.0
"""Seconds that a namespace may take to come or to go: none goes while an extension of the API is still starting."""

_DOMAIN = "podium.test/"
"""What labs put on nodes has names of this domain."""


def connect() -> ApiClient:
    """A client of the cluster under test.

    It is Podium's, or the one that ``KUBECONFIG`` leads to where that is set and ``PODIUM_CLUSTER`` is not.

    Raises:
        PodiumError: There is no such cluster, or it could not be started.
    """
    if not (kubeconfig := _foreign()):
        return podium.open().api
    try:
        return config.new_client_from_config(kubeconfig)
    except config.ConfigException as problem:
        raise PodiumError(f"KUBECONFIG leads to no cluster: {problem}.", "Unset it to use Podium's own.") from problem


def _foreign() -> str:
    """The kubeconfig of a cluster that is not Podium's, where that is the one under test."""
    return "" if os.environ.get("PODIUM_CLUSTER") else os.environ.get("KUBECONFIG", "")


def validating() -> bool:
    """Whether ``nbgrader validate``, or *Validate* in JupyterLab, runs this notebook."""
    return "NBGRADER_VALIDATING" in os.environ


def begin(lab_id: str, api: ApiClient | None = None, fresh: bool = False) -> str:
    """Make a lab's namespace, unless it is there already, and return its name.

    Under ``nbgrader validate`` it is always a fresh one: what counts is what the notebook does by itself.

    Args:
        lab_id: The lab's id.
        api: The cluster; by default the one that :func:`connect` finds.
        fresh: Remove what is in the namespace first, and put right what is broken outside of it.

    Raises:
        WaitedTooLong: The namespace did not become ready.
    """
    fresh = fresh or validating()
    if fresh and api is None and not _foreign():
        mend(podium.open())
    core = CoreV1Api(api or connect())
    name = find_lab(lab_id).namespace
    if fresh:
        remove_namespace(core, name)
        restore(core.api_client)
    make_namespace(core, name)
    return name


def end(lab_id: str, api: ApiClient | None = None) -> None:
    """Remove a lab's namespace and everything in it, and what it left outside: see :func:`restore`.

    Args:
        lab_id: The lab's id.
        api: The cluster; by default the one that :func:`connect` finds.

    Raises:
        WaitedTooLong: The namespace did not go away.
    """
    api = api or connect()
    remove_namespace(CoreV1Api(api), find_lab(lab_id).namespace)
    restore(api)


def prepare(task_id: str, cluster: Cluster | None = None, namespace: str | None = None, seed: str = "") -> None:
    """Put what a task starts from into the namespace, and wait until its Pods do what they are meant to do.

    What is there already under the same names is made anew.

    Args:
        task_id: The task's id.
        cluster: Podium's cluster, where it is known; by default the one that :func:`connect` finds.
        namespace: Where to put it; by default the lab's namespace.
        seed: Draws one fault, where the task starts from something with faults. It is kept in the ConfigMap ``seed``.

    Raises:
        ApiException: The API server refused an object.
        WaitedTooLong: An object of the same name did not go away, or a new Pod did not settle.
    """
    api = cluster.api if cluster else connect()
    namespace = namespace or find_task(task_id).lab.namespace
    start = start_of(task_id)
    if faults := [start.pop(name) for name in list(start) if name.startswith("component/")]:
        cluster = cluster or podium.open()
        mend(cluster)
        for fault in faults:
            inject(cluster, fault)
    if drawn := draw(start, seed):
        _keep(CoreV1Api(api), namespace, "seed", {task_id: seed})
        changes = start[drawn]["changes"]
        start = {
            name: merge(found, changes.get(name, {})) for name, found in start.items() if not name.startswith("fault/")
        }
    becomes = {name: word for name, found in start.items() if (word := found.pop("becomes", ""))}
    for name, manifest in start.items():
        read, delete = (_call(api, verb, manifest["kind"]) for verb in ("read", "delete"))
        own = manifest["metadata"]["name"]
        _delete(partial(delete, own, namespace, grace_period_seconds=0, propagation_policy="Background"))
        _wait_gone(partial(read, own, namespace), f"the old {name}")
        create(api, namespace, manifest)
    view = View(api, namespace)
    wait_until(
        lambda: {name: view.became(name) for name in becomes} == becomes,
        f"what task {task_id} starts from ({', '.join(f'{name} {word}' for name, word in becomes.items())})",
        START_LIMIT,
        every=0.3,
    )


def start_of(task_id: str) -> dict[str, dict]:
    """What a task starts from, by kind and name: ``pod/web``.

    Returns:
        Manifests. One of the kind ``Component`` is a fault: see :func:`autograder.faults.inject`. Of those of the kind
        ``Fault`` a seed draws one: its ``changes`` are merged into the objects that they name. Those of Pods,
        Deployments and DaemonSets also say, under ``becomes``, what is to be waited for. A Pod ``runs``, ``ends``,
        ``waits`` for what does not come, ``pends`` because no node can take it, or ``restarts``; a Deployment or a
        DaemonSet ``runs`` when all its Pods are available.
    """
    found = yaml.safe_load_all(find_task(task_id).start.read_text())
    return {f"{each['kind'].lower()}/{each['metadata']['name']}": each for each in found}


def create(api: ApiClient, namespace: str, manifest: dict) -> None:
    """Create a namespaced object of a kind that one of the client's core or apps groups knows."""
    _call(api, "create", manifest["kind"])(namespace, manifest, field_manager="prepare", _request_timeout=REQUEST_LIMIT)


def _call(api: ApiClient, verb: str, kind: str) -> Callable[..., object]:
    """The client's function that does this with one namespaced object of this kind."""
    name = f"{verb}_namespaced_{re.sub('(?<!^)(?=[A-Z])', '_', kind).lower()}"
    return next(getattr(group(api), name) for group in (CoreV1Api, AppsV1Api) if hasattr(group, name))


def make_namespace(core: CoreV1Api, name: str) -> None:
    """Make a namespace, unless it is there, and wait until Pods can be created in it."""
    if _read(partial(core.read_namespace, name)) is None:  # who may not create one may use one
        core.create_namespace(V1Namespace(metadata=V1ObjectMeta(name=name)), _request_timeout=REQUEST_LIMIT)
    account = partial(core.read_namespaced_service_account, "default", name)
    wait_until(lambda: _read(account), f"the default service account of namespace {name}", NAMESPACE_LIMIT)


def remove_namespace(core: CoreV1Api, name: str) -> None:
    """Remove a namespace, its Pods without a grace period, and wait until it is gone."""
    _delete(partial(core.delete_collection_namespaced_pod, name, grace_period_seconds=0))
    _delete(partial(core.delete_namespace, name))
    _wait_gone(partial(core.read_namespace, name), f"namespace {name}")


def restore(api: ApiClient) -> None:
    """Undo what labs do outside of their namespaces.

    Nodes lose labels and taints of the domain ``podium.test`` and are schedulable again; PriorityClasses whose names
    begin with ``lab-`` are deleted.
    """
    core, scheduling = CoreV1Api(api), SchedulingV1Api(api)
    for node in core.list_node(_request_timeout=REQUEST_LIMIT).items:
        labels = [key for key in node.metadata.labels if key.startswith(_DOMAIN)]
        taints = node.spec.taints or []
        kept = [taint for taint in taints if not taint.key.startswith(_DOMAIN)]
        if labels or kept != taints or node.spec.unschedulable:
            kept = ApiClient().sanitize_for_serialization(kept)
            body = {
                "metadata": {"labels": dict.fromkeys(labels)},
                "spec": {"taints": kept or None, "unschedulable": None},
            }
            core.patch_node(node.metadata.name, body, _request_timeout=REQUEST_LIMIT)
    for each in scheduling.list_priority_class(_request_timeout=REQUEST_LIMIT).items:
        if each.metadata.name.startswith("lab-"):
            _delete(partial(scheduling.delete_priority_class, each.metadata.name))


def _keep(core: CoreV1Api, namespace: str, config_map: str, data: dict[str, str]) -> None:
    """Put data into a ConfigMap, which is made where there is none."""
    try:
        core.patch_namespaced_config_map(config_map, namespace, {"data": data}, _request_timeout=REQUEST_LIMIT)
    except ApiException as problem:
        if problem.status != HTTPStatus.NOT_FOUND:
            raise
        create(core.api_client, namespace, {"kind": "ConfigMap", "metadata": {"name": config_map}, "data": data})


def _read(read: Callable[..., object]) -> object | None:
    """What ``read`` reads, or None where there is no such object."""
    try:
        return read(_request_timeout=REQUEST_LIMIT)
    except ApiException as problem:
        if problem.status != HTTPStatus.NOT_FOUND:
            raise
        return None


_delete = _read


def _wait_gone(read: Callable[..., object], what: str) -> None:
    wait_until(lambda: _read(read) is None, f"{what} to be gone", NAMESPACE_LIMIT)


class View:
    """What a check reads in one namespace.

    Args:
        api: The cluster.
        namespace: The namespace in which the learner worked.
    """

    def __init__(self, api: ApiClient, namespace: str) -> None:
        self.core = CoreV1Api(api)
        self.apps = AppsV1Api(api)
        self.namespace = namespace

    def nodes(self) -> dict[str, V1Node]:
        """The nodes for ordinary Pods, by name: no taint but a lab's, or one of its own condition, keeps Pods off."""
        return {
            node.metadata.name: node
            for node in self.core.list_node(_request_timeout=REQUEST_LIMIT).items
            if all(
                taint.key.startswith((_DOMAIN, "node.kubernetes.io/")) or taint.effect == "PreferNoSchedule"
                for taint in node.spec.taints or []
            )
        }

    def pod(self, name: str) -> V1Pod | None:
        """The Pod of this name that is not about to go, if there is one."""
        pod = _read(partial(self.core.read_namespaced_pod, name, self.namespace))
        return None if pod is None or pod.metadata.deletion_timestamp else pod

    def pods(self, selector: str = "") -> dict[str, V1Pod]:
        """The Pods of the namespace, or those with these labels, by name, without those that are about to go."""
        listed = self.core.list_namespaced_pod(
            self.namespace, label_selector=selector, _request_timeout=REQUEST_LIMIT
        ).items
        return {pod.metadata.name: pod for pod in listed if not pod.metadata.deletion_timestamp}

    def config_map(self, name: str) -> dict[str, str]:
        """The data of the ConfigMap of this name; empty where there is no such ConfigMap."""
        found = self.config_map_object(name)
        return (found and found.data) or {}

    def config_map_object(self, name: str) -> V1ConfigMap | None:
        """The ConfigMap of this name, if there is one."""
        return _read(partial(self.core.read_namespaced_config_map, name, self.namespace))

    def deployment(self, name: str) -> V1Deployment | None:
        """The Deployment of this name, if there is one."""
        return _read(partial(self.apps.read_namespaced_deployment, name, self.namespace))

    def drawn(self, task_id: str) -> str:
        """The name of the fault that was drawn for a task; empty where it has not been prepared."""
        seed = self.config_map("seed").get(task_id)
        return "" if seed is None else draw(start_of(task_id), seed).removeprefix("fault/")

    def lost(self, task_id: str) -> list[str]:
        """What has been lost, as paths, of what a task started from, apart from what the drawn fault concerns."""
        start = start_of(task_id)
        changes = start.get(f"fault/{self.drawn(task_id)}", {}).get("changes", {})
        gone: list[str] = []
        for name, manifest in start.items():
            if not name.startswith("fault/"):
                kind, own = manifest["kind"], manifest["metadata"]["name"]
                found = _read(partial(_call(self.core.api_client, "read", kind), own, self.namespace))
                there = self.core.api_client.sanitize_for_serialization(found) or {}
                wanted = {key: manifest[key] for key in ("spec", "data") if key in manifest}
                gone += lost(wanted, there, changes.get(name), name)
        return gone

    def events(self, name: str, reason: str = "") -> list[CoreV1Event]:
        """The events about the object of this name, or those with this reason."""
        fields = f"involvedObject.name={name}" + (f",reason={reason}" if reason else "")
        return self.core.list_namespaced_event(
            self.namespace, field_selector=fields, _request_timeout=REQUEST_LIMIT
        ).items

    def log(self, pod: str, container: str | None = None, previous: bool = False) -> str:
        """What a container has written, or wrote before its last restart; empty where there is nothing.

        It is the Pod's only container unless it is named.
        """
        try:
            # Undecoded, for the client would parse a log that happens to be JSON.
            answer = self.core.read_namespaced_pod_log(
                pod, self.namespace, previous=previous, limit_bytes=1 << 20,
                _preload_content=False, _request_timeout=REQUEST_LIMIT,
                **({"container": container} if container else {}),
            )  # fmt: skip
        except ApiException as problem:
            if problem.status not in (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND):
                raise
            return ""
        return answer.data.decode(errors="replace")

    def get(self, pod: str, port: int, path: str = "") -> int:
        """The HTTP status with which a Pod answers a GET; 503 where nothing answers."""
        return self.fetch(pod, port, path)[0]

    def fetch(self, pod: str, port: int, path: str = "") -> tuple[int, str]:
        """The HTTP status and the body with which a Pod answers a GET; 503 and nothing where nothing answers."""
        return _fetch(
            partial(self.core.connect_get_namespaced_pod_proxy_with_path, f"{pod}:{port}", self.namespace, path)
        )

    def service(self, name: str) -> V1Service | None:
        """The Service of this name, if there is one."""
        return _read(partial(self.core.read_namespaced_service, name, self.namespace))

    def fetch_service(self, name: str, port: int, path: str = "") -> tuple[int, str]:
        """The same, asked of a Service: one of the Pods behind it answers."""
        proxy = self.core.connect_get_namespaced_service_proxy_with_path
        return _fetch(partial(proxy, f"{name}:{port}", self.namespace, path))

    def backends(self, service: str, ready: bool = True) -> set[str]:
        """The names of the Pods to which a Service leads, or of those that it leaves out because they are not ready."""
        slices = DiscoveryV1Api(self.core.api_client).list_namespaced_endpoint_slice(
            self.namespace, label_selector=f"kubernetes.io/service-name={service}", _request_timeout=REQUEST_LIMIT
        )
        ends = [end for each in slices.items for end in each.endpoints or []]
        return {end.target_ref.name for end in ends if end.target_ref and bool(end.conditions.ready) == ready}

    def became(self, name: str) -> str:
        """What has become of ``pod/NAME``, ``deployment/NAME`` or ``daemonset/NAME``, in the words of :func:`start_of`,
        if anything yet.
        """
        kind, _, name = name.partition("/")
        if kind == "pod":
            return _became(self.pod(name))
        if kind == "daemonset":
            status = self.apps.read_namespaced_daemon_set(name, self.namespace).status
            return "runs" if status.number_available == status.desired_number_scheduled != 0 else ""
        deployment = self.deployment(name)
        return "runs" if deployment and deployment.status.available_replicas == deployment.spec.replicas else ""

    def settles(self, condition: Callable[[], T], quiet: float = SETTLE_LIMIT) -> T | None:
        """What ``condition`` returns once that is true; None if it does not come to that.

        It waits until nothing has happened to the Pods of the namespace for ``quiet`` seconds, or for as long as it
        takes a program to start where everything is slow; but not longer than START_LIMIT in all.
        """
        began = changed = time.monotonic()
        seen: frozenset = frozenset()
        while not (result := condition()):
            pods = self.pods().values()
            now, picture = time.monotonic(), frozenset(state for pod in pods for state in _states(pod))
            if picture != seen or any(map(_starting, pods)):
                seen, changed = picture, now
            patience = max([quiet, *(SLOWNESS * _start_took(pod) for pod in pods)])
            if now - changed > patience or now - began > START_LIMIT:
                return None
            time.sleep(0.5 + (now - changed) / 20)
        return result

    def stays_ready(self, name: str, quiet: float = SETTLE_LIMIT) -> bool:
        """Whether the Pod of this name comes to be Ready, and no container of it ends or restarts for a while.

        There is one wait for the start and one for what follows: a slow start does not use up the time for the rest.
        """
        seen: tuple[str | None, ...] = ()
        since = 0.0

        def steady() -> str:
            nonlocal seen, since
            pod = self.pod(name)
            if pod is None or is_over(pod):
                return "over"
            runs = tuple(status.container_id for status in containers(pod)) if is_ready(pod) else ()
            if runs != seen:
                seen, since = runs, time.monotonic()
            crashed = any(status.restart_count for status in containers(pod))
            return "ready" if runs and time.monotonic() - since >= (STEADY_AFTER_CRASH if crashed else STEADY) else ""

        def begun() -> str:
            pod = self.pod(name)
            return "over" if pod is None or is_over(pod) else "ready" if is_ready(pod) else ""

        return self.settles(begun, quiet) == "ready" and self.settles(steady) == "ready"


def _fetch(proxy: Callable[..., Any]) -> tuple[int, str]:
    try:
        answer = proxy(_preload_content=False, _request_timeout=REQUEST_LIMIT)
    except ApiException as problem:
        return problem.status, ""
    except (MaxRetryError, TimeoutError):  # it took the request, and says nothing
        return HTTPStatus.SERVICE_UNAVAILABLE, ""
    return answer.status, answer.data.decode(errors="replace")


def is_ready(pod: V1Pod) -> bool:
    """Whether the Pod has the condition Ready."""
    return any(condition.type == "Ready" and condition.status == "True" for condition in pod.status.conditions or ())


def is_over(pod: V1Pod) -> bool:
    """Whether all containers of the Pod have ended for good."""
    return pod.status.phase in ("Succeeded", "Failed")


def containers(pod: V1Pod) -> list[V1ContainerStatus]:
    """The status of each of the Pod's containers; empty while no node has the Pod."""
    return pod.status.container_statuses or []


def _became(pod: V1Pod | None) -> str:
    """What has become of a Pod, in the words of :func:`start_of`; empty while it is on its way."""
    if pod is None:
        return ""
    if is_over(pod):
        return "ends"
    if any(condition.reason == "Unschedulable" for condition in pod.status.conditions or ()):
        return "pends"
    if any(status.restart_count for status in containers(pod)):
        return "restarts"
    if is_ready(pod):
        return "runs"
    waiting = [status.state.waiting for status in containers(pod) if status.state.waiting]
    return (
        "waits" if any(state.reason not in (None, "ContainerCreating", "PodInitializing") for state in waiting) else ""
    )


def _states(pod: V1Pod) -> Iterator[tuple[str, ...]]:
    """What its containers are doing, unless one of them crashes again and again: that goes on for ever."""
    statuses = [*(pod.status.init_container_statuses or []), *containers(pod)]
    if max((status.restart_count for status in statuses), default=0) < 2:
        for status in statuses:
            doing = "runs" if status.state.running else "ended" if status.state.terminated else "waits"
            yield pod.metadata.uid, status.name, status.container_id, doing, str(status.ready)


def _starting(pod: V1Pod) -> bool:
    """Whether the Pod starts as soon as the scheduler or its node gets round to it: it waits for nothing else."""
    if _became(pod):
        return False
    sidecars = {each.name for each in pod.spec.init_containers or [] if each.restart_policy == "Always"}
    inits = pod.status.init_container_statuses or []
    if any(status.state.running for status in inits if status.name not in sidecars):
        return False
    return not containers(pod) or any(status.state.waiting for status in [*inits, *containers(pod)])


def _start_took(pod: V1Pod) -> float:
    """Seconds from the Pod's placement until its first container was started; 0 while none was."""
    placed = [c.last_transition_time for c in pod.status.conditions or [] if c.type == "PodScheduled"]
    statuses = [*(pod.status.init_container_statuses or []), *containers(pod)]
    states = [status.state for status in statuses if not status.restart_count]
    started = [ran.started_at for state in states if (ran := state.running or state.terminated) and ran.started_at]
    return (min(started) - placed[0]).total_seconds() if placed and started else 0.0


def running_since(pod: V1Pod) -> datetime | None:
    """When the last of the Pod's containers started, if all of them run."""
    states = [status.state.running for status in containers(pod)]
    return max(state.started_at for state in states) if states and all(states) else None


def state_of(pod: V1Pod | None) -> str:
    """The Pod's state as one sentence for a learner: its phase, and why a container does not run."""
    if pod is None:
        return "There is no such Pod."
    reasons = [
        f"{status.name}: {detail.reason}"
        for status in containers(pod)
        if (detail := status.state.waiting or status.state.terminated) and detail.reason
    ]
    ready = "Ready" if is_ready(pod) else "not Ready"
    return f"The Pod is {pod.status.phase}, {ready}" + (f" ({', '.join(reasons)})." if reasons else ".")
