"""Debian packages, through the mirror that this machine's apt already uses and verified by Debian's own signatures.

apt works in a private folder, with no packages installed: it neither needs root nor sees or changes this machine's own.
"""

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from podium.bundle.store import Job, Part
from podium.errors import CannotRunHere, PodiumError

_KEYRINGS = [Path("/usr/share/keyrings") / f"debian-archive-keyring.{suffix}" for suffix in ("gpg", "pgp")]
_LIMIT = 900


class Apt:
    """Debian's packages of some suites.

    Args:
        job: The part that is made with them.
        suites: "trixie", "trixie-backports" …

    Raises:
        CannotRunHere: This machine has no apt that knows a Debian mirror.
    """

    def __init__(self, job: Job, *suites: str) -> None:
        self._job, self._folder = job, job.work / "apt"
        for name in ("etc/preferences.d", "state/lists/partial", "cache/archives/partial"):
            (self._folder / name).mkdir(parents=True, exist_ok=True)
        keyring = next((path for path in _KEYRINGS if path.exists()), None)
        if keyring is None:
            raise CannotRunHere("Debian's keyring is not installed.", "Install the package debian-archive-keyring.")
        mirror = self._mirror()
        (self._folder / "etc/sources.list").write_text(
            "".join(f"deb [signed-by={keyring}] {mirror} {suite} main\n" for suite in suites)
        )
        self._apt("apt-get", "--quiet", "update")

    def closure(self, *packages: str) -> list[str]:
        """The names of the files of ``packages`` and of all that they depend on, recommendations left out."""
        uris = self._apt("apt-get", "install", "--quiet", "--no-install-recommends", "--print-uris", *packages)
        return re.findall(r"^'[^']+' (\S+\.deb) ", uris, re.MULTILINE)

    def download(self, files: Iterable[str], folder: Path) -> None:
        """Download ``files``, named as ``closure`` names them, to ``folder``."""
        wanted = [unquote(file).split("_")[:2] for file in files]
        self._apt("apt-get", "download", "--quiet", *(f"{name}={version}" for name, version in wanted), cwd=folder)

    def source(self, package: str, version: str) -> tuple[Path, str]:
        """A package's file without what it depends on, and its version.

        Backports move on: where ``version`` is gone, the newest package whose name differs only in numbers is taken.
        """
        names = self._apt("apt-cache", "pkgnames", package.rstrip("0123456789.")).split()
        names = [name for name in names if re.fullmatch(r"[a-z-]+[0-9.]+", name)]
        listed = [line.split("|") for line in self._apt("apt-cache", "madison", *names).splitlines() if "|" in line]
        offers = [(name.strip(), number.strip()) for name, number, _ in listed]
        if not offers:
            raise PodiumError(f"The Debian mirror has no {package}.", "Set PODIUM_DEBIAN to another mirror's address.")
        name, number = (package, version) if (package, version) in offers else max(offers, key=_numbers)
        self._apt("apt-get", "download", "--quiet", f"{name}={number}", cwd=self._folder)
        return next(self._folder.glob(f"{name}_*.deb")), number

    def _mirror(self) -> str:
        if chosen := os.environ.get("PODIUM_DEBIAN"):
            return chosen
        listed = self._job.run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", limit=60)
        for uri in listed.split():
            if re.search(r"/debian(\.list)?/?$", uri):  # .list: a mirror list, as Debian's cloud images have
                return uri
        raise CannotRunHere(
            "This machine's apt knows no Debian mirror.",
            "Set PODIUM_DEBIAN to the address of one, or use a prebuilt bundle: `podium bundle fetch`.",
        )

    def _apt(self, *command: str, cwd: Path | None = None) -> str:
        folder = self._folder
        options = {
            "Dir::Etc": f"{folder}/etc",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State": f"{folder}/state",
            "Dir::State::status": "/dev/null",
            "Dir::Cache": f"{folder}/cache",
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            "APT::Sandbox::User": "root" if os.geteuid() == 0 else "",
            "Acquire::Languages": "none",
            "Acquire::Retries": "2",
            "Acquire::http::Timeout": "30",
        }
        program, *arguments = command
        set_ = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return self._job.run(program, *set_, *arguments, limit=_LIMIT, cwd=cwd, env={"LC_ALL": "C"})


def _numbers(offer: tuple[str, str]) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", offer[1])]


def part(sets: dict[str, list[str]], pin: dict[str, Any]) -> Part:
    """The part that holds the packages of a node and of the course images.

    Args:
        sets: The packages wanted, by what they are for: "node", "image-nginx" …
        pin: ``[debian]`` of the lock file.
    """
    return Part(
        name="packages",
        what=f"downloading the packages of Debian {pin['suite']}",
        make=lambda job: _make(job, sets, pin),
        version=pin["suite"],
        pins=[sets, pin],
        files=(Path(__file__),),
        cost=40,
        size=250,
    )


def closure(packages: Path, name: str, without: Sequence[str] = ()) -> list[Path]:
    """The files of the set ``name`` in the part "packages", but for those of the packages ``without``."""
    files: list[str] = json.loads((packages / "sets.json").read_text()).get(name, [])
    return [packages / file for file in files if file.split("_")[0] not in without]


def lay(job: Job, packages: list[Path], folder: Path) -> None:
    """Unpack ``packages`` into ``folder``, without documentation and translations, and run none of their scripts."""
    for package in sorted(packages, key=lambda package: not package.name.startswith("base-files_")):
        job.run("sh", "-c", _UNPACK, "sh", package, folder, limit=300)


def link_applets(job: Job, tree: Path) -> None:
    """Make busybox answer to the name of each of its applets that no other program in ``tree`` has."""
    for applet in run_inside(job, tree, "usr/bin/busybox", "--list").split():
        if not any(os.path.lexists(tree / folder / applet) for folder in ("usr/bin", "usr/sbin")):
            (tree / "usr/bin" / applet).symlink_to("busybox")


def static_compiler(job: Job) -> list[str]:
    """A C compiler's command line that compiles and links against Debian's headers and static libraries."""
    tree = job.scratch / "static"
    tree.mkdir(parents=True)
    lay(job, closure(job.need("packages"), "static"), tree)
    return ["gcc", f"--sysroot={tree}", f"-B{tree}/usr/lib/x86_64-linux-gnu"]


def run_inside(job: Job, tree: Path, program: str, *arguments: str, limit: float = 60) -> str:
    """Run a program of ``tree`` with the libraries of ``tree``, whatever this machine's own are."""
    libraries = tree / "usr/lib/x86_64-linux-gnu"
    loader = libraries / "ld-linux-x86-64.so.2"
    return job.run(loader, "--library-path", libraries, tree / program, *arguments, limit=limit)


def _make(job: Job, sets: dict[str, list[str]], pin: dict[str, Any]) -> str:
    apt = Apt(job, pin["suite"])
    without = set(pin["without"])
    chosen = {
        name: [file for file in apt.closure(*packages) if file.split("_")[0] not in without]
        for name, packages in sets.items()
    }
    apt.download(sorted({file for files in chosen.values() for file in files}), job.out)
    (job.out / "sets.json").write_text(json.dumps(chosen, indent=1))
    return f"{len(list(job.out.glob('*.deb')))} packages of Debian {pin['suite']}"


_UNPACK = (
    'dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --no-same-owner -p'
    " --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*'"
    " --exclude='./usr/share/info/*' --exclude='./usr/share/lintian/*' --exclude='./usr/share/bash-completion/*'"
    " --exclude='./usr/share/bug/*' --exclude='./usr/share/perl5/*' --exclude='./usr/lib/systemd/*'"
)
