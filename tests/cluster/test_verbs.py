"""What kubectl does through long connections, and a Service that is not TCP."""

import json
import re
import subprocess
import urllib.request

from podium.cluster import Cluster
from podium.errors import PodiumError
from podium.waiting import wait_until


def test_attach_reads_and_writes(cluster: Cluster, namespace: str) -> None:
    run = ["run", "-n", namespace, "echo", "--image=podium.test/busybox:1.37", "--stdin", "--attach=false"]
    cluster.kubectl(*run, "--", "sh", "-c", "while read -r line; do echo got $line; done")
    cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/echo", "--timeout=90s")
    with subprocess.Popen(
        [cluster.kubectl_path, "attach", "--stdin", "-n", namespace, "echo"], env=cluster.environment(), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as attached:  # fmt: skip
        assert attached.stdin
        assert attached.stdout
        attached.stdin.write("it\n")
        attached.stdin.flush()
        assert attached.stdout.readline() == "got it\n"
        attached.kill()


def test_proxy_opens_the_api_on_loopback(cluster: Cluster) -> None:
    with subprocess.Popen(
        [cluster.kubectl_path, "proxy", "--port=0"], env=cluster.environment(), text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    ) as proxy:  # fmt: skip
        assert proxy.stdout
        address = re.search(r"127\.0\.0\.1:\d+", proxy.stdout.readline())
        assert address
        with urllib.request.urlopen(f"http://{address[0]}/api/v1/nodes", timeout=10) as answer:
            assert {node["metadata"]["name"] for node in json.load(answer)["items"]} == set(cluster.nodes())
        proxy.kill()


def test_a_service_carries_udp_between_nodes(cluster: Cluster, namespace: str) -> None:
    image = next(i for i in _images(cluster) if "/agnhost:" in i)
    for name, node in zip(("server", "client"), cluster.nodes(), strict=True):
        container = {"name": "main", "image": image, "args": ["netexec", "--http-port=8080", "--udp-port=8081"]}
        pod = {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
            "spec": {"nodeName": node, "terminationGracePeriodSeconds": 0, "containers": [container]},
        }  # fmt: skip
        cluster.kubectl("create", "-f", "-", input=json.dumps(pod))
    cluster.kubectl("wait", "-n", namespace, "--for=condition=Ready", "pod/server", "pod/client", "--timeout=90s")
    cluster.kubectl("expose", "-n", namespace, "pod", "server", "--protocol=UDP", "--port=53", "--target-port=8081")
    pod = f"/api/v1/namespaces/{namespace}/pods/client:8080/proxy"
    dial = f"{pod}/dial?host=server&port=53&protocol=udp&request=hostname&tries=1"

    def answers() -> bool:
        try:
            return json.loads(cluster.kubectl("get", "--raw", dial)).get("responses") == ["server"]
        except PodiumError:  # the client runs, but does not listen yet
            return False

    wait_until(answers, "the server to answer through its Service", limit=60)


def _images(cluster: Cluster) -> list[str]:
    return cluster.node_exec(cluster.nodes()[0], ["ctr", "-n", "k8s.io", "images", "list", "-q"]).split()
