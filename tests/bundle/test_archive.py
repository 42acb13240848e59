"""A bundle as one file: packed, fetched, broken off, tampered with, made for another version."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from podium import bundle
from podium.bundle import archive, recipe
from podium.bundle.store import Job, Part, Store
from podium.errors import CannotRunHere, PodiumError, UsageError

from .conftest import Server

SPARSE = 300 << 20  # bytes that node.img seems to have


def stand_in(job: Job) -> str:
    """A bundle with a small file for each real one, and a disk that is nearly all holes."""
    for name in ("bin/etcd", "images/nginx.tar", "linux", "seed/member/snap/db"):
        (job.out / name).parent.mkdir(parents=True, exist_ok=True)
        (job.out / name).write_bytes(os.urandom(100_000))
    (job.out / "linux").chmod(0o755)
    with (job.out / "node.img").open("wb") as disk:
        for at in (0, 100 << 20, SPARSE - 5):
            disk.seek(at)
            disk.write(b"data!")
    sums = {str(file.relative_to(job.out)): recipe.sha256(file) for file in job.out.rglob("*") if file.is_file()}
    (job.out / "manifest.json").write_text(json.dumps({"key": job.part.key, "parts": [], "sha256": sums}))
    return "built here"


GOAL = Part("bundle", "making a stand-in for the bundle", stand_in)


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of a bundle that was made on another machine."""
    machine = tmp_path_factory.mktemp("machine")
    archive.pack(Store(machine).build(GOAL, quiet=True), machine / "bundle.tar.zst")
    return machine / "bundle.tar.zst"


