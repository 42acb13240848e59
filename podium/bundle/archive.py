"""A bundle as one file, a tar archive compressed with zstd, for machines that do not build their own."""

import hashlib
import json
import os
import re
import subprocess
import tarfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import zstandard

from podium.bundle import download
from podium.bundle.commands import Commands
from podium.bundle.store import Job, Part, Store
from podium.errors import PodiumError
from podium.progress import Progress

# A window of 1 GB: images/ repeats what lies unpacked at the end of node.img, which therefore comes just before it.
_WINDOW = 30
_ORDER = ("manifest.json", "linux", "bin", "seed", "node.img", "images")
_LEVEL = 12
_JOB = 64 << 20  # bytes that one thread compresses at a time; the default, four windows, would leave one thread at work
_SIZE = 2600  # megabytes: the archive and what it unpacks to


def pack(bundle: Path, file: Path) -> None:
    """Write ``bundle`` as an archive, and its checksum beside it, as ``sha256sum`` prints it, to FILE.sha256.

    Raises:
        PodiumError: tar failed.
    """
    parameters = zstandard.ZstdCompressionParameters.from_level(
        _LEVEL, window_log=_WINDOW, enable_ldm=True, job_size=_JOB, threads=os.cpu_count() or 1
    )
    names = [name for name in _ORDER if (bundle / name).exists()]
    command = ["tar", "--sparse", "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-C", bundle, "-c"]
    part = file.with_name(f"{file.name}.part")
    try:
        with part.open("wb") as target, subprocess.Popen([*command, *names], stdout=subprocess.PIPE) as tar:
            zstandard.ZstdCompressor(compression_params=parameters).copy_stream(tar.stdout, target)
        if tar.returncode not in (0, 1):  # 1: a file has got another hard link meanwhile, as a part may
            raise PodiumError(f"tar failed with exit code {tar.returncode} while {file} was written.")
        with part.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        file.with_name(f"{file.name}.sha256").write_text(f"{digest}  {file.name}\n")
        part.rename(file)
    finally:
        part.unlink(missing_ok=True)


def fetch(store: Store, goal: Part, url: str, checksum: str) -> None:
    """Put the bundle from the archive at ``url`` into ``store``; a download that breaks off is continued the next time.

    Args:
        store: Where it goes.
        goal: The bundle that is wanted.
        url: http, https or file.
        checksum: The archive's sha256; where it is "", it is read from URL.sha256.

    Raises:
        PodiumError: The archive cannot be had, is not what its checksum says, or is another bundle than is wanted.
    """
    part = replace(goal, what="fetching the bundle", make=lambda job: _fetch(job, url, checksum), size=_SIZE, cost=0)
    store.put(part, Commands(), Progress())


def _fetch(job: Job, url: str, checksum: str) -> str:
    if not checksum:
        checksum = download.read(f"{url}.sha256").partition(" ")[0].strip()
    if not re.fullmatch("[0-9a-fA-F]{64}", checksum):
        raise PodiumError(f"{url}.sha256 has no sha256.", "Set PODIUM_BUNDLE_SHA256 to the archive's.")
    file = download.fetch(url, job.work / f"{checksum[:16]}.tar.zst", "sha256", checksum)
    try:
        unpack(file, job.out, job.part.key)
    finally:
        file.unlink()
    return f"fetched from {url}"


def unpack(file: Path, folder: Path, key: str) -> None:
    """Unpack an archive into ``folder``.

    Args:
        file: The archive.
        folder: A folder that is there and empty.
        key: The key that the bundle must have.

    Raises:
        PodiumError: It is no bundle, or one with another key; some of it may be in ``folder``.
    """
    hint = "Fetch the archive that was made for this version, or make one: `podium bundle build`."
    reader = zstandard.ZstdDecompressor(max_window_size=1 << _WINDOW)
    try:
        with ExitStack() as stack:
            plain = stack.enter_context(reader.stream_reader(stack.enter_context(file.open("rb"))))
            tar = stack.enter_context(tarfile.open(fileobj=plain, mode="r|"))
            for number, member in enumerate(tar):
                download.extract(tar, member, folder)
                if number == 0:
                    _check(folder / "manifest.json", key, hint)
    except (tarfile.TarError, zstandard.ZstdError, ValueError, KeyError) as error:
        raise PodiumError(f"This archive is no bundle: {error}.", hint) from error


def _check(manifest: Path, key: str, hint: str) -> None:
    if not manifest.is_file():
        raise PodiumError("This archive is no bundle: it does not begin with a manifest.", hint)
    if (found := json.loads(manifest.read_text())["key"]) != key:
        raise PodiumError(f"This bundle is another version's: its key is {found}, this version's is {key}.", hint)
