"""What bash knows in a terminal of JupyterLab."""

import subprocess
from pathlib import Path

from podium import Cluster
from podium.jupyter.server import BASHRC

PRESS_TAB = """
COMP_WORDS=(kubectl get node nod) COMP_CWORD=3 COMP_LINE="kubectl get node nod" COMP_POINT=20
__start_kubectl kubectl 2>/dev/null
echo "${COMPREPLY[@]}"
kubectl config current-context >/dev/null && command -v kubectl
"""


def test_bash_completes_names_whatever_the_users_own_file_does(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / ".bashrc").write_text("PATH=/usr/bin:/bin\nunset KUBECONFIG\n")
    done = subprocess.run(
        ["bash", "--rcfile", BASHRC, "-i", "-c", PRESS_TAB], env=cluster.environment() | {"HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["node-1", "node-2", str(cluster.kubectl_path)]
