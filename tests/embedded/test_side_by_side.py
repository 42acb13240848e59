"""Two clusters on one machine: they don't meet, and no Pod of theirs, however privileged, reaches the machine."""

import json
import os
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from podium import bundle, paths
from podium.cluster import Cluster, clusters
from podium.embedded import network
from podium.errors import PodiumError

pytestmark = pytest.mark.bundle

BUSYBOX = "podium.test/busybox:1.37"

Pair = tuple[Cluster, Cluster]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """Two clusters that were started at the same time, each with a Pod called ``intruder`` that may do everything."""
    spec = {
        "hostNetwork": True, "hostPID": True, "hostIPC": True, "terminationGracePeriodSeconds": 0,
        "volumes": [{"name": "node", "hostPath": {"path": "/"}}],
        "containers": [{
            "name": "main", "image": BUSYBOX, "command": ["sleep", "infinity"],
            "securityContext": {"privileged": True}, "volumeMounts": [{"name": "node", "mountPath": "/node"}],
        }],
    }  # fmt: skip
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "intruder"}, "spec": spec}
    two = (Cluster(f"left-{os.getpid()}", nodes=1), Cluster(f"right-{os.getpid()}", nodes=1))
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        list(pool.map(stack.enter_context, two))
        for cluster in two:
            cluster.kubectl("create", "-f", "-", input=json.dumps(pod))
        for cluster in two:
            cluster.kubectl("wait", "--for=condition=Ready", "pod/intruder", "--timeout=90s")
        yield two


def _ports(cluster: Cluster) -> dict[str, int]:
    return json.loads((paths.state_dir() / cluster.name / "cluster.json").read_text())["ports"]


def _run(cluster: Cluster, script: str) -> str:
    """What a script prints in the Pod that may do everything, in the first process's place of its node."""
    return cluster.exec("intruder", ["chroot", "/node", "sh", "-c", script])


def test_names_and_ports_do_not_clash(pair: Pair) -> None:
    left, right = pair
    assert {left.name, right.name} <= {cluster.name for cluster in clusters()}
    ports = [port for cluster in pair for port in _ports(cluster).values()]
    assert len(set(ports)) == len(ports)
    left.kubectl("create", "configmap", "only-left")
    with pytest.raises(PodiumError, match="not found"):
        right.kubectl("get", "configmap", "only-left")


def test_nodes_of_the_same_address_are_two(pair: Pair) -> None:
    left, right = pair
    _run(left, "echo left > /var/mark")
    assert _run(right, "cat /var/mark 2>/dev/null || echo nothing") == "nothing\n"
    assert [_run(cluster, "ip -brief address show vec0").split()[2] for cluster in pair] == [
        f"{network.node_address(1)}/{network.SUBNET.partition('/')[2]}"
    ] * 2


def test_no_file_of_the_machine_can_be_read(pair: Pair, tmp_path: Path) -> None:
    """Not by its path, not by a file system that user-mode Linux has for it, nor by a device: it has two disks."""
    file = tmp_path / "secret"
    file.write_text("a secret of the machine")
    folder = paths.state_dir() / pair[1].name
    script = f"""
        cat {file} /proc/1/root{file} 2>/dev/null
        ls -d {folder} {folder}/egress.sock 2>/dev/null
        mkdir -p /run/machine
        for kind in hostfs humfs 9p virtiofs; do
            mount -t $kind none /run/machine -o / 2>/dev/null && cat /run/machine{file}
        done
        for place in /dev/mem /dev/port /dev/kmem /proc/kcore; do
            dd if=$place bs=1 count=1 2>/dev/null && echo $place
        done
        ls /proc/modules /proc/mconsole 2>/dev/null
        for disk in /sys/block/*; do echo ${{disk##*/}}; done
    """
    assert _run(pair[0], script).split() == ["ubda", "ubdb"]


def test_what_nodes_share_is_never_written_to(pair: Pair) -> None:
    """The image below the first disk is every cluster's, and the settings on the second are written here."""
    settings = paths.state_dir() / pair[0].name / "node-1/settings.tar"
    before, image = settings.read_bytes(), bundle.current().disk
    changed = image.stat().st_mtime_ns
    with pytest.raises(PodiumError, match="dd"):
        _run(pair[0], "dd if=/dev/zero of=/dev/ubdb bs=512 count=1 conv=fsync")
    _run(pair[0], "dd if=/dev/zero of=/var/large bs=1M count=1 conv=fsync; sync")
    assert settings.read_bytes() == before
    assert image.stat().st_mtime_ns == changed


class _Greeter(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(b"a secret of the machine")


@contextmanager
def _listener(address: str) -> Iterator[int]:
    """The port on which the machine greets whoever connects to one of its addresses."""
    with socketserver.ThreadingTCPServer((address, 0), _Greeter) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_the_machine_s_network_cannot_be_reached(pair: Pair) -> None:
    """Not its loopback, even if the Pod sends packets for 127.0.0.0/8 out on the wire, and not its own addresses."""
    left, right = pair
    ports = _ports(left)
    own = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=True).stdout.split()
    with _listener("127.9.9.9") as loopback, _listener("0.0.0.0") as anywhere:
        targets = [("127.9.9.9", loopback), (network.GATEWAY, anywhere), ("0.0.0.0", anywhere)]
        targets += [(address, anywhere) for address in own if ":" not in address]
        targets += [(address, port) for port in _ports(right).values() for address in (network.GATEWAY, "127.9.9.9")]
        routes = f"""
            echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet
            ip route replace table local 127.9.9.9/32 via {network.GATEWAY} dev vec0
            ip route get 127.9.9.9
        """
        assert f"via {network.GATEWAY} dev vec0" in _run(left, routes)
        assert _reached(left, [(network.GATEWAY, port) for port in ports.values()]) == [
            f"{network.GATEWAY}:{ports['api']}"
        ]
        assert _reached(left, targets) == []


def _reached(cluster: Cluster, targets: list[tuple[str, int]]) -> list[str]:
    """The targets that take a connection from the Pod that may do everything."""
    script = "".join(
        f"(busybox nc -w 3 {address} {port} </dev/null >/dev/null 2>&1 && echo {address}:{port}) &\n"
        for address, port in targets
    )
    return _run(cluster, f"{script}wait").split()
