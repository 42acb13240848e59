"""Components of a cluster broken on purpose, and mended."""

import json

from kubernetes.client import AppsV1Api

from podium.cluster import Cluster
from podium.waiting import wait_until

_ARGS = "podium.test/args"
"""The annotation that keeps the arguments that CoreDNS had before they were changed."""

_LIMIT = 90.0
"""Seconds that CoreDNS may take to fall or to rise."""


def inject(cluster: Cluster, fault: dict) -> None:
    """Break a component as a manifest of the kind ``Component`` says.

    Args:
        cluster: The cluster.
        fault: ``metadata.name`` is the component's name. One of a node is broken on the last node, by name. It is
            stopped, unless ``flags`` says to which values its flags are set; that works with CoreDNS.

    Raises:
        WaitedTooLong: It did not fall.
    """
    name = fault["metadata"]["name"]
    if not (flags := fault.get("flags")):
        known = cluster.components
        known[name if name in known else f"{sorted(cluster.nodes())[-1]}/{name}"].stop()
        return
    deployment = AppsV1Api(cluster.api).read_namespaced_deployment(name, "kube-system")
    old = deployment.spec.template.spec.containers[0].args
    new = [flags.get(before, each) for before, each in zip([None, *old], old, strict=False)]
    _set_args(cluster, name, new, json.dumps(old))
    wait_until(lambda: not cluster.components[name].health(), f"{name} to fall", _LIMIT)


def mend(cluster: Cluster) -> None:
    """Put right what :func:`inject` may have broken, as far as nobody has done so yet.

    Raises:
        PodiumError: A component did not start.
        WaitedTooLong: CoreDNS did not become ready.
    """
    for component in cluster.components.values():
        if component.state == "stopped":
            component.start()
    deployment = AppsV1Api(cluster.api).read_namespaced_deployment("coredns", "kube-system")
    if old := (deployment.metadata.annotations or {}).get(_ARGS):
        _set_args(cluster, "coredns", json.loads(old), None)
        wait_until(cluster.components["coredns"].health, "CoreDNS to be ready", _LIMIT)


def _set_args(cluster: Cluster, name: str, args: list[str], note: str | None) -> None:
    container = {"name": name, "args": args}
    body = {
        "metadata": {"annotations": {_ARGS: note}},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }
    AppsV1Api(cluster.api).patch_namespaced_deployment(name, "kube-system", body)
