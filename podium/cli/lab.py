"""``podium lab``: JupyterLab on the cluster."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import NoReturn

from podium.cluster import open as open_cluster

_CONFIG = Path(__file__).parent / "jupyter"
"""Without announcements: JupyterLab would ask each learner about news, over the lesson's text
(https://jupyterlab.readthedocs.io/en/stable/user/announcements.html)."""


def register(commands: argparse._SubParsersAction) -> None:
    """Add ``lab`` to the command line."""
    parser = commands.add_parser(
        "lab",
        help="JupyterLab on the cluster",
        description="Start the cluster, or join the one that runs, and serve JupyterLab on it from this folder."
        " A cluster that was started here ends with the server.",
    )
    parser.add_argument("--nodes", type=int, default=2, metavar="N", help="how many nodes it has (default: 2)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> NoReturn:
    """Become the JupyterLab server. The cluster is owned by this process, and so ends with the server."""
    print("Starting the cluster …", flush=True)
    cluster = open_cluster(nodes=arguments.nodes, owner=os.getpid())
    print("The cluster is ready. JupyterLab comes up in a few seconds; Ctrl-C ends it.", flush=True)
    config = os.pathsep.join(filter(None, (str(_CONFIG), os.environ.get("JUPYTER_CONFIG_PATH"))))
    environment = cluster.environment() | {"PODIUM_CLUSTER": cluster.name, "JUPYTER_CONFIG_PATH": config}
    os.execve(sys.executable, [sys.executable, "-m", "jupyterlab", *_options()], environment)


def _options() -> list[str]:
    """How JupyterLab is started: on loopback only, with the token that it makes itself and prints with its address."""
    # A login shell would set PATH anew, and kubectl would be gone from it.
    shell = json.dumps({"shell_command": [os.environ.get("SHELL") or "sh"]})
    options = ["--ServerApp.ip=127.0.0.1", "--log-level=ERROR", f"--ServerApp.terminado_settings={shell}"]
    if os.geteuid() == 0:
        options.append("--allow-root")
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        options.append("--no-browser")
    return options
