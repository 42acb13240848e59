"""What the test of binder/Dockerfile puts in the place of what it can't reach: Docker Hub and conda-forge.

``python -m tests.binder.replaced FOLDER`` makes, or leaves as they are,

* ``debian.tar``: Debian 13 with its Python, made by mmdebstrap from this machine's Debian mirror;
* ``wheels/``: what requirements.lock pins, for that Python, from this machine's Python package index;
* ``bundle-KEY.tar.zst``: the bundle, and its checksum.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement

from podium import bundle
from podium.errors import CannotRunHere

ROOT = Path(__file__).parents[2]
PYTHON = "3.13"  # Debian 13's
_DEBIAN = "bash-completion,ca-certificates,python3,python3-venv"


def archive(folder: Path) -> Path:
    """Where the bundle's archive is, or would be."""
    return folder / f"bundle-{bundle.status()['key']}.tar.zst"


def make(folder: Path) -> None:
    """Make what is missing in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (debian := folder / "debian.tar").exists():
        if not shutil.which("mmdebstrap"):
            raise CannotRunHere("mmdebstrap is not installed.", "Install the Debian package of that name.")
        part = debian.with_suffix(".part")
        command = ["mmdebstrap", "--quiet", "--variant=minbase", "--format=tar", f"--include={_DEBIAN}", "trixie", part]
        subprocess.run(command, check=True)
        part.rename(debian)
    pins = _pins()
    constraints = folder / "wheels/constraints.txt"
    if not constraints.exists() or constraints.read_text() != pins:
        shutil.rmtree(constraints.parent, ignore_errors=True)
        constraints.parent.mkdir()
        wanted = folder / "wanted.txt"
        wanted.write_text(pins)
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        download += [f"--python-version={PYTHON}", f"--dest={constraints.parent}", f"--requirement={wanted}"]
        subprocess.run(download, check=True)
        wanted.rename(constraints)
    if not archive(folder).exists():
        bundle.build(archive(folder))


def _pins() -> str:
    """What requirements.lock pins for the test's Python, without the checksums."""
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", "")
    entries = [Requirement(re.sub(r"\s+--hash=\S+", "", line)) for line in text.splitlines()]
    python = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0"}
    found = [entry for entry in entries if entry.marker is None or entry.marker.evaluate(python)]
    return "".join(f"{entry.name}{entry.specifier}\n" for entry in found)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
