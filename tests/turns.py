"""What runs today: what is too long for every day takes turns, and not everything can run on every machine."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

CGROUP2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()
"""Whether this machine, and so every node in kind here, has control groups of version 2."""

T = TypeVar("T")


def todays(things: Sequence[T], count: int) -> list[T]:
    """Those whose turn it is on this day, ``count`` of them; after a few days each has had its own."""
    day = datetime.now(UTC).date().toordinal()
    return [things[(day * count + number) % len(things)] for number in range(count)]
