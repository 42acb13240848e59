"""Upstream's conformance tests, on a cluster of Podium's: https://www.cncf.io/training/certification/software-conformance/.

``python -m tests.conformance [FOCUS]`` compiles k8s.io/kubernetes/test/e2e at the version in ``go.mod``, starts two
nodes, gives Podium's images the names that the tests ask for, and runs every conformance test, or those whose name
FOCUS (a regular expression) is found in. The exit status is that of the tests; their report is in
``build/conformance``.

Some need images that only upstream's registry has, and fail where it is not reached. Those of ConfigMaps and Secrets in
the environment fail because the shell of Debian's busybox does not pass on variables with a dash in their name.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from node import RECIPE
from podium import Cluster, paths

HERE, REPORT = Path(__file__).parent, Path(__file__).parents[2] / "build/conformance"
REGISTRY = "podium.test"
# What the tests ask for, and what comes near: test/utils/image/manifest.go in k8s.io/kubernetes.
NAMES = {
    "agnhost:2.55": "agnhost:2.66.1",
    "glibc-dns-testing:2.1.1": "agnhost:2.66.1",
    "busybox:1.37.0-2": "busybox:1.37",
    "nginx:1.27.0-2": "nginx:1.26",
    "nginx:1.28.0-2": "nginx:1.26",
}


def compiled() -> Path:
    """The tests as a program, compiled unless that was done before."""
    pin = tomllib.loads((RECIPE / "lock.toml").read_text())["kubernetes"]
    flags = " ".join(pin["ldflags"]).format_map(pin)  # some tests ask which version they are of
    key = hashlib.sha256((HERE / "go.sum").read_bytes() + flags.encode()).hexdigest()[:16]
    program = paths.cache_dir() / f"conformance-{key}" / "e2e.test"
    if not program.exists():
        if not shutil.which("go"):
            sys.exit("Go is needed to compile upstream's tests: https://go.dev/dl/")
        print("Compiling upstream's tests: a quarter of an hour on two processors …", flush=True)
        options = ("-c", "-trimpath", "-vet=off", "-ldflags", flags, "-o", f"{program}.new")
        environment = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "auto", "GOFLAGS": "-mod=readonly"}
        subprocess.run(["go", "test", *options, "k8s.io/kubernetes/test/e2e"], cwd=HERE, env=environment, check=True)
        Path(f"{program}.new").rename(program)
    return program


def run(focus: str) -> int:
    """Run the tests; return their exit status."""
    program = compiled()
    REPORT.mkdir(parents=True, exist_ok=True)
    (REPORT / "registries.yaml").write_text(f"promoterE2eRegistry: {REGISTRY}\n")
    with Cluster(f"conformance-{os.getpid()}", nodes=2) as cluster:
        for node in cluster.nodes():
            for asked, ours in NAMES.items():
                names = (f"{REGISTRY}/{ours}", f"{REGISTRY}/{asked}")
                cluster.node_exec(node, ["ctr", "--namespace=k8s.io", "images", "tag", *names])
        environment = os.environ | {
            "KUBECONFIG": str(cluster.kubeconfig_path),
            "KUBE_TEST_REPO_LIST": str(REPORT / "registries.yaml"),
        }
        return subprocess.run(
            [
                "setpriv", "--pdeathsig=KILL", program, "-provider=skeleton", f"-kubectl-path={cluster.kubectl_path}",
                "-ginkgo.label-filter=Conformance", f"-ginkgo.focus={focus}", "-ginkgo.timeout=6h", "-ginkgo.v",
                "-ginkgo.fail-on-empty", f"-report-dir={REPORT}", "-disable-log-dump=true",
            ], env=environment, check=False,
        ).returncode  # fmt: skip


if __name__ == "__main__":
    sys.exit(run(*sys.argv[1:2] or [""]))
