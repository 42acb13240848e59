"""``podium up, status, down, reset`` and ``podium kubectl``."""

import argparse
import json
import os
import sys
import time
from typing import Any

from podium.cluster import BACKENDS, DEFAULT_NAME, Cluster, clusters, left_behind
from podium.errors import UsageError
from podium.progress import Progress, clock


def register(commands: Any) -> None:
    """Add the subcommands."""
    up = commands.add_parser("up", help="start a cluster; ready when it returns")
    up.add_argument("--nodes", type=int, default=2, metavar="N", help="1 to 5 (default 2)")
    up.add_argument("--backend", choices=BACKENDS, help="default: PODIUM_BACKEND, else auto: kind where it can run")
    up.add_argument(
        "--tracing", action="store_true", default=None, help="let its components tell OpenTelemetry's spans"
    )
    up.set_defaults(run=_up)
    status = commands.add_parser("status", help="what runs, and how it is")
    status.add_argument("--json", action="store_true", help="as one JSON object")
    status.set_defaults(run=_status)
    down = commands.add_parser("down", help="end the cluster")
    down.set_defaults(run=_down)
    reset = commands.add_parser("reset", help="make the cluster pristine")
    reset.set_defaults(run=_reset)
    kubectl = commands.add_parser("kubectl", help="run kubectl on the cluster: podium kubectl -- get pods")
    kubectl.add_argument("arguments", nargs=argparse.REMAINDER)
    kubectl.set_defaults(run=_kubectl)
    for command in (up, status, down, reset, kubectl):
        command.add_argument(
            "--name", default=os.environ.get("PODIUM_CLUSTER") or DEFAULT_NAME, help="the cluster's name"
        )


def _up(arguments: argparse.Namespace) -> None:
    cluster = Cluster(arguments.name, arguments.nodes, arguments.backend, arguments.tracing)
    if cluster.is_running():
        print(f"Cluster {cluster.name!r} is running already.", file=sys.stderr)
    cluster.up(owner=_owner(), progress=Progress())
    print(cluster.kubeconfig_path)


def _owner() -> int | None:
    """The shell of the terminal that this was typed in, or the notebook server; nobody where it runs in a script."""
    if server := os.environ.get("JPY_PARENT_PID"):
        return int(server)
    return os.getsid(0) if sys.stdin.isatty() and os.getsid(0) != os.getpid() else None


def _status(arguments: argparse.Namespace) -> int:
    found = [cluster.status() for cluster in clusters()]
    if arguments.json:
        print(json.dumps(found, indent=1))
    elif not found:
        print("No cluster runs. Start one: podium up")
    else:
        for status in found:
            _print_status(status)
    for name in left_behind():
        ways = f"Go on with it: podium up --name {name}. Remove it: podium down --name {name}"
        print(f"A crash left cluster {name!r}. {ways}", file=sys.stderr)
    return 0 if found else 1


def _print_status(status: dict[str, Any]) -> None:
    print(f"{status['name']}: {status['backend']}, {', '.join(status['nodes'])}")
    print(f"  KUBECONFIG={status['kubeconfig']}")
    for one in status["components"]:
        words = [one["name"].ljust(28), one["state"].ljust(10)]
        if one["pid"]:
            words.append(f"process {one['pid']}".ljust(16))
        if one["since"]:
            words.append(f"for {clock(time.time() - one['since'])}")
        if one["restarts"]:
            words.append(f"restarted {one['restarts']} times, last: {one['last_exit']}")
        print("  " + " ".join(words).rstrip())


def _down(arguments: argparse.Namespace) -> None:
    Cluster(arguments.name).down()


def _reset(arguments: argparse.Namespace) -> None:
    Cluster(arguments.name).reset(Progress())


def _kubectl(arguments: argparse.Namespace) -> None:
    cluster = Cluster(arguments.name)
    if not cluster.is_running():
        raise UsageError(f"Cluster {cluster.name!r} does not run.", "Start it: podium up")
    rest = arguments.arguments[1:] if arguments.arguments[:1] == ["--"] else arguments.arguments
    os.execve(cluster.kubectl_path, ["kubectl", *rest], cluster.environment())
