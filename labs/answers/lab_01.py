"""Answers to lab 01. The model answers are in the lab's source; here are right ones of another make, and wrong ones."""

import json

from autograder.cluster import start_of
from autograder.verify import Answers, Work, box

ANSWERS = Answers()
answer = ANSWERS.answer

SLEEP = box("main", "sleep", "infinity")


def nodes(work: Work) -> list[str]:
    """The nodes' names; it is the last one that is broken."""
    return sorted(node.metadata.name for node in work.core.list_node().items)


def start(work: Work, name: str) -> None:
    """Start what was stopped."""
    work.cluster.components[name].start()


# 01.1, who did it


def make_case(work: Work, **note: str) -> None:
    """Create the Deployment, and note who did what."""
    work.kubectl("create", "deployment", "case", "--image=podium.test/nginx:1.26")
    work.kubectl("rollout", "status", "deployment/case", "--timeout=180s")
    work.record("case-1", **note)


PROGRAMS = {
    "replicaset": "kube-controller-manager",
    "pod": "kube-controller-manager",
    "node": "kube-scheduler",
    "container": "kubelet",
}


@answer("01.1")
def by_the_programs(work: Work) -> None:
    make_case(work, **PROGRAMS)


@answer("01.1")
def by_the_controllers(work: Work) -> None:
    made = {"replicaset": "deployment-controller", "pod": "replicaset-controller"}
    make_case(work, **PROGRAMS | made | {"node": "default-scheduler", "container": "Kubelet"})


@answer("01.1", "replicaset", "pod", "node", "container")
def everything_by_the_api_server(work: Work) -> None:
    make_case(work, **dict.fromkeys(PROGRAMS, "kube-apiserver"))


@answer("01.1", "node", "container")
def scheduler_and_kubelet_swapped(work: Work) -> None:
    make_case(work, **PROGRAMS | {"node": "kubelet", "container": "kube-scheduler"})


@answer("01.1", "pod")
def deployments_make_pods(work: Work) -> None:
    make_case(work, **PROGRAMS | {"pod": "deployment-controller"})


@answer("01.1", "container")
def runtime_by_itself(work: Work) -> None:
    make_case(work, **PROGRAMS | {"container": "containerd"})


# 01.2, nobody takes the Pod


def bind(work: Work, pod: str) -> None:
    """Write into the API what a scheduler would: which node is to have the Pod."""
    binding = {"metadata": {"name": pod}, "target": {"apiVersion": "v1", "kind": "Node", "name": nodes(work)[-1]}}
    # https://github.com/kubernetes-client/python/issues/547: the client does not understand the answer.
    work.core.create_namespaced_pod_binding(pod, work.namespace, binding, _preload_content=False)


def wait_ready(work: Work, pod: str) -> None:
    """Wait until a Pod is ready."""
    work.kubectl("wait", "--for=condition=Ready", f"pod/{pod}", "--timeout=180s")


@answer("01.2")
def bound_by_the_api(work: Work) -> None:
    work.pod("urgent", SLEEP)
    bind(work, "urgent")
    wait_ready(work, "urgent")
    start(work, "kube-scheduler")
    work.record("case-2", component="kube-scheduler")


@answer("01.2")
def node_in_the_manifest(work: Work) -> None:
    work.record("case-2", component="Scheduler")
    work.pod("urgent", SLEEP, nodeName=nodes(work)[0])
    start(work, "kube-scheduler")


@answer("01.2", "by-hand")
def urgent_had_to_wait(work: Work) -> None:
    start(work, "kube-scheduler")
    work.pod("urgent", SLEEP)
    work.record("case-2", component="kube-scheduler")


@answer("01.2", "named")
def suspects_the_kubelet(work: Work) -> None:
    work.pod("urgent", SLEEP, nodeName=nodes(work)[0])
    start(work, "kube-scheduler")
    work.record("case-2", component="kubelet")


@answer("01.2", "mended")
def both_by_hand(work: Work) -> None:
    work.pod("urgent", SLEEP, nodeName=nodes(work)[0])
    bind(work, "stranded")
    work.record("case-2", component="kube-scheduler")


# 01.4, nothing comes of it

MANAGER = {"component": "kube-controller-manager", "missing": "ReplicaSet"}


def want(work: Work, replicas: int) -> None:
    """Say how many there are to be."""
    work.kubectl("scale", "deployment", "stall", f"--replicas={replicas}")


@answer("01.4")
def wish_as_a_patch(work: Work) -> None:
    work.record("case-4", **MANAGER)
    work.apps.patch_namespaced_deployment("stall", work.namespace, {"spec": {"replicas": 3}})
    start(work, "kube-controller-manager")


@answer("01.4")
def made_anew_meanwhile(work: Work) -> None:
    work.kubectl("delete", "deployment", "stall", "--timeout=180s")
    manifest = start_of("01.4")["deployment/stall"]
    work.apply(manifest | {"spec": manifest["spec"] | {"replicas": 3}})
    start(work, "kube-controller-manager")
    work.record("case-4", component="controller-manager", missing="replicasets")


