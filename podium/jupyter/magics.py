"""``%kubectl`` and ``%%apply``: kubectl on the cluster, without a shell."""

import os
import shlex
import subprocess

from IPython.core.interactiveshell import InteractiveShell
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class

from podium.cluster import DEFAULT_NAME, Cluster
from podium.errors import PodiumError


@magics_class
class PodiumMagics(Magics):
    """What ``%load_ext podium`` adds; kernels that ``podium lab`` starts have it from the beginning."""

    @line_magic
    def kubectl(self, line: str) -> None:
        """``%kubectl get pods``: run kubectl, show what it says as it comes; stop it to end what watches.

        Raises:
            PodiumError: It failed, or there is no cluster; its own words are in the message.
        """
        _run(shlex.split(line))

    @cell_magic
    def apply(self, line: str, cell: str) -> None:
        """``%%apply``, with a manifest below: ``kubectl apply -f -``. More flags may follow: ``%%apply -n shop``.

        Raises:
            PodiumError: It failed, or there is no cluster; the API server's own words are in the message.
        """
        _run(["apply", "-f", "-", *shlex.split(line)], cell)


def _run(arguments: list[str], text: str = "") -> None:
    cluster = Cluster(os.environ.get("PODIUM_CLUSTER") or DEFAULT_NAME)
    if not cluster.is_running():
        raise PodiumError(f"Cluster {cluster.name!r} does not run.", "Start it: podium.open()")
    with subprocess.Popen(
        [cluster.kubectl_path, *arguments], env=cluster.environment(), text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as kubectl:  # fmt: skip
        assert kubectl.stdin
        assert kubectl.stdout
        try:
            kubectl.stdin.write(text)
            kubectl.stdin.close()
            for line in kubectl.stdout:
                print(line, end="", flush=True)
        except KeyboardInterrupt:
            kubectl.terminate()
            return
    if kubectl.returncode:
        raise PodiumError(f"kubectl {' '.join(arguments)} ended with exit status {kubectl.returncode}.")


def register(shell: InteractiveShell) -> None:
    """Add the magics to a shell."""
    shell.register_magics(PodiumMagics)
