"""What a cluster does for its user: kubectl's verbs, the network, storage, limits."""

import json
import subprocess
import tarfile
import urllib.request
from pathlib import Path

import pytest
from kubernetes import client

from podium.cluster import Cluster
from podium.errors import PodiumError, UsageError
from podium.waiting import wait_until

BUSYBOX = "podium.test/busybox:1.37"


def _pod(cluster: Cluster, namespace: str, name: str, wait: bool = True, **spec: object) -> str:
    container = {"name": "main", "image": BUSYBOX, "command": ["sleep", "infinity"]} | spec.pop("container", {})  # type: ignore[operator]
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]} | spec,
    }
    cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest))
    if wait:
        cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", f"pod/{name}", "--timeout=90s")
    return name


def _status(cluster: Cluster, namespace: str, name: str) -> dict:
    return json.loads(cluster.kubectl("get", "pod", "-n", namespace, name, "-o", "json"))["status"]


@pytest.mark.both
def test_two_nodes_are_ready_with_the_pinned_version(cluster: Cluster) -> None:
    nodes = client.CoreV1Api(cluster.api).list_node().items
    assert sorted(node.metadata.name for node in nodes) == cluster.nodes() == ["node-1", "node-2"]
    assert {node.status.node_info.kubelet_version for node in nodes} == {"v1.37.0"}
    assert {node.status.node_info.container_runtime_version for node in nodes} == {"containerd://2.4.2"}


@pytest.mark.both
def test_kubectl_says_what_was_wrong(cluster: Cluster) -> None:
    with pytest.raises(PodiumError, match='pods "nobody" not found'):
        cluster.kubectl("get", "pod", "nobody")


@pytest.mark.both
def test_exec_logs_and_attach(cluster: Cluster, namespace: str) -> None:
    loop = {"command": ["sh", "-c", "i=0; while :; do echo line $i; i=$((i+1)); sleep 1; done"]}
    _pod(cluster, namespace, "talker", container=loop)
    assert cluster.exec("talker", ["cat"], namespace=namespace, input="through the pipe") == "through the pipe"
    with pytest.raises(PodiumError, match="exit code 3"):
        cluster.exec("talker", ["sh", "-c", "exit 3"], namespace=namespace)
    wait_until(lambda: "line 0\n" in cluster.logs("talker", namespace=namespace), "the first line in the log", 30)
    for verb in (["logs", "-f"], ["attach"]):
        with subprocess.Popen(
            [cluster.kubectl_path, *verb, "-n", namespace, "talker"],
            stdout=subprocess.PIPE, text=True, env=cluster.environment(), stdin=subprocess.DEVNULL,
        ) as following:  # fmt: skip
            assert following.stdout
            assert following.stdout.readline().startswith("line")
            following.kill()


