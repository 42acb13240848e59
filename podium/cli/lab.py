"""``podium lab``: JupyterLab on the cluster."""

import argparse
import json
import os
import sys
from typing import Any, NoReturn

import podium


def register(commands: Any) -> None:
    """Add the subcommand to ``podium``."""
    command = commands.add_parser(
        "lab",
        help="JupyterLab on the cluster",
        description="Start the cluster, or join the one that runs, and serve JupyterLab on it from this folder. "
        "A cluster that was started here ends with the server.",
    )
    command.add_argument("--nodes", type=int, default=2, metavar="N", help="how many nodes to start (default: 2)")
    command.add_argument("--backend", choices=("auto", "kind", "embedded"), default="auto")
    command.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> NoReturn:
    """Become the JupyterLab server: the cluster is owned by this process, and so ends with the server."""
    cluster = podium.open(backend=arguments.backend, nodes=arguments.nodes, owner=os.getpid())
    os.environ["KUBECONFIG"] = str(cluster.kubeconfig_path)
    programs = (os.path.dirname(sys.executable), str(cluster.kubectl_path.parent), os.environ.get("PATH", os.defpath))
    os.environ["PATH"] = os.pathsep.join(programs)
    print("The cluster is ready. JupyterLab comes up in a few seconds; Ctrl-C ends both.", flush=True)
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", *_options()])


def _options() -> list[str]:
    """How JupyterLab is started: on loopback only, with the token that it makes itself and prints with its address."""
    options = ["--ServerApp.ip=127.0.0.1", "--log-level=ERROR"]
    # A login shell would set PATH anew, and kubectl would be gone from it.
    shell = os.environ.get("SHELL") or "sh"
    options.append(f"--ServerApp.terminado_settings={json.dumps({'shell_command': [shell]})}")
    if os.geteuid() == 0:
        options.append("--allow-root")
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        options.append("--no-browser")
    return options
