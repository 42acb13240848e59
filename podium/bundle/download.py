"""Downloads that are verified before anything sees them, and that continue where they broke off."""

import hashlib
import http.client
import os
import tarfile
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import IO

from podium.errors import PodiumError

_CONNECT = 5  # seconds without an answer, or without a byte, after which a server counts as unreachable
_CHUNK = 1 << 20
_ATTEMPTS = 5  # how often a download that breaks off is continued
_unreachable: set[str] = set()  # servers that did not answer this process: not asked again


class Unavailable(PodiumError):
    """The server cannot be reached, or does not have the file."""


def mirrored(url: str) -> str:
    """``url`` on the mirror that ``PODIUM_DOWNLOADS`` names, which is laid out as MIRROR/HOST/PATH."""
    mirror, parts = os.environ.get("PODIUM_DOWNLOADS"), urllib.parse.urlsplit(url)
    if not mirror or parts.scheme == "file":
        return url
    return f"{mirror.rstrip('/')}/{parts.netloc}{parts.path}"


def fetch(url: str, file: Path, algorithm: str, checksum: str) -> Path:
    """Download ``url`` to ``file``, continuing what an earlier attempt left in ``file``.part.

    Args:
        url: http, https or file.
        file: Where it goes; it appears complete and verified or not at all.
        algorithm: The checksum's name in hashlib: "sha256" or "sha512".
        checksum: What the content must have, in hexadecimal.

    Raises:
        Unavailable: The server could not be reached or does not have the file; what came is kept for the next attempt.
        PodiumError: What came is not what was pinned; nothing of it is kept.
    """
    part = file.with_name(f"{file.name}.part")
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(_ATTEMPTS):
            before = part.stat().st_size if part.exists() else 0
            if _continue(mirrored(url), part):
                break
            if attempt and part.stat().st_size <= before:
                raise Unavailable(f"{url} breaks off after {part.stat().st_size} bytes.")
        else:
            raise Unavailable(f"{url} broke off {_ATTEMPTS} times.")
        part.rename(file)
    with file.open("rb") as content:
        got = hashlib.file_digest(content, algorithm).hexdigest()
    if got != checksum.lower():
        file.unlink()
        raise PodiumError(
            f"What {mirrored(url)} sent is not what is pinned: its {algorithm} is {got}, not {checksum}. "
            "It was thrown away.",
            "Somebody on the way changed it, or the mirror is damaged: try another one.",
        )
    return file


def read(url: str, limit: int = 1 << 16) -> str:
    """The text at ``url``, at most ``limit`` bytes of it.

    Raises:
        Unavailable: The server could not be reached or does not have it.
    """
    with _open(mirrored(url), 0) as answer:
        return answer.read(limit).decode(errors="replace")


def _continue(url: str, part: Path) -> bool:
    """Append to ``part`` what is missing of ``url``; whether it is complete now."""
    have = part.stat().st_size if part.exists() else 0
    with _open(url, have) as answer:
        if have and answer.status != 206:  # a server that cannot continue starts again
            have = 0
        length = answer.headers.get("Content-Length")
        with part.open("r+b" if have else "wb") as file:
            file.seek(have)
            try:
                while chunk := answer.read(_CHUNK):
                    file.write(chunk)
            except (http.client.IncompleteRead, ConnectionError, TimeoutError):
                return False
    return length is None or part.stat().st_size == have + int(length)


def _open(url: str, offset: int) -> IO[bytes]:
    """The answer to a request for ``url`` from byte ``offset`` on."""
    host = urllib.parse.urlsplit(url).netloc
    if host in _unreachable:
        raise Unavailable(f"{host} cannot be reached.")
    request = urllib.request.Request(url, headers={"Range": f"bytes={offset}-"} if offset else {})
    pool = ThreadPoolExecutor(1)  # looking up a name has no limit of its own
    try:
        return pool.submit(urllib.request.urlopen, request, timeout=_CONNECT).result(_CONNECT + 1)
    except urllib.error.HTTPError as error:
        if error.code == 416 and offset:  # nothing comes after `offset`: what is there is no beginning of this file
            return _open(url, 0)
        raise Unavailable(f"{host} does not have {url} ({error.code} {error.reason}).") from error
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        _unreachable.add(host)
        why = getattr(error, "reason", "") or error or "no answer"
        raise Unavailable(f"{host} cannot be reached ({why}).") from error
    finally:
        pool.shutdown(wait=False)


def extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    """Unpack one file or folder as this user's, and never outside of ``folder``.

    This is stricter than tarfile's own "data" filter, which Python 3.11.2, Debian 12's, does not have.

    Raises:
        tarfile.TarError: The member is something else, such as a link, or its name leads elsewhere.
    """
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
        raise tarfile.ExtractError(f"{member.name} is no plain file inside it")
    member.uid, member.gid, member.mode = os.getuid(), os.getgid(), member.mode & 0o755
    tar.extract(member, folder, numeric_owner=True)
