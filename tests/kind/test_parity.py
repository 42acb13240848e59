"""A lesson may ask the same of a cluster on both backends, but for what docs/backends.md says, with its reason."""

import json
import os
import re
import ssl
import urllib.error
import urllib.request
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes.client import AppsV1Api, CoreV1Api, RbacAuthorizationV1Api, SchedulingV1Api, StorageV1Api

from podium.cluster import Cluster
from podium.errors import PodiumError, UsageError
from podium.waiting import wait_until

pytestmark = [pytest.mark.kind, pytest.mark.bundle]

TABLE = Path(__file__).parents[2] / "docs/backends.md"
POD = """
apiVersion: v1
kind: Pod
metadata: {name: parity}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: main, image: "podium.test/busybox:1.37", command: [sleep, infinity]}]
"""
PROGRAMS = ("busybox", "crictl", "ctr", "curl", "ip", "iptables-save", "journalctl", "nsenter", "ps", "runc", "unshare")
DOORS = ("/version", "/livez", "/api", "/api/v1/namespaces/kube-public/configmaps/cluster-info")
Asked = dict[str, set[str]]


def asked(cluster: Cluster) -> Asked:
    """What a lesson can ask, and all that the cluster answers."""
    core = CoreV1Api(cluster.api)
    cluster.kubectl("apply", "--filename=-", input=POD)
    cluster.kubectl("wait", "--for=condition=Ready", "pod/parity", "--timeout=120s")
    wait_until(lambda: _settled(cluster), "the add-ons to run", limit=240, every=1)
    answers = _of_the_api(cluster) | _of_the_nodes(cluster, core) | _of_a_pod(cluster, core) | _of_components(cluster)
    return answers | {"removal of node-1": {_removal(cluster)}}


def _settled(cluster: Cluster) -> bool:
    try:
        cluster.kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1")  # metrics-server comes last
    except PodiumError:
        return False
    return all(c.state == "running" for c in cluster.components.values())


def _of_the_api(cluster: Cluster) -> Asked:
    kubectl, storage, apps = cluster.kubectl, StorageV1Api(cluster.api), AppsV1Api(cluster.api)
    roles = RbacAuthorizationV1Api(cluster.api)
    workloads = [*apps.list_deployment_for_all_namespaces().items, *apps.list_daemon_set_for_all_namespaces().items]
    return {
        "API versions": set(kubectl("api-versions").split()),
        "API resources": set(kubectl("api-resources", "--no-headers", "--output=name").split()),
        "namespaces": set(kubectl("get", "namespaces", "--output=name").split()),
        "Services": {
            f"{each.metadata.namespace}/{each.metadata.name} {each.spec.cluster_ip}"
            for each in CoreV1Api(cluster.api).list_service_for_all_namespaces().items
            if each.metadata.name != "metrics-server"  # its address is drawn
        },
        "workloads": {f"{each.metadata.namespace}/{each.metadata.name}" for each in workloads},
        "StorageClasses": {
            f"{each.metadata.name}: {each.provisioner}, {each.volume_binding_mode}, {each.reclaim_policy}, "
            + each.metadata.annotations.get("storageclass.kubernetes.io/is-default-class", "false")
            for each in storage.list_storage_class().items
        },
        "PriorityClasses": {each.metadata.name for each in SchedulingV1Api(cluster.api).list_priority_class().items},
        "ClusterRoles": {each.metadata.name for each in roles.list_cluster_role().items},
        "ClusterRoleBindings": {each.metadata.name for each in roles.list_cluster_role_binding().items},
        "ConfigMaps and Secrets": set(kubectl("get", "configmaps,secrets", "-n", "kube-system", "-o", "name").split()),
        "context": {kubectl("config", "current-context").strip().replace(cluster.name, "NAME")},
        "user": set(kubectl("auth", "whoami", "--output=jsonpath={.status.userInfo.username}").split()),
        "without credentials": _doors(cluster),
    }


def _doors(cluster: Cluster) -> set[str]:
    """What the API server answers to somebody without credentials."""
    server = yaml.safe_load(cluster.kubeconfig_path.read_text())["clusters"][0]["cluster"]["server"]
    blind = ssl._create_unverified_context()
    found = set()
    for path in DOORS:
        try:
            with urllib.request.urlopen(server + path, timeout=10, context=blind) as answer:
                found.add(f"{path} {answer.status}")
        except urllib.error.HTTPError as error:
            found.add(f"{path} {error.code}")
    return found