@pytest.fixture
def packed(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the archive, on a machine without a bundle."""
    file = tmp_path / original.name
    for suffix in ("", ".sha256"):
        shutil.copy(f"{original}{suffix}", f"{file}{suffix}")
    monkeypatch.setenv("PODIUM_CACHE", str(tmp_path / "cache"))
    for variable in ("PODIUM_BUNDLE_URL", "PODIUM_BUNDLE_SHA256"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(recipe, "goal", lambda: GOAL)
    return file


@pytest.fixture
def url(packed: Path, server: Server) -> str:
    """Where ``server`` has the archive, and its checksum beside it."""
    for name in (packed.name, f"{packed.name}.sha256"):
        server.files[f"/{name}"] = packed.with_name(name).read_bytes()
    return f"{server.url}/{packed.name}"


def left(cache: Path) -> list[str]:
    """The files that are in a cache, but for locks."""
    return [str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file() and path.parent.name != "locks"]


def test_packed_small_with_its_checksum(packed: Path) -> None:
    assert packed.stat().st_size < 1 << 20
    digest, name = packed.with_name(f"{packed.name}.sha256").read_text().split()
    assert (digest, name) == (hashlib.sha256(packed.read_bytes()).hexdigest(), packed.name)
    assert not list(packed.parent.glob("*.part"))


def test_fetched_as_it_was_made(packed: Path, tmp_path: Path, url: str) -> None:
    with pytest.raises(CannotRunHere, match="not there yet"):
        bundle.current()
    got = bundle.fetch(url)
    assert got == bundle.current()
    assert {name: recipe.sha256(got.path / name) for name in got.manifest["sha256"]} == got.manifest["sha256"]
    assert os.access(got.kernel, os.X_OK)
    assert got.disk.stat().st_size == SPARSE
    assert got.disk.stat().st_blocks * 512 < 1 << 20
    assert bundle.status()["source"] == f"fetched from {url}"
    assert not [name for name in left(tmp_path / "cache") if not name.startswith("parts/bundle-")]


@pytest.mark.parametrize("way", ["argument", "variable", "file", "sha256 variable"])
def test_ways_to_name_it(way: str, packed: Path, server: Server, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "variable":
        monkeypatch.setenv("PODIUM_BUNDLE_URL", url)
    if way == "sha256 variable":
        monkeypatch.setenv("PODIUM_BUNDLE_SHA256", server.files.pop(f"/{packed.name}.sha256").decode().split()[0])
    bundle.fetch({"variable": None, "file": packed.as_uri()}.get(way, url))
    bundle.current()


def test_none_published(packed: Path) -> None:
    with pytest.raises(UsageError, match="No prebuilt bundle is published"):
        bundle.fetch()


def test_one_that_is_there_is_not_fetched_again(url: str, server: Server) -> None:
    bundle.fetch(url)
    server.requests.clear()
    bundle.fetch(url)
    assert server.requests == []


def test_broken_off_is_resumed_by_the_next_call(packed: Path, url: str, server: Server) -> None:
    size = len(server.files[f"/{packed.name}"])
    server.breaks_after = size // 8
    with pytest.raises(PodiumError, match="broke off"):
        bundle.fetch(url)
    with pytest.raises(CannotRunHere, match="not there yet"):
        bundle.current()
    server.breaks_after, server.requests = None, []
    bundle.fetch(url)
    assert server.requests[-1] == (f"/{packed.name}", f"bytes={size // 8 * 5}-")


def test_a_server_without_ranges(packed: Path, url: str, server: Server) -> None:
    server.breaks_after, server.ranges = len(server.files[f"/{packed.name}"]) // 2, False
    with pytest.raises(PodiumError, match="breaks off"):
        bundle.fetch(url)
    server.breaks_after = None
    bundle.fetch(url)


@pytest.mark.parametrize("fault", ["changed", "cut short", "too long", "empty"])
def test_tampered_is_refused_and_nothing_kept(
    fault: str, packed: Path, tmp_path: Path, url: str, server: Server
) -> None:
    good = server.files[f"/{packed.name}"]
    middle = len(good) // 2
    server.files[f"/{packed.name}"] = {
        "changed": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
        "cut short": good[:-1],
        "too long": good + b"x",
        "empty": b"",
    }[fault]
    with pytest.raises(PodiumError, match="is not what is pinned"):
        bundle.fetch(url)
    assert left(tmp_path / "cache") == []
    server.files[f"/{packed.name}"] = good
    bundle.fetch(url)


def test_without_a_checksum_nothing_is_fetched(packed: Path, tmp_path: Path, url: str, server: Server) -> None:
    del server.files[f"/{packed.name}.sha256"]
    with pytest.raises(PodiumError, match="404"):
        bundle.fetch(url)
    server.files[f"/{packed.name}.sha256"] = b"<html>Please log in</html>"
    with pytest.raises(PodiumError, match="has no sha256"):
        bundle.fetch(url)
    assert left(tmp_path / "cache") == []


def test_a_bundle_of_another_version_is_refused(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = Part("bundle", "making a stand-in", stand_in, version="2")
    monkeypatch.setattr(recipe, "goal", lambda: newer)
    with pytest.raises(PodiumError, match=f"its key is {GOAL.key}, this version's is {newer.key}"):
        bundle.fetch(url)
    assert left(tmp_path / "cache") == []


@pytest.mark.parametrize("content", [b"no archive", bytes(1000)])
def test_another_file_is_refused(content: bytes, packed: Path, tmp_path: Path) -> None:
    packed.write_bytes(content)
    packed.with_name(f"{packed.name}.sha256").write_text(hashlib.sha256(content).hexdigest())
    with pytest.raises(PodiumError, match="This archive is no"):
        bundle.fetch(packed.as_uri())
    assert left(tmp_path / "cache") == []


def test_a_damaged_bundle_is_told_from_a_missing_one(url: str) -> None:
    got = bundle.fetch(url)
    with got.disk.open("r+b") as disk:
        disk.truncate(1000)
    with pytest.raises(CannotRunHere, match="is damaged"):
        bundle.current()
    bundle.fetch(url)
    assert bundle.current().disk.stat().st_size == SPARSE


def test_one_killed_while_unpacking_is_swept(url: str, tmp_path: Path) -> None:
    half = tmp_path / "cache/tmp/bundle"
    half.mkdir(parents=True)
    (half / "linux").write_text("")
    shutil.copytree(half, half.with_name("bundle.scratch"))
    bundle.fetch(url)
    assert list(half.parent.iterdir()) == []
