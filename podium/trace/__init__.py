"""See it happen: the way of a Pod through every component, from the components' own records.

>>> import podium
>>> with podium.trace_pod("web") as trace:  # doctest: +SKIP
...     cluster.kubectl("run", "web", "--image=podium.test/nginx:1.26")
>>> print(trace)  # doctest: +SKIP
"""

from podium.trace.model import Span, Step, Trace
from podium.trace.recorder import trace_pod

__all__ = ["Span", "Step", "Trace", "trace_pod"]
