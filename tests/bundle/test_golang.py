"""Go programs: the official release where it can be had, else compiled; never anything but what is pinned."""

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from podium.bundle import golang
from podium.bundle.store import Part, Store
from podium.bundle.tools import missing_tools
from podium.errors import PodiumError

from .conftest import Server

pytestmark = pytest.mark.skipif(any(tool.startswith("go ") for tool in missing_tools()), reason="there is no Go here")

PATH = "/example.org/v1.2/hello.tar.gz"


def release() -> bytes:
    """What the official server would have: a program that says where it is from."""
    content = b"#!/bin/sh\necho official\n"
    with io.BytesIO() as buffer:
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            entry = tarfile.TarInfo("server/bin/hello")
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
        return buffer.getvalue()


MAIN = """package main

var version string

func main() { print("compiled ", version) }
"""
RELEASE = release()
PIN: dict[str, Any] = {
    "version": "1.2",
    "programs": {"hello": "podium.invalid/hello/v2"},
    "ldflags": ["-X main.version={version}"],
    "release": {
        "url": "https://example.org/v{version}/hello.tar.gz",
        "sha512": hashlib.sha512(RELEASE).hexdigest(),
        "folder": "server/bin/",
    },
}


@pytest.fixture
def part(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Part:
    """The program "hello" of a recipe, to be had from ``server`` or from source."""
    monkeypatch.setenv("PODIUM_DOWNLOADS", server.url)
    module = tmp_path / "recipe/modules/hello"
    module.mkdir(parents=True)
    (module / "go.mod").write_text("module podium.invalid/hello/v2\n\ngo 1.21\n")
    (module / "main.go").write_text(MAIN)
    return golang.part(tmp_path / "recipe", "hello", PIN, Part("packages", "", lambda job: ""), cost=1, size=1)


def says(store: Store, part: Part) -> str:
    done = subprocess.run([store.path(part) / "hello"], capture_output=True, text=True, timeout=10, check=True)
    return (done.stdout + done.stderr).strip()


def test_the_official_release_is_taken(server: Server, store: Store, part: Part) -> None:
    server.files[PATH] = RELEASE
    store.build(part, quiet=True)
    assert says(store, part) == "official"
    assert store.describe(part)["source"] == "the official release, https://example.org/v1.2/hello.tar.gz"


def test_an_absent_release_is_compiled(store: Store, part: Part) -> None:
    store.build(part, quiet=True)
    assert says(store, part) == "compiled 1.2"
    assert store.describe(part)["source"] == "compiled from the Go module proxy"


def test_an_unreachable_release_is_compiled(store: Store, part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_DOWNLOADS", "http://127.0.0.1:9")
    store.build(part, quiet=True)
    assert says(store, part) == "compiled 1.2"


@pytest.mark.parametrize("content", [RELEASE[:-10], RELEASE + b"x", RELEASE.replace(b"\x00", b"\x01", 1)])
def test_another_release_is_refused_not_replaced(content: bytes, server: Server, store: Store, part: Part) -> None:
    server.files[PATH] = content
    with pytest.raises(PodiumError, match="is not what is pinned"):
        store.build(part, quiet=True)
    assert store.facts(part) is None
    server.files[PATH] = RELEASE
    store.build(part, quiet=True)
    assert says(store, part) == "official"


def test_a_release_without_the_program_is_an_error(server: Server, store: Store, tmp_path: Path, part: Part) -> None:
    server.files[PATH] = RELEASE
    pin = {**PIN, "programs": {"hallo": "podium.invalid/hello/v2"}}
    other = golang.part(tmp_path / "recipe", "hello", pin, Part("packages", "", lambda job: ""), cost=1, size=1)
    with pytest.raises(PodiumError, match="has no server/bin/hallo"):
        store.build(other, quiet=True)


def test_what_does_not_compile_says_why(store: Store, tmp_path: Path, part: Part) -> None:
    (tmp_path / "recipe/modules/hello/main.go").write_text("package main\n\nfunc main() { nonsense() }\n")
    with pytest.raises(PodiumError, match="undefined: nonsense"):
        store.build(part, quiet=True)
