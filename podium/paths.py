"""Where Podium keeps things: a cache that can always be made again, and the folders of running clusters."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """The folder of everything built or downloaded: ``PODIUM_CACHE``, else ``podium`` in the user's cache folder.

    The default follows the XDG Base Directory Specification.
    """
    return Path(os.environ.get("PODIUM_CACHE") or _xdg("XDG_CACHE_HOME", ".cache") / "podium").absolute()


def state_dir() -> Path:
    """The folder that holds one folder for each cluster: ``PODIUM_STATE``, else ``podium`` in the user's state one."""
    return Path(os.environ.get("PODIUM_STATE") or _xdg("XDG_STATE_HOME", ".local/state") / "podium").absolute()


def _xdg(variable: str, default: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / default)
