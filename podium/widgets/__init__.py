"""Live pictures of a cluster: what a notebook shows while it happens.

>>> import podium.widgets
>>> podium.widgets.Map()  # doctest: +SKIP
"""

from podium.widgets.lifecycle import LifeCycle
from podium.widgets.map import Map
from podium.widgets.store import Store
from podium.widgets.trace import Trace
from podium.widgets.xray import XRay

__all__ = ["LifeCycle", "Map", "Store", "Trace", "XRay"]
