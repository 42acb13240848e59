"""Images made without a container engine: the same bytes each time, and in the form that the specification has."""

import hashlib
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest

from podium.bundle import images

NAME = "podium.test/hello:1.0"
CONFIG = {"Cmd": ["hello"], "User": "101:101"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small root file system."""
    tree = tmp_path / "tree"
    for folder in ("usr/bin", "tmp", "data"):
        (tree / folder).mkdir(parents=True)
    (tree / "usr/bin/hello").write_text("#!/bin/sh\necho hello\n")
    (tree / "usr/bin/hello").chmod(0o755)
    (tree / "bin").symlink_to("usr/bin")
    return tree


def archive(tree: Path, folder: Path) -> Path:
    folder.mkdir()
    images.write_layer(tree, folder / "layer.tar", {"tmp": {"mode": 0o1777}, "data": {"owner": 101}})
    images.write_archive(folder / "hello.tar", NAME, [folder / "layer.tar"], CONFIG)
    return folder / "hello.tar"


def test_the_same_files_give_the_same_bytes(tree: Path, tmp_path: Path) -> None:
    first = archive(tree, tmp_path / "1")
    shutil.copytree(tree, tmp_path / "again", symlinks=True)
    (tmp_path / "again/usr/bin/hello").touch()
    assert archive(tmp_path / "again", tmp_path / "2").read_bytes() == first.read_bytes()


def test_layer(tree: Path, tmp_path: Path) -> None:
    archive(tree, tmp_path / "out")
    with tarfile.open(tmp_path / "out/layer.tar") as tar:
        entries = {entry.name: entry for entry in tar}
    assert {(entry.uid, entry.gid, entry.mtime, entry.uname) for name, entry in entries.items() if name != "data"} == {
        (0, 0, 0, "")
    }
    assert (entries["data"].uid, entries["tmp"].mode, entries["usr/bin/hello"].mode) == (101, 0o1777, 0o755)
    assert entries["bin"].linkname == "usr/bin"


def test_layout(tree: Path, tmp_path: Path) -> None:
    """Image layout: https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md"""
    with tarfile.open(archive(tree, tmp_path / "out")) as tar:
        files = {entry.name: tar.extractfile(entry).read() for entry in tar}
    for name, content in files.items():
        if name.startswith("blobs/"):
            assert name == f"blobs/sha256/{hashlib.sha256(content).hexdigest()}"

    def blob(descriptor: dict[str, Any]) -> bytes:
        content = files[f"blobs/{descriptor['digest'].replace(':', '/')}"]
        assert len(content) == descriptor["size"]
        return content

    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}
    (entry,) = json.loads(files["index.json"])["manifests"]
    assert entry["annotations"]["io.containerd.image.name"] == NAME
    manifest = json.loads(blob(entry))
    config = json.loads(blob(manifest["config"]))
    assert config["config"] == CONFIG
    assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]
    assert blob(manifest["layers"][0]) == (tmp_path / "out/layer.tar").read_bytes()
    (saved,) = json.loads(files["manifest.json"])  # what `docker load` reads
    assert saved["RepoTags"] == [NAME]
    assert {saved["Config"], *saved["Layers"]} < set(files)