def _of_the_nodes(cluster: Cluster, core: CoreV1Api) -> Asked:
    nodes = core.list_node().items
    first = nodes[0].metadata.name
    images = json.loads(cluster.node_exec(first, ["crictl", "images", "--output=json"]))["images"]
    tags = {tag for image in images for tag in image["repoTags"]}
    system = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "etcd")
    info = [node.status.node_info for node in nodes]
    programs = f"for p in {' '.join(PROGRAMS)}; do command -v $p >/dev/null && echo $p; done; true"
    return {
        "nodes": {node.metadata.name for node in nodes},
        "node labels": {
            f"{node.metadata.name} {key}={value}" for node in nodes for key, value in node.metadata.labels.items()
        },
        "taints": {f"{node.metadata.name} {taint.key}" for node in nodes for taint in node.spec.taints or []},
        "node conditions": {f"{c.type}={c.status}" for node in nodes for c in node.status.conditions},
        "what a node has": {key for node in nodes for key in node.status.capacity if not key.startswith("hugepages-")},
        "Pod ranges": {node.spec.pod_cidr for node in nodes},
        "versions": {f"{i.kubelet_version} {i.container_runtime_version} {i.operating_system}" for i in info},
        "kernels of two nodes": {str(len({i.boot_id for i in info}))},
        "images": {tag for tag in tags if not any(f"/{name}:" in tag for name in system)},
        "programs on a node": set(cluster.node_exec(first, ["sh", "-c", programs]).split()),
        "network plug-ins": set(cluster.node_exec(first, ["ls", "/opt/cni/bin"]).split()),
    }


def _removal(cluster: Cluster) -> str:
    """Whether the first node can be removed."""
    try:
        cluster.remove_node("node-1")
    except UsageError:
        return "refused"
    return "done"


def _of_a_pod(cluster: Cluster, core: CoreV1Api) -> Asked:
    pod = core.read_namespaced_pod("parity", "default")
    resolver = cluster.exec("parity", ["cat", "/etc/resolv.conf"]).splitlines()
    reasons = {event.reason for event in core.list_namespaced_event("default").items if _about(event)}
    found = cluster.exec("parity", ["nslookup", "kubernetes.default.svc.cluster.local"])
    return {
        "name server": {line for line in resolver if line.startswith(("search", "nameserver", "options"))},
        "the name kubernetes.default": set(re.findall(r"Address: (\S+)$", found, re.MULTILINE)),
        "fields of a Pod": set(_paths(pod.to_dict())),
        "conditions of a Pod": {f"{c.type}={c.status}" for c in pod.status.conditions},
        "events of a Pod": reasons,
        "audit events of a Pod": {
            " ".join(
                [
                    re.sub(r"node-\d", "NODE", event["user"]["username"]),
                    event["verb"], event["objectRef"].get("subresource", ""), event["level"],
                ]
            ).replace("  ", " ")
            for event in cluster.audit_log()
            if event.get("objectRef", {}).get("name") == "parity" and event["objectRef"]["resource"] == "pods"
            and event["stage"] == "ResponseComplete" and event["verb"] != "watch"
        },
    }  # fmt: skip


def _about(event: Any) -> bool:
    return event.involved_object.name == "parity"


def _paths(value: Any, path: str = "") -> list[str]:
    """The fields of an object that are set, as paths."""
    if isinstance(value, dict):
        return [name for key, inside in value.items() for name in _paths(inside, f"{path}.{key}".lstrip("."))]
    if isinstance(value, list):
        return [name for inside in value for name in _paths(inside, f"{path}[]")]
    return [] if value is None else [path]


def _of_components(cluster: Cluster) -> Asked:
    components = cluster.components.values()
    flags: Asked = {}
    for component in components:
        flags.setdefault(f"flags of {component.name.rpartition('/')[2]}", set()).update(component.flags)
    return flags | {
        "components": {f"{c.name} on {c.node}: {c.state}, {'well' if c.health() else 'ill'}" for c in components},
        "components' metrics": {c.name for c in components if "# TYPE" in c.metrics()},
        "components' logs": {c.name for c in components if c.log()},
        "keys of the store": {
            "/".join(key.split("/")[:3])
            for key in cluster.etcd("get", "/registry/", "--prefix", "--keys-only").split()
        },
    }  # fmt: skip


def expected() -> dict[str, tuple[set[str], set[str]]]:
    """The rows of the table: what was asked, what only the embedded backend answers, and what only kind does."""
    rows = {}
    lines = TABLE.read_text().partition("\n| asked |")[2].splitlines()
    for line in takewhile(lambda line: line.startswith("|"), lines[2:]):
        _, what, embedded, kind, reason, _ = (cell.strip() for cell in line.split("|"))
        assert reason, f"{what} has no reason"
        rows[what] = (set(re.findall("`(.*?)`", embedded)), set(re.findall("`(.*?)`", kind)))
    return rows


def test_the_backends_answer_the_same_but_for_what_the_table_says() -> None:
    table = expected()
    clusters = [
        Cluster(f"parity-{os.getpid()}-{backend}", nodes=2, backend=backend) for backend in ("embedded", "kind")
    ]
    with clusters[0], clusters[1]:  # pristine ones
        embedded, kind = map(asked, clusters)
    found = {what: (embedded[what] - kind[what], kind[what] - embedded[what]) for what in embedded}
    assert {what: both for what, both in found.items() if any(both)} == table
