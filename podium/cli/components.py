"""``podium component NAME stop|start|logs|flags|metrics``."""

import argparse
import os
from typing import Any

from podium.cluster import DEFAULT_NAME, Cluster
from podium.errors import PodiumError, UsageError


def register(commands: Any) -> None:
    """Add the subcommand."""
    component = commands.add_parser("component", help="stop, start or look at one component")
    component.add_argument("component", metavar="NAME", help="as in `podium status`: kube-scheduler, node-1/kubelet …")
    component.add_argument("verb", choices=("stop", "start", "logs", "flags", "metrics", "health"))
    component.add_argument(
        "--name", default=os.environ.get("PODIUM_CLUSTER") or DEFAULT_NAME, help="the cluster's name"
    )
    component.add_argument("--lines", type=int, default=50, help="how many lines of the log (default 50)")
    component.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> int:
    cluster = Cluster(arguments.name)
    if not cluster.is_running():
        raise PodiumError(f"Cluster {cluster.name!r} does not run.", "Start it: podium up")
    known = cluster.components
    if arguments.component not in known:
        raise UsageError(f"There is no component {arguments.component!r}.", f"There are {', '.join(known)}.")
    component = known[arguments.component]
    match arguments.verb:
        case "stop":
            component.stop()
        case "start":
            component.start()
        case "logs":
            print(component.log(arguments.lines), end="")
        case "metrics":
            print(component.metrics())
        case "health":
            healthy = component.health()
            print("healthy" if healthy else f"not healthy: {component.state}")
            return 0 if healthy else 1
        case "flags":
            for name, value in component.flags.items():
                print(f"--{name}={value}")
    return 0
