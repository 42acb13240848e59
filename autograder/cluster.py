"""The cluster as the autograder sees it: how to reach it, a lab's namespace, and what checks read there."""

import os
import time
from collections.abc import Callable
from datetime import datetime
from functools import partial
from http import HTTPStatus
from typing import TypeVar

import yaml
from kubernetes import config, utils
from kubernetes.client import ApiClient, ApiException, CoreV1Api, V1ContainerStatus, V1Namespace, V1ObjectMeta, V1Pod

import podium
from autograder.manifest import find_lab, find_task
from podium.errors import PodiumError, WaitedTooLong
from podium.waiting import wait_until

T = TypeVar("T")

REQUEST_LIMIT = 10.0
"""Seconds that one request to the API server may take."""

SETTLE_LIMIT = 25.0
"""Seconds that a check waits for what needs time, such as a Pod that is starting."""

STEADY = 3.0
"""Seconds that a Pod must stay Ready: a container that crashes is Ready for a moment, and longer on a busy node."""

STEADY_AFTER_CRASH = 12.0
"""The same for a Pod whose containers have been restarted: longer than the first back-off, which is 10 s."""

START_LIMIT = 90.0
"""Seconds that the Pods of a task may take to run, to end, or to fail, whichever they are meant to."""

NAMESPACE_LIMIT = 180.0
"""Seconds that a namespace may take to come or to go: none goes while an extension of the API is still starting."""


def connect() -> ApiClient:
    """A client of the cluster under test.

    It is Podium's, or the one that ``KUBECONFIG`` leads to where that is set and ``PODIUM_CLUSTER`` is not.

    Raises:
        PodiumError: There is no such cluster, or it could not be started.
    """
    kubeconfig = os.environ.get("KUBECONFIG")
    if not kubeconfig or os.environ.get("PODIUM_CLUSTER"):
        return podium.open().api
    try:
        return config.new_client_from_config(kubeconfig)
    except config.ConfigException as problem:
        raise PodiumError(f"KUBECONFIG leads to no cluster: {problem}.", "Unset it to use Podium's own.") from problem


def begin(lab_id: str, api: ApiClient | None = None, fresh: bool = False) -> str:
    """Make a lab's namespace, unless it is there already, and return its name.

    Args:
        lab_id: The lab's id.
        api: The cluster; by default the one that :func:`connect` finds.
        fresh: Remove what is in the namespace first.

    Raises:
        WaitedTooLong: The namespace did not become ready.
    """
    core = CoreV1Api(api or connect())
    name = find_lab(lab_id).namespace
    if fresh:
        remove_namespace(core, name)
    make_namespace(core, name)
    return name


def end(lab_id: str, api: ApiClient | None = None) -> None:
    """Remove a lab's namespace and everything in it.

    Args:
        lab_id: The lab's id.
        api: The cluster; by default the one that :func:`connect` finds.

    Raises:
        WaitedTooLong: The namespace did not go away.
    """
    remove_namespace(CoreV1Api(api or connect()), find_lab(lab_id).namespace)


def prepare(task_id: str, api: ApiClient | None = None, namespace: str | None = None) -> None:
    """Put the Pods that a task starts from into the namespace, and wait until they do what they are meant to do.

    Those that are there already are made anew.

    Args:
        task_id: The task's id.
        api: The cluster; by default the one that :func:`connect` finds.
        namespace: Where to put them; by default the lab's namespace.

    Raises:
        PodiumError: The API server refused one of them.
        WaitedTooLong: A Pod of the same name did not go away, or a new one did not settle.
    """
    api = api or connect()
    core, namespace = CoreV1Api(api), namespace or find_task(task_id).lab.namespace
    start = start_of(task_id)
    becomes = {name: pod.pop("becomes") for name, pod in start.items()}
    for name, pod in start.items():
        _delete(partial(core.delete_namespaced_pod, name, namespace, grace_period_seconds=0))
        _wait_gone(partial(core.read_namespaced_pod, name, namespace), f"the old Pod {name}")
        try:
            utils.create_from_dict(api, pod, namespace=namespace, _request_timeout=REQUEST_LIMIT)
        except utils.FailToCreateError as problem:
            raise PodiumError(f"The Pod {name} of task {task_id} could not be created: {problem}") from problem
    view = View(api, namespace)
    wait_until(
        lambda: {name: _became(view.pod(name)) for name in becomes} == becomes,
        f"the Pods of task {task_id} ({', '.join(f'{name} {word}' for name, word in becomes.items())})",
        START_LIMIT,
        every=0.3,
    )


