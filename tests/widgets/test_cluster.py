"""Map, Store and X-ray of a real cluster, without a front end."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from kubernetes.client import ApiClient, CoreV1Api

from podium import Cluster
from podium.waiting import wait_until
from podium.widgets import Map, Store, XRay
from podium.widgets.base import Live, Watch

TWO = """apiVersion: v1
kind: Pod
metadata: {name: two}
spec:
  volumes: [{name: shared, emptyDir: {}}]
  containers:
  - name: web
    image: podium.test/nginx:1.26
    resources: {limits: {memory: 64Mi, cpu: 500m}}
    volumeMounts: [{name: shared, mountPath: /usr/share/nginx/html, readOnly: true}]
  - name: writer
    image: podium.test/busybox:1.37
    command: [sleep, "3600"]
    volumeMounts: [{name: shared, mountPath: /data}]
"""


@contextmanager
def closing(picture: Live) -> Iterator[Live]:
    try:
        yield picture
    finally:
        picture.close()


def shows(picture: Live, *what: str) -> None:
    wait_until(lambda: all(part in picture.html for part in what), f"{what} in {picture.html}", limit=60)


def test_the_map_shows_where_pods_run_and_what_a_stopped_scheduler_means(cluster: Cluster, namespace: str) -> None:
    with closing(Map(cluster)) as picture:
        shows(picture, "Compute node node-1", "Compute node node-2")
        picture._hear(picture, {"view": "one", "do": "stop", "arg": "kube-scheduler"}, [])
        try:
            wait_until(
                lambda: cluster.components["kube-scheduler"].state == "stopped", "the scheduler to stop", limit=30
            )
            picture.do_component("kube-scheduler")
            shows(picture, "new Pods get no node", "Start kube-scheduler")
            cluster.kubectl("run", "web", "--image=podium.test/nginx:1.26", "-n", namespace)
            shows(picture, "Pods without a node", f"Pod {namespace}/web: Pending")
        finally:
            picture._hear(picture, {"view": "one", "do": "start", "arg": "kube-scheduler"}, [])
        shows(picture, f"Pod {namespace}/web: Running")
        picture.do_tab("flags")
        shows(picture, "--kubeconfig", "Stop kube-scheduler")
        picture.do_tab("metrics")
        shows(picture, "scheduler_schedule_attempts_total")


def test_the_store_shows_a_key_raw_and_decoded_and_what_changed(cluster: Cluster, namespace: str) -> None:
    key = f"/registry/configmaps/{namespace}/colours"
    with closing(Store(cluster)) as picture:
        cluster.kubectl("create", "configmap", "colours", "--from-literal=sky=blue", "-n", namespace)
        shows(picture, key, "+ created")
        picture.do_key(key)
        shows(picture, "protobuf: v1 ConfigMap", "6b 38 73 00", "sky: blue", "version 1 of this key")
        cluster.kubectl("label", "configmap", "colours", "seen=yes", "-n", namespace)
        shows(picture, "version 2 of this key", "▸ changed with revision")
        cluster.kubectl("delete", "configmap", "colours", "-n", namespace)
        shows(picture, "This key is deleted")


@pytest.mark.cgroup2
def test_the_xray_shows_what_the_kernel_has(cluster: Cluster, namespace: str) -> None:
    with closing(XRay("two", namespace, cluster)) as picture:
        assert "There is no Pod" in picture.html
        cluster.kubectl("apply", "-f", "-", "-n", namespace, input=TWO)
        cluster.kubectl("wait", "--for=condition=Ready", "pod/two", "-n", namespace, "--timeout=90s")
        number = cluster.exec("two", ["readlink", "/proc/self/ns/net"], namespace, "writer").strip()
        shows(picture, number.removeprefix("net:[").removesuffix("]"), "⇄ shared by all", "≠ each its own")
        shows(picture, "of 64.0 MiB", " of 0.5 cores", "sleep 3600")
        picture._before = None  # as at the first look, when no rate is known
        assert "at most 0.5 cores" in picture.draw()
        cluster.exec("two", ["sh", "-c", "sh -c 'sleep 4321\ntrue' >/dev/null 2>&1 &"], namespace, "writer")
        shows(picture, "sleep 4321 true")
        shows(picture, "/data</code>, writable", "/usr/share/nginx/html</code>, read-only")
        cluster.kubectl("delete", "pod", "two", "-n", namespace, "--now")
        shows(picture, "gone: this is what it was", "sleep 3600")


def test_a_watch_that_the_api_server_calls_expired_begins_anew(cluster: Cluster) -> None:
    """From a revision that etcd has compacted: 410 Gone, as a watch gets it that slept for too long."""
    asked: list[str] = []

    def nodes(api: ApiClient) -> Callable[..., Any]:
        function = CoreV1Api(api).list_node

        def old(**arguments: Any) -> Any:
            asked.append(arguments.get("resource_version", "list"))
            if "resource_version" in arguments and asked.count("list") == 1:
                arguments["resource_version"] = "1"  # the client's library asks once more by itself
            return function(**arguments)

        old.__doc__ = function.__doc__  # the client's library reads from it what a watch brings
        return old

    watch = Watch(cluster, nodes, lambda: None)
    try:
        wait_until(lambda: asked.count("list") == 2, "a new list after the one that was too old", limit=60)
        wait_until(lambda: len(watch.objects) == len(cluster.nodes()), "all nodes", limit=60)
        assert not watch.problem
    finally:
        watch.close()


@pytest.mark.all
def test_a_map_lives_through_an_api_server_that_is_away(cluster: Cluster) -> None:
    with closing(Map(cluster)) as picture:
        cluster.components["kube-apiserver"].stop()
        try:
            shows(picture, "⚠ The API server does not answer.", "Compute node node-1")
        finally:
            cluster.components["kube-apiserver"].start()
        wait_until(lambda: "does not answer" not in picture.html, "the picture to recover", limit=60)
