"""Waiting with a condition, a limit and a message."""

import time
from collections.abc import Callable
from typing import TypeVar

from podium.errors import WaitedTooLong

T = TypeVar("T")


def wait_until(condition: Callable[[], T], what: str, limit: float, every: float = 0.1, hint: str = "") -> T:
    """Call ``condition`` until it returns something true, and return that.

    Args:
        condition: Called again and again; an exception it raises ends the wait.
        what: What is waited for, as it stands in the message: "node-1 to be Ready".
        limit: Seconds after which the wait gives up.
        every: Seconds between two calls.
        hint: What to do when the wait gives up.

    Raises:
        WaitedTooLong: The limit was reached.

    Example:
        >>> wait_until(lambda: True, "nothing", limit=1)
        True
    """
    deadline = time.monotonic() + limit
    while not (result := condition()):
        if time.monotonic() > deadline:
            raise WaitedTooLong(f"Waited {limit:g} s for {what}, in vain.", hint)
        time.sleep(every)
    return result