def start_of(task_id: str) -> dict[str, dict]:
    """The Pods that a task starts from, by their names.

    Returns:
        Manifests that also say, under ``becomes``, what is to be waited for: that the Pod ``runs``, ``ends``, ``waits``
        for what does not come, or ``restarts``.
    """
    return {pod["metadata"]["name"]: pod for pod in yaml.safe_load_all(find_task(task_id).start.read_text())}


def make_namespace(core: CoreV1Api, name: str) -> None:
    """Make a namespace, unless it is there, and wait until Pods can be created in it."""
    try:
        core.create_namespace(V1Namespace(metadata=V1ObjectMeta(name=name)), _request_timeout=REQUEST_LIMIT)
    except ApiException as problem:
        if problem.status != HTTPStatus.CONFLICT:
            raise
    account = partial(core.read_namespaced_service_account, "default", name)
    wait_until(lambda: _read(account), f"the default service account of namespace {name}", NAMESPACE_LIMIT)


def remove_namespace(core: CoreV1Api, name: str) -> None:
    """Remove a namespace, its Pods without a grace period, and wait until it is gone."""
    _delete(partial(core.delete_collection_namespaced_pod, name, grace_period_seconds=0))
    _delete(partial(core.delete_namespace, name))
    _wait_gone(partial(core.read_namespace, name), f"namespace {name}")


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
        self.namespace = namespace

    def pod(self, name: str) -> V1Pod | None:
        """The Pod of this name that is not about to go, if there is one."""
        pod = _read(partial(self.core.read_namespaced_pod, name, self.namespace))
        return None if pod is None or pod.metadata.deletion_timestamp else pod

    def pods(self) -> dict[str, V1Pod]:
        """All Pods of the namespace by their names, without those that are about to go."""
        listed = self.core.list_namespaced_pod(self.namespace, _request_timeout=REQUEST_LIMIT).items
        return {pod.metadata.name: pod for pod in listed if not pod.metadata.deletion_timestamp}

    def config_map(self, name: str) -> dict[str, str]:
        """The data of the ConfigMap of this name; empty where there is no such ConfigMap."""
        found = _read(partial(self.core.read_namespaced_config_map, name, self.namespace))
        return (found and found.data) or {}

    def log(self, pod: str) -> str:
        """What the only container of a Pod has written; empty where it has none yet or its name is needed."""
        try:
            # Undecoded, for the client would parse a log that happens to be JSON.
            answer = self.core.read_namespaced_pod_log(
                pod, self.namespace, limit_bytes=1 << 20, _preload_content=False, _request_timeout=REQUEST_LIMIT
            )
        except ApiException as problem:
            if problem.status not in (HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND):
                raise
            return ""
        return answer.data.decode(errors="replace")

    def get(self, pod: str, port: int, path: str = "") -> int:
        """The HTTP status with which a Pod answers a GET; 503 where nothing answers."""
        try:
            return self.core.connect_get_namespaced_pod_proxy_with_path(
                f"{pod}:{port}", self.namespace, path, _preload_content=False, _request_timeout=REQUEST_LIMIT
            ).status
        except ApiException as problem:
            return problem.status

    def settles(self, condition: Callable[[], T]) -> T | None:
        """What ``condition`` returns once that is true; None if it does not come to that within the limit."""
        try:
            return wait_until(condition, "the cluster to settle", SETTLE_LIMIT, every=0.5)
        except WaitedTooLong:
            return None

    def stays_ready(self, name: str) -> bool:
        """Whether the Pod of this name comes to be Ready, and no container of it ends or restarts for a while."""
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

        return self.pod(name) is not None and self.settles(steady) == "ready"


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
    if any(status.restart_count for status in containers(pod)):
        return "restarts"
    if is_ready(pod):
        return "runs"
    waiting = [status.state.waiting for status in containers(pod) if status.state.waiting]
    return (
        "waits" if any(state.reason not in (None, "ContainerCreating", "PodInitializing") for state in waiting) else ""
    )


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
