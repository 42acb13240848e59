"""Live pictures of a cluster: what a notebook shows while it happens.

>>> import podium.widgets
>>> podium.widgets.Trace("web")  # doctest: +SKIP
"""

from podium.widgets.lifecycle import LifeCycle
from podium.widgets.trace import Trace

__all__ = ["LifeCycle", "Trace"]