@pytest.mark.both
def test_copy_to_and_from_a_container(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    _pod(cluster, namespace, "store")
    (tmp_path / "there").write_bytes(bytes(range(256)) * 1000)
    cluster.kubectl("cp", str(tmp_path / "there"), f"{namespace}/store:/tmp/file")
    cluster.kubectl("cp", f"{namespace}/store:/tmp/file", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "there").read_bytes()


@pytest.mark.both
def test_debug_joins_a_container_to_a_pod(cluster: Cluster, namespace: str) -> None:
    _pod(cluster, namespace, "patient")
    cluster.kubectl(
        "debug",
        "-n",
        namespace,
        "patient",
        f"--image={BUSYBOX}",
        "--target=main",
        "-c",
        "doctor",
        "--",
        "sh",
        "-c",
        "ps; sleep 100",
    )

    def seen() -> bool:
        try:
            return "sleep infinity" in cluster.logs("patient", namespace=namespace, container="doctor")
        except PodiumError:
            return False  # the container has not started yet

    wait_until(seen, "the ephemeral container to see the other's processes", limit=60, every=1)


@pytest.mark.both
def test_proxy_and_top(cluster: Cluster) -> None:
    node = cluster.nodes()[0]
    assert json.loads(cluster.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/configz"))["kubeletconfig"]

    def top() -> str:
        try:
            return cluster.kubectl("top", "nodes")
        except PodiumError:
            return ""

    assert node in wait_until(top, "metrics-server's first figures", limit=120, every=2)
    if cluster.backend == "embedded":  # what brings it waits as long as it takes: the seed's deadlines are over
        assert "deadline" not in (cluster.kubeconfig_path.parent / "logs/add-ons.log").read_text()


@pytest.mark.both
def test_containers_of_a_pod_meet_at_localhost(cluster: Cluster, namespace: str) -> None:
    """Which is ::1 first where there is IPv6; busybox asks no other address."""
    spec = {"containers": [{"name": "web", "image": "podium.test/nginx:1.26"},
                           {"name": "client", "image": BUSYBOX, "command": ["sleep", "infinity"]}]}  # fmt: skip
    _pod(cluster, namespace, "pair", **spec)
    asking = "for _ in $(seq 30); do wget -q -O - http://localhost/ && exit; sleep 1; done; exit 1"  # it may just begin
    page = cluster.exec("pair", ["sh", "-c", asking], namespace, "client")
    assert "Welcome to nginx!" in page


@pytest.mark.both
def test_a_service_reaches_pods_on_both_nodes_by_name_and_node_port(cluster: Cluster, namespace: str) -> None:
    for node in cluster.nodes():
        command = ["sh", "-c", f"mkdir /www; echo {node} > /www/index.html; exec httpd -f -p 8080 -h /www"]
        container = {
            "command": command,
            "ports": [{"containerPort": 8080}],
            "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        }
        _pod(cluster, namespace, f"web-{node}", nodeName=node, container=container)
        cluster.kubectl("label", "-n", namespace, "pod", f"web-{node}", "role=web")
    cluster.kubectl("create", "service", "nodeport", "-n", namespace, "web", "--tcp=80:8080")
    cluster.kubectl("set", "selector", "-n", namespace, "service/web", "role=web")
    _pod(cluster, namespace, "asker")

    def answers(url: str) -> set[str]:
        script = f"for i in 1 2 3 4 5 6 7 8 9 10 11 12; do wget -q -T 2 -O - {url} || true; done"
        return set(cluster.exec("asker", ["sh", "-c", script], namespace=namespace).split())

    assert wait_until(lambda: answers("http://web") == set(cluster.nodes()), "both Pods to answer by name", limit=60)
    port = cluster.kubectl("get", "service", "-n", namespace, "web", "-o", "jsonpath={.spec.ports[0].nodePort}")
    address = cluster.kubectl("get", "node", cluster.nodes()[1], "-o", "jsonpath={.status.addresses[0].address}")
    assert answers(f"http://{address}:{port}") == set(cluster.nodes())
    with (
        cluster.port_forward("service/web", 80, "-n", namespace) as local,
        urllib.request.urlopen(f"http://127.0.0.1:{local}", timeout=10) as response,
    ):
        assert response.read().decode().strip() in cluster.nodes()
    # A Pod reaches itself through its Service.
    assert cluster.exec(
        f"web-{cluster.nodes()[0]}",
        ["sh", "-c", "for i in 1 2 3 4 5 6; do wget -q -T 2 -O - http://web; done"],
        namespace=namespace,
    )


@pytest.mark.both
def test_a_claim_is_bound_and_outlives_its_pod(cluster: Cluster, namespace: str) -> None:
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Mi"}}},
    }  # fmt: skip
    cluster.kubectl("apply", "-f", "-", input=json.dumps(claim))
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    mounts = [{"name": "data", "mountPath": "/data"}]
    write = {"command": ["sh", "-c", "echo kept > /data/file; sleep infinity"], "volumeMounts": mounts}
    _pod(cluster, namespace, "writer", volumes=volumes, container=write)
    cluster.kubectl("delete", "pod", "-n", namespace, "writer")
    _pod(cluster, namespace, "reader", volumes=volumes, container={"volumeMounts": mounts})
    assert cluster.exec("reader", ["cat", "/data/file"], namespace=namespace) == "kept\n"


def test_a_memory_limit_bites(cluster: Cluster, namespace: str) -> None:
    eat = {"command": ["sh", "-c", "tail /dev/zero"], "resources": {"limits": {"memory": "20Mi"}}}
    _pod(cluster, namespace, "glutton", wait=False, restartPolicy="Never", container=eat)

    def reason() -> str:
        states = _status(cluster, namespace, "glutton").get("containerStatuses", [{}])
        return states[0].get("state", {}).get("terminated", {}).get("reason", "")

    assert wait_until(reason, "the container to be ended", limit=60) == "OOMKilled"


def test_a_processor_limit_throttles(cluster: Cluster, namespace: str) -> None:
    spin = {"command": ["sh", "-c", "while :; do :; done"], "resources": {"limits": {"cpu": "100m"}}}
    _pod(cluster, namespace, "spinner", container=spin)

    pod = json.loads(cluster.kubectl("get", "pod", "-n", namespace, "spinner", "-o", "json"))
    files = [
        "find",
        "/sys/fs/cgroup",
        "-path",
        f"*pod{pod['metadata']['uid'].replace('-', '[-_]')}*",
        "-name",
        "cpu.stat",
    ]

    def throttled() -> int:
        """Read on the node: in the container, a command would have to share the tenth of a processor."""
        lines = cluster.node_exec(pod["spec"]["nodeName"], [*files, "-exec", "grep", "nr_throttled", "{}", ";"])
        return max(int(line.split()[-1]) for line in lines.splitlines())

    wait_until(lambda: throttled() > 10, "the container to be throttled", limit=60, every=1)


def test_security_context_is_obeyed(cluster: Cluster, namespace: str) -> None:
    secure = {
        "command": [
            "sh", "-c",
            "id -u; id -g; grep Seccomp: /proc/self/status; touch /file || echo read-only; sleep infinity",
        ],
        "securityContext": {
            "readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
        },
    }  # fmt: skip
    context = {"runAsUser": 1234, "runAsGroup": 4321, "seccompProfile": {"type": "RuntimeDefault"}}
    _pod(cluster, namespace, "careful", securityContext=context, container=secure)
    words = wait_until(
        lambda: "\nread-only\n" in (log := cluster.logs("careful", namespace=namespace)) and log,
        "the log to be whole",
        30,
    )
    assert words.split("\n")[:2] == ["1234", "4321"]
    assert "Seccomp:\t2" in words
    assert "read-only" in words


@pytest.mark.both
def test_pod_security_admission_refuses_a_privileged_pod(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    with pytest.raises(PodiumError, match="violates PodSecurity"):
        _pod(cluster, namespace, "mighty", container={"securityContext": {"privileged": True}})


@pytest.mark.both
def test_init_containers_sidecars_probes_and_hooks(cluster: Cluster, namespace: str) -> None:
    shared = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    init = [
        {"name": "first", "image": BUSYBOX, "command": ["sh", "-c", "echo init > /shared/log"]} | shared,
        {"name": "beside", "image": BUSYBOX, "command": ["sleep", "infinity"], "restartPolicy": "Always"} | shared,
    ]
    main = {
        "lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "echo hook >> /shared/log"]}}},
        "startupProbe": {"exec": {"command": ["grep", "hook", "/shared/log"]}, "periodSeconds": 1},
        "livenessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1},
        "readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1},
    } | shared
    _pod(cluster, namespace, "whole", volumes=[{"name": "shared", "emptyDir": {}}], initContainers=init, container=main)
    assert cluster.exec("whole", ["cat", "/shared/log"], namespace=namespace, container="beside") == "init\nhook\n"


@pytest.mark.both
def test_an_image_archive_can_be_loaded(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    from podium import bundle

    source = next(bundle.current().images.glob("*busybox*.tar"))
    renamed = tmp_path / "renamed.tar"
    with tarfile.open(source) as old, tarfile.open(renamed, "w") as new:
        for member in old:
            file = old.extractfile(member) if member.isfile() else None
            if member.name == "index.json" and file:
                import io

                text = file.read().replace(b"podium.test/busybox:1.37", b"podium.test/renamed:1.00")
                member.size, file = len(text), io.BytesIO(text)
            if member.name != "manifest.json":
                new.addfile(member, file)
    cluster.load_image(renamed)
    _pod(cluster, namespace, "loaded", container={"image": "podium.test/renamed:1.00", "imagePullPolicy": "Never"})


@pytest.mark.both
def test_what_is_no_image_is_refused_with_a_sentence(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "no.tar").write_bytes(b"no image at all")
    with pytest.raises(PodiumError, match="could not import"):
        cluster.load_image(tmp_path / "no.tar")
    with pytest.raises(UsageError, match="There is no image archive"):
        cluster.load_image(tmp_path / "absent.tar")


@pytest.mark.both
def test_the_store_and_the_audit_log_tell_of_a_pod(cluster: Cluster, namespace: str) -> None:
    _pod(cluster, namespace, "seen")
    stored = json.loads(cluster.etcd("get", f"/registry/pods/{namespace}/seen", "--write-out=json"))
    assert stored["count"] == 1
    verbs = {
        (event["verb"], event["objectRef"].get("subresource", ""), event["user"]["username"])
        for event in cluster.audit_log()
        if event.get("objectRef", {}).get("namespace") == namespace and event["objectRef"].get("name") == "seen"
    }
    assert ("create", "binding", "system:kube-scheduler") in verbs
    assert any(verb == "patch" and sub == "status" and user.startswith("system:node:") for verb, sub, user in verbs)


@pytest.mark.both
def test_a_node_is_added_and_removed_while_the_cluster_runs(cluster: Cluster, namespace: str) -> None:
    name = cluster.add_node()
    try:
        assert cluster.nodes() == ["node-1", "node-2", name]
        _pod(cluster, namespace, "guest", nodeName=name)
        assert cluster.exec("guest", ["echo", "here"], namespace=namespace) == "here\n"
    finally:
        cluster.remove_node(name)
    assert cluster.nodes() == ["node-1", "node-2"]
    assert name not in cluster.kubectl("get", "nodes")


@pytest.mark.parametrize("count", [0, 6])
@pytest.mark.bundle
def test_a_number_of_nodes_out_of_range_is_bad_usage(count: int) -> None:
    with pytest.raises(UsageError, match="1 to 5 nodes"):
        Cluster("never", nodes=count).up()


@pytest.mark.both
def test_a_watch_of_the_store_ends_with_its_block(cluster: Cluster) -> None:
    newest = json.loads(cluster.etcd("get", "/registry/health", "--write-out=json"))["header"]["revision"]
    with cluster.etcd_watch("/registry/", newest) as answers:
        assert next(answers)["Events"]
    assert not list(answers)
