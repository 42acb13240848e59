"""The bundle: the kernel, the programs, the node's disk and the images that the embedded backend runs."""

import os
import shutil
from pathlib import Path
from typing import Any

from podium import progress
from podium.bundle import recipe
from podium.bundle.store import Store
from podium.bundle.tools import missing_tools
from podium.embedded.files import Bundle
from podium.errors import CannotRunHere, UsageError
from podium.kind import engine
from podium.paths import cache_dir

__all__ = ["build", "current", "fetch", "kind_image_name", "make_kind_image", "missing_tools", "status"]


def current() -> Bundle:
    """The bundle that this version runs with.

    Raises:
        CannotRunHere: It is not there, or not as it was made.
    """
    part, store = recipe.goal(), Store(cache_dir())
    if store.facts(part) is None:
        state = "damaged" if store.path(part).exists() else "not there yet"
        raise CannotRunHere(
            f"The embedded backend's bundle is {state}.",
            "Make it, in about half an hour on two cores: `podium bundle build`; or get it: `podium bundle fetch URL`.",
        )
    return Bundle(store.path(part))


def build(archive: Path | None = None) -> Bundle:
    """Make the bundle, or what is missing of it.

    Args:
        archive: Also write it as an archive for ``fetch``.

    Raises:
        CannotRunHere: This machine lacks programs that the build needs.
        PodiumError: A part could not be made; what is finished is kept.
    """
    part, store = recipe.goal(), Store(cache_dir())
    if store.facts(part) is None and (tools := missing_tools()):
        raise CannotRunHere(
            f"To build the bundle, this machine lacks {', '.join(tools)}.",
            "Install them, or get a prebuilt bundle: `podium bundle fetch URL`.",
        )
    bundle = Bundle(store.build(part))
    if archive:
        from podium.bundle.archive import pack  # needs zstandard, which nothing else here does

        pack(bundle.path, archive)
    return bundle


def fetch(url: str | None = None) -> Bundle:
    """Get a prebuilt bundle.

    Args:
        url: Where its archive is; by default where ``PODIUM_BUNDLE_URL``, else the lock file says. Its sha256 is
            ``PODIUM_BUNDLE_SHA256``, the lock file's for its own URL, or what is in URL.sha256.

    Raises:
        UsageError: There is no URL.
        PodiumError: The archive cannot be had, is not what its checksum says, or is another bundle.
    """
    from podium.bundle.archive import fetch

    pin = recipe.lock()["bundle"]
    url = url or os.environ.get("PODIUM_BUNDLE_URL") or pin["url"]
    if not url:
        raise UsageError("No prebuilt bundle is published.", "Give a URL, or set PODIUM_BUNDLE_URL.")
    checksum = os.environ.get("PODIUM_BUNDLE_SHA256") or (pin["sha256"] if url == pin["url"] else "")
    fetch(Store(cache_dir()), recipe.goal(), url, checksum)
    return current()


def kind_image_name() -> str:
    """The name that the kind backend's node image has when it was made for this version."""
    from podium.bundle import kind_image  # what it needs is not needed elsewhere

    return kind_image.name()


def make_kind_image(archive: Path | None = None) -> str:
    """Make the kind backend's node image from the bundle, and give it to the container engine; no registry is needed.

    Args:
        archive: Also write it there, for other machines: their engine takes it with ``docker load --input FILE``.

    Returns:
        The image's name.

    Raises:
        CannotRunHere: There is no bundle, or no container engine answers and no archive was asked for.
        PodiumError: It could not be made or loaded.
    """
    from podium.bundle import kind_image

    found = engine.answering() if archive else engine.find()
    current()
    made = Store(cache_dir()).build(kind_image.part()) / kind_image.ARCHIVE
    if archive:
        shutil.copy(made, archive)
    if found and not found.has_image(kind_image.name()):
        with progress.step(f"giving the node image to {found.name}"):
            found.call("load", "--input", str(made), limit=600)
    return kind_image.name()


def status() -> dict[str, Any]:
    """The bundle's state: ``complete``, ``path``, ``key``, ``source`` and ``parts``, of each its version and source."""
    goal, store = recipe.goal(), Store(cache_dir())
    facts = store.facts(goal)
    if facts:
        parts = Bundle(store.path(goal)).manifest["parts"]
    else:
        parts = [store.describe(part) for part in goal.closure()[:-1]]
    return {
        "complete": facts is not None,
        "path": str(store.path(goal)),
        "key": goal.key,
        "source": facts["source"] if facts else None,
        "parts": parts,
    }