@answer("01.4", "wish")
def wish_comes_late(work: Work) -> None:
    start(work, "kube-controller-manager")
    work.kubectl("rollout", "status", "deployment/stall", "--timeout=180s")
    want(work, 3)
    work.record("case-4", **MANAGER)


@answer("01.4", "named", "missing")
def suspects_the_scheduler(work: Work) -> None:
    want(work, 3)
    start(work, "kube-controller-manager")
    work.record("case-4", component="kube-scheduler", missing="Pod")


@answer("01.4", "mended", "wish")
def pods_by_hand(work: Work) -> None:
    for name in ("stall-1", "stall-2", "stall-3"):
        work.pod(name, SLEEP, labels={"app": "stall"})
    want(work, 3)
    work.record("case-4", **MANAGER)


# 01.5, a node falls silent


def silent(work: Work, **note: str) -> None:
    """Note what is wrong with the node."""
    work.record("case-5", **{"component": "kubelet", "node": nodes(work)[-1], "ready": "Unknown"} | note)


@answer("01.5")
def note_first(work: Work) -> None:
    silent(work)
    start(work, f"{nodes(work)[-1]}/kubelet")


@answer("01.5")
def watch_made_anew(work: Work) -> None:
    work.kubectl("delete", "daemonset", "watch", "--timeout=180s")
    start(work, f"{nodes(work)[-1]}/kubelet")
    work.apply(start_of("01.5")["daemonset/watch"])
    silent(work, component=f"{nodes(work)[-1]}/kubelet", ready="unknown")


@answer("01.5", "named")
def suspects_the_runtime(work: Work) -> None:
    start(work, f"{nodes(work)[-1]}/kubelet")
    silent(work, component="containerd")


@answer("01.5", "node", "verdict")
def the_other_node(work: Work) -> None:
    start(work, f"{nodes(work)[-1]}/kubelet")
    silent(work, node=nodes(work)[0], ready="False")


@answer("01.5", "mended")
def round_the_node(work: Work) -> None:
    silent(work)
    only = {"spec": {"template": {"spec": {"nodeSelector": {"kubernetes.io/hostname": nodes(work)[0]}}}}}
    work.kubectl("patch", "daemonset", "watch", "--patch", json.dumps(only))


# 01.6, an address that leads nowhere


def lost(work: Work, **note: str) -> None:
    """Note what is wrong with the way to the Service."""
    work.record("case-6", **{"component": "kube-proxy", "node": nodes(work)[-1], "address": "yes"} | note)


@answer("01.6")
def note_before(work: Work) -> None:
    lost(work)
    start(work, f"{nodes(work)[-1]}/kube-proxy")


@answer("01.6")
def with_new_customers(work: Work) -> None:
    start(work, f"{nodes(work)[-1]}/kube-proxy")
    work.kubectl("rollout", "restart", "daemonset/customers")
    work.kubectl("rollout", "status", "daemonset/customers", "--timeout=180s")
    lost(work, component=f"{nodes(work)[-1]}/kube-proxy", address="Yes")


@answer("01.6", "named")
def suspects_the_dns(work: Work) -> None:
    start(work, f"{nodes(work)[-1]}/kube-proxy")
    lost(work, component="coredns")


@answer("01.6", "node", "address")
def suspects_the_network(work: Work) -> None:
    start(work, f"{nodes(work)[-1]}/kube-proxy")
    lost(work, node=nodes(work)[0], address="no")


@answer("01.6", "mended")
def service_made_anew(work: Work) -> None:
    lost(work)
    work.kubectl("delete", "service", "web")
    work.apply(start_of("01.6")["service/web"])


# 01.7, nobody is to blame


def told(work: Work, *arguments: str) -> None:
    """Give the depot's program these arguments."""
    patch = [{"op": "replace", "path": "/spec/template/spec/containers/0/args", "value": list(arguments)}]
    work.kubectl("patch", "deployment", "depot", "--type=json", f"--patch={json.dumps(patch)}")
    work.kubectl("rollout", "status", "deployment/depot", "--timeout=180s")


def depot(work: Work, **note: str) -> None:
    """Note what is wrong with the depot."""
    work.record("case-7", **{"component": "none", "flag": "--http-port"} | note)


@answer("01.7")
def another_port_for_the_program(work: Work) -> None:
    told(work, "netexec", "--http-port=8080", "--udp-port=-1")
    depot(work, component="None", flag="http-port=8008")


@answer("01.7")
def another_port_for_the_service(work: Work) -> None:
    depot(work)
    patch = {"spec": {"ports": [{"port": 80, "targetPort": 8008}]}}
    work.kubectl("patch", "service", "depot", "--patch", json.dumps(patch))


@answer("01.7", "innocent")
def suspects_the_proxy_again(work: Work) -> None:
    told(work, "netexec")
    depot(work, component="kube-proxy")


@answer("01.7", "mended")
def switched_off_and_on(work: Work) -> None:
    depot(work)
    work.kubectl("rollout", "restart", "deployment/depot")
    work.kubectl("rollout", "status", "deployment/depot", "--timeout=180s")


@answer("01.7", "flag", "mended")
def another_flag(work: Work) -> None:
    told(work, "netexec", "--http-port=8008", "--udp-port=8080")
    depot(work, flag="--udp-port")
