"""The seed of every cluster: etcd's data after a control plane has made its roles, namespaces and add-ons once.

A new cluster begins with a copy of it and saves the seconds that those would take. Nothing in it is secret and nothing
belongs to one cluster: what does (the authority's certificate, leases, the API server's address) is taken out, and
the new cluster's components write their own.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import yaml

from node import RECIPE
from podium.embedded import controlplane
from podium.embedded.backend import Embedded
from podium.embedded.files import Bundle
from podium.errors import PodiumError
from podium.waiting import wait_until

NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease", "local-path-storage")
_LIMIT = 120.0  # seconds for each thing that is waited for

_LATER = ("APIService", "Deployment")
"""What each cluster makes for itself, when its nodes have time for it."""

_OWN = (
    "/registry/events/",
    "/registry/leases/",
    "/registry/masterleases/",
    "/registry/ranges/",
    "/registry/services/endpoints/default/kubernetes",
    "/registry/endpointslices/default/kubernetes",
    "/registry/configmaps/kube-system/extension-apiserver-authentication",
    *(f"/registry/configmaps/{namespace}/kube-root-ca.crt" for namespace in NAMESPACES),
)


def make(bundle: Bundle, out: Path) -> None:
    """Make the seed.

    Args:
        bundle: A bundle with its programs.
        out: The folder to make.

    Raises:
        PodiumError: The control plane did not come up, or an object could not be made.
    """
    with tempfile.TemporaryDirectory(prefix="podium-seed-") as home:
        cluster = Embedded("seed", Path(home) / "seed", lambda: bundle)
        cluster.up_empty()
        try:
            _fill(cluster, bundle)
            for name in ("kube-scheduler", "kube-controller-manager", "kube-apiserver"):
                cluster.components()[name].stop()
            for key in _OWN:
                _etcdctl(cluster, "del", "--prefix", key)
            revision = json.loads(_etcdctl(cluster, "endpoint", "status", "--write-out=json"))[0]["Status"]["header"][
                "revision"
            ]
            _etcdctl(cluster, "compact", "--physical", str(revision))
            _etcdctl(cluster, "defrag")
            snapshot = Path(home) / "snapshot"
            _etcdctl(cluster, "snapshot", "save", str(snapshot))
        finally:
            cluster.down()
        ports = controlplane.Ports.free(set())  # any will do: each cluster announces its own
        peer = f"https://127.0.0.1:{ports.etcd_peer}"
        flags = {"data-dir": out, "initial-cluster": f"default={peer}", "initial-advertise-peer-urls": peer}
        _run([str(bundle.program("etcdutl")), "snapshot", "restore", str(snapshot), *controlplane.argv("", flags)[1:]])
    for file in out.rglob("*"):  # etcd lets its owner alone read it: a bundle that root made serves every user
        file.chmod(0o755 if file.is_dir() else 0o644)


def _fill(cluster: Embedded, bundle: Bundle) -> None:
    def kubectl(*argv: str, text: str | None = None) -> str:
        environment = os.environ | {"KUBECONFIG": str(cluster.folder / "super-admin.conf")}
        return _run([str(bundle.program("kubectl")), *argv], text, environment)

    dns = _run(
        [
            str(bundle.program("kubeadm")), "init", "phase", "addon", "coredns", "--print-manifest",
            f"--kubernetes-version={_run([str(bundle.program('kubeadm')), 'version', '-o', 'short']).strip()}",
            "--service-cidr=10.96.0.0/16",
        ]
    )  # fmt: skip
    kubectl("apply", "-f", "-", text=dns.replace("replicas: 2", "replicas: 1"))
    for manifest in sorted((RECIPE / "manifests").glob("*.yaml")):
        objects = [entry for entry in yaml.safe_load_all(manifest.read_text()) if entry and entry["kind"] not in _LATER]
        kubectl("apply", "-f", "-", text=yaml.safe_dump_all(objects))

    def complete() -> bool:
        accounts = kubectl(
            "get",
            "serviceaccounts",
            "-A",
            "-o",
            "jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {end}",
        )
        return all(f"{namespace}/default" in accounts.split() for namespace in NAMESPACES)

    wait_until(complete, "the default service accounts", _LIMIT, every=0.5)
    wait_until(
        lambda: kubectl("get", "pods", "-A", "-o", "name").count("pod/") == 1,
        "the Pod of CoreDNS to be made",
        _LIMIT,
        every=0.5,
    )


def _etcdctl(cluster: Embedded, *argv: str) -> str:
    command, folder = cluster.etcdctl()
    return _run([*command, *argv], cwd=folder)


def _run(
    command: list[str], text: str | None = None, environment: dict[str, str] | None = None, cwd: Path | None = None
) -> str:
    done = subprocess.run(
        command, input=text, env=environment, cwd=cwd, capture_output=True, text=True, timeout=_LIMIT, check=False
    )
    if done.returncode:
        raise PodiumError(f"{Path(command[0]).name} failed while the seed was made: {done.stderr.strip()}")
    return done.stdout
