"""Live pictures of a cluster: what a notebook shows while it happens.

>>> import podium.widgets
>>> podium.widgets.Map()  # doctest: +SKIP
"""
