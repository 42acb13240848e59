"""Podium: a real, disposable Kubernetes cluster under a notebook.

>>> import podium
>>> cluster = podium.open()  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from podium.cluster import Cluster, open
    from podium.errors import PodiumError
    from podium.jupyter.start_page import start_page
    from podium.trace import trace_pod

__all__ = ["Cluster", "PodiumError", "open", "start_page", "trace_pod"]

_HOME = {
    "Cluster": "podium.cluster",
    "open": "podium.cluster",
    "PodiumError": "podium.errors",
    "start_page": "podium.jupyter.start_page",
    "trace_pod": "podium.trace",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, when it is asked for: ``podium --help`` needs no cluster."""
    if name not in _HOME:
        raise AttributeError(f"module 'podium' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext podium``: add ``%kubectl`` and ``%%apply`` to IPython."""
    import_module("podium.jupyter.magics").register(shell)
