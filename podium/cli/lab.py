"""``podium lab``: JupyterLab on the cluster."""

import argparse
import os
import sys
from typing import NoReturn

from podium.jupyter import CONFIG, COURSE, SHARE, START_PAGE


def register(commands: argparse._SubParsersAction) -> None:
    """Add ``lab`` to the command line."""
    parser = commands.add_parser(
        "lab",
        help="JupyterLab on the cluster",
        description="Serve JupyterLab from this folder, and start the cluster beside it, or join the one that runs."
        " A cluster that was started here ends with the server.",
    )
    parser.add_argument("--nodes", type=int, default=2, metavar="N", help="how many nodes it has (default: 2)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> NoReturn:
    """Become the JupyterLab server. The cluster is owned by this process, and so ends with the server."""
    print("JupyterLab comes up in a few seconds, and the cluster beside it; Ctrl-C ends both.", flush=True)
    environment = dict(os.environ)
    for variable, folder in ("JUPYTER_CONFIG_PATH", CONFIG), ("JUPYTER_PATH", SHARE):
        environment[variable] = os.pathsep.join(filter(None, (str(folder), os.environ.get(variable))))
    cluster = ["--Podium.start=True", f"--Podium.nodes={arguments.nodes}"]
    os.execve(sys.executable, [sys.executable, "-m", "jupyterlab", *cluster, *_options()], environment)


def _options() -> list[str]:
    """How JupyterLab is started: on loopback only, with the token that it makes itself and prints with its address."""
    options = ["--ServerApp.ip=127.0.0.1", "--log-level=ERROR"]
    if (COURSE / START_PAGE).is_file():
        options.append(f"--LabApp.default_url=/lab/tree/{COURSE / START_PAGE}")
    if os.geteuid() == 0:
        options.append("--allow-root")
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        options.append("--no-browser")
    return options
