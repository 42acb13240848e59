"""Components of a cluster broken on purpose, and mended; and faults in objects, drawn by a seed."""

import json
from collections.abc import Iterator
from copy import deepcopy
from hashlib import sha256
from typing import Any

from kubernetes.client import AppsV1Api

from podium.cluster import Cluster
from podium.waiting import wait_until

_ARGS = "podium.test/args"
"""The annotation that keeps the arguments that CoreDNS had before they were changed."""

_LIMIT = 90.0
"""Seconds that CoreDNS may take to fall or to rise."""


def draw(start: dict[str, dict], seed: str) -> str:
    """The key of the fault that this seed draws from what a task starts from; empty where it holds no faults."""
    faults = sorted(name for name in start if name.startswith("fault/"))
    return faults[int(sha256(f"{seed} {' '.join(faults)}".encode()).hexdigest(), 16) % len(faults)] if faults else ""


def merge(manifest: Any, changes: Any) -> Any:
    """A manifest with changes: of an object key by key, of a list of named things name by name, else as a whole."""
    if isinstance(manifest, dict) and isinstance(changes, dict):
        return manifest | {key: merge(manifest.get(key), value) for key, value in changes.items()}
    if _named(manifest) and _named(changes):
        new = {each["name"]: each for each in changes}
        return [merge(each, new.get(each["name"], {})) for each in manifest]
    return deepcopy(changes)


def lost(manifest: Any, found: Any, changes: Any = None, path: str = "") -> Iterator[str]:
    """What of a manifest is no longer found in an object, as paths.

    Args:
        manifest: What was there.
        found: What is there now.
        changes: Leave out what these changes concern.
        path: Where in the object this is.
    """
    if isinstance(manifest, dict) and isinstance(found, dict):
        for key, value in manifest.items():
            touched = changes.get(key) if isinstance(changes, dict) else None
            yield from lost(value, found.get(key), touched, f"{path}.{key}")
    elif _named(manifest) and _named(found):
        there = {each["name"]: each for each in found}
        touched = {each["name"]: each for each in changes} if _named(changes) else {}
        for each in manifest:
            name = each["name"]
            yield from lost(each, there.get(name), touched.get(name), f"{path}[{name}]")
    elif _objects(manifest) and _objects(found) and len(manifest) == len(found):
        for number, each in enumerate(manifest):
            touched = changes[number] if _objects(changes) else None
            yield from lost(each, found[number], touched, f"{path}[{number}]")
    elif changes is None and manifest != found:
        yield path


def _named(value: Any) -> bool:
    return _objects(value) and all("name" in each for each in value)


def _objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


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
