"""Letting a component log more while somebody reads along, and no longer."""

import threading
from collections import defaultdict
from collections.abc import Callable

from podium.cluster import Cluster

_LOCK = threading.Lock()
_WANTED: dict[tuple[str, str], list[int]] = defaultdict(list)  # by cluster and component


def more(cluster: Cluster, name: str, level: int) -> Callable[[], None]:
    """Let a component log at a verbosity. Where several of this process ask, the highest wins.

    Args:
        cluster: The cluster.
        name: The component: ``kube-scheduler``, ``node-1/kubelet``.
        level: The verbosity: see :meth:`podium.cluster.Component.set_verbosity`.

    Returns:
        What takes it back; it raises as this does.

    Raises:
        PodiumError: The component does not answer.
    """
    wanted, component = _WANTED[cluster.name, name], cluster.components[name]
    usual = int(component.flags.get("v", "0"))

    def less() -> None:
        with _LOCK:
            wanted.remove(level)
            component.set_verbosity(max([usual, *wanted]))

    with _LOCK:
        component.set_verbosity(max([usual, level, *wanted]))
        wanted.append(level)
    return less
