"""A cluster in a sandbox offers what every cluster does. What it lets through is tried in tests/autograder."""

from pathlib import Path

from podium.cluster import Backend, Component
from podium.relayed import Relayed, RelayedComponent


def test_nothing_is_missing() -> None:
    backend = Relayed("any", Path("/nowhere"))
    for protocol, relayed in (Backend, type(backend)), (Component, RelayedComponent):
        asked = {name for name in vars(protocol) if not name.startswith("_")}
        assert asked - {"name"} <= set(dir(relayed))
    assert all(hasattr(backend, name) for name in Backend.__annotations__)
