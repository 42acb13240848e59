"""Downloads against a web server: good, truncated, tampered, slow, absent, and broken off half-way."""

import hashlib
import stat
import tarfile
import time
from pathlib import Path

import pytest

from podium.bundle import download
from podium.errors import PodiumError

from .conftest import Server

CONTENT = bytes(range(256)) * 4000
SUM = hashlib.sha256(CONTENT).hexdigest()


def fetch(url: str, folder: Path, checksum: str = SUM) -> Path:
    return download.fetch(url, folder / "file", "sha256", checksum)


def test_good(server: Server, tmp_path: Path) -> None:
    server.files["/file"] = CONTENT
    assert fetch(f"{server.url}/file", tmp_path).read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_is_there_is_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    server.files["/file"] = CONTENT
    for _ in range(2):
        fetch(f"{server.url}/file", tmp_path)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "content", [CONTENT[:-1], CONTENT[:1000], b"", CONTENT.replace(b"\x07", b"\x08", 1), CONTENT + b"x"]
)
def test_other_content_is_refused_and_thrown_away(content: bytes, server: Server, tmp_path: Path) -> None:
    server.files["/file"] = content
    with pytest.raises(PodiumError, match="is not what is pinned") as caught:
        fetch(f"{server.url}/file", tmp_path)
    assert not isinstance(caught.value, download.Unavailable)
    assert list(tmp_path.iterdir()) == []


def test_absent(server: Server, tmp_path: Path) -> None:
    with pytest.raises(download.Unavailable, match="404"):
        fetch(f"{server.url}/file", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_slow_to_answer(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up soon, and not asked again for the next part."""
    monkeypatch.setattr(download, "_CONNECT", 0.3)
    server.files["/file"], server.delay = CONTENT, 1
    began = time.monotonic()
    for _ in range(3):
        with pytest.raises(download.Unavailable, match="cannot be reached"):
            fetch(f"{server.url}/file", tmp_path)
    assert time.monotonic() - began < 1
    assert len(server.requests) == 1


def test_nobody_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_unreachable", set())
    with pytest.raises(download.Unavailable, match="cannot be reached"):
        fetch("http://127.0.0.1:9/file", tmp_path)


def test_broken_off_continues(server: Server, tmp_path: Path) -> None:
    server.files["/file"], server.breaks_after = CONTENT, 300_000
    assert fetch(f"{server.url}/file", tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.requests] == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_broken_off_continues_in_the_next_run(server: Server, tmp_path: Path) -> None:
    server.files["/file"], server.breaks_after = CONTENT, 100_000
    with pytest.raises(download.Unavailable, match="broke off"):
        fetch(f"{server.url}/file", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file.part"]
    server.breaks_after, server.requests = None, []
    assert fetch(f"{server.url}/file", tmp_path).read_bytes() == CONTENT
    assert server.requests == [("/file", "bytes=500000-")]


def test_a_server_that_cannot_continue_starts_again(server: Server, tmp_path: Path) -> None:
    server.files["/file"], server.ranges = CONTENT, False
    (tmp_path / "file.part").write_bytes(CONTENT[:5000])
    assert fetch(f"{server.url}/file", tmp_path).read_bytes() == CONTENT


def test_more_than_there_is_starts_again(server: Server, tmp_path: Path) -> None:
    server.files["/file"] = CONTENT
    (tmp_path / "file.part").write_bytes(CONTENT + b"xxx")
    assert fetch(f"{server.url}/file", tmp_path).read_bytes() == CONTENT


def test_continuing_another_file_is_refused(server: Server, tmp_path: Path) -> None:
    server.files["/file"] = CONTENT
    (tmp_path / "file.part").write_bytes(b"x" * 5000)
    with pytest.raises(PodiumError, match="is not what is pinned"):
        fetch(f"{server.url}/file", tmp_path)
    assert fetch(f"{server.url}/file", tmp_path).read_bytes() == CONTENT


def test_file(tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(CONTENT)
    assert fetch((tmp_path / "there").as_uri(), tmp_path).read_bytes() == CONTENT


def test_mirror(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_DOWNLOADS", f"{server.url}/mirror/")
    server.files["/mirror/example.org/v1/file"] = CONTENT
    assert fetch("https://example.org/v1/file", tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("name", "kind"),
    [("/etc/outside", tarfile.REGTYPE), ("../outside", tarfile.REGTYPE), ("a/../../outside", tarfile.REGTYPE)]
    + [("inside", kind) for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE)],
)
def test_only_plain_files_inside_the_folder_are_unpacked(tmp_path: Path, name: str, kind: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    (folder := tmp_path / "folder").mkdir()
    with (
        tarfile.open(tmp_path / "archive", "w") as tar,
        pytest.raises(tarfile.TarError, match="no plain file inside"),
    ):
        download.extract(tar, member, folder)
    assert [path.name for path in tmp_path.rglob("*") if path.name != "archive"] == ["folder"]


def test_an_unpacked_file_is_no_set_user_id_program(tmp_path: Path) -> None:
    member = tarfile.TarInfo("program")
    member.mode = 0o6777
    with tarfile.open(tmp_path / "archive", "w") as tar:
        tar.addfile(member)
    with tarfile.open(tmp_path / "archive") as tar:
        download.extract(tar, tar.next(), tmp_path)
    assert stat.S_IMODE((tmp_path / "program").stat().st_mode) == 0o755
