"""Programs written in Go: the official release where it can be downloaded, else compiled from the Go module proxy."""

import re
import tarfile
import threading
from pathlib import Path
from typing import Any

from podium.bundle import debian, download
from podium.bundle.store import Job, Part
from podium.errors import PodiumError

_TURN = threading.Lock()  # one `go build` uses every core; two would only use more memory
_LIMIT = 3600


def part(recipe: Path, name: str, pin: dict[str, Any], packages: Part, cost: float, size: float) -> Part:
    """The part that holds the programs of ``[name]`` in the lock file.

    Args:
        recipe: The folder of the recipe.
        name: The entry's name.
        pin: The entry.
        packages: The part with the Debian packages, for programs that are linked with C libraries.
        cost: Seconds of one processor for compiling it.
        size: Megabytes of its programs, and of its release if it has one.
    """
    modules = recipe / (pin.get("folder") or f"modules/{pin.get('modules', name)}")
    return Part(
        name=name,
        what=f"making {name} {pin['version']}",
        make=lambda job: _make(job, modules, pin),
        version=pin["version"],
        pins=pin,
        files=(modules, Path(__file__)),
        needs=(packages,) if "libraries" in pin else (),
        cost=cost,
        size=size,
        turn=_TURN,
    )


def _make(job: Job, modules: Path, pin: dict[str, Any]) -> str:
    if release := pin.get("release"):
        url = release["url"].format_map(pin)
        try:
            archive = download.fetch(url, job.work / url.rpartition("/")[2], "sha512", release["sha512"])
        except download.Unavailable as error:
            job.progress.say(f"{job.part.name}: {error.what} It is compiled instead")
        else:
            _extract(archive, [f"{release['folder']}{program}" for program in pin["programs"]], job.out)
            return f"the official release, {url}"
    _compile(job, modules, pin)
    return "compiled from the Go module proxy"


def _extract(archive: Path, names: list[str], folder: Path) -> None:
    """Unpack the members ``names`` of ``archive`` into ``folder``, each under the last part of its name."""
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name in names:
                member.name = member.name.rpartition("/")[2]
                download.extract(tar, member, folder)
    for name in names:
        if not (folder / name.rpartition("/")[2]).exists():
            raise PodiumError(f"The official release {archive.name} has no {name}.")


def _compile(job: Job, modules: Path, pin: dict[str, Any]) -> None:
    """Compile all programs of ``pin`` in one call: what they share is compiled once, and they are linked at once."""
    flags = ["-s -w", *pin.get("ldflags", [])]
    environment = {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -buildvcs=false",
        "GOTOOLCHAIN": "auto",  # Debian's Go would otherwise refuse modules that ask for a newer one
        "GOWORK": "off",
    }
    if libraries := pin.get("libraries"):
        flags.append("-linkmode external -extldflags -static")
        environment |= {
            "CGO_ENABLED": "1",
            "CC": " ".join(debian.static_compiler(job)),
            "CGO_LDFLAGS": " ".join(f"-l{library}" for library in libraries),
            "PKG_CONFIG": "true",  # it would ask this machine: say nothing, and succeed
        }
    options = ("-trimpath", "-ldflags", " ".join(flags).format_map(pin), "-tags", ",".join(pin.get("tags", [])))
    job.run(
        *("go", "build", *options, "-o", f"{job.out}/", *pin["programs"].values()),
        limit=_LIMIT,
        cwd=modules,
        env=environment,
    )
    for program, package in pin["programs"].items():
        built = job.out / _executable(package)
        if not built.is_file():
            raise PodiumError(f"Compiling {package} gave no {built.name}.")
        built.rename(job.out / program)


def _executable(package: str) -> str:
    """What `go build` calls the program of ``package``: the last element of its path that is not a major version."""
    *_, before, last = package.split("/")
    return before if re.fullmatch(r"v[0-9]+", last) else last
