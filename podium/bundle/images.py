"""Container images made without a container engine: OCI archives of Debian packages, our programs and plain files.

An image's recipe is a folder: image.toml, and rootfs/ with files to lay over the packages. The archive's layout is that
of the OCI image specification, with the manifest.json of `docker save` beside it: ctr, kind, Podman and Docker load it.
"""

import hashlib
import io
import json
import os
import shutil
import tarfile
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from podium.bundle import debian
from podium.bundle.store import Job, Part

_LAYER = "application/vnd.oci.image.layer.v1.tar"


def parts(recipe: Path, packages: Part, programs: Mapping[str, Part]) -> dict[str, Part]:
    """One part for each image of the recipe; "base" is the layer that most of them share.

    Args:
        recipe: The folder of the recipe.
        packages: The part with the Debian packages.
        programs: The parts with compiled programs, by name.
    """
    folders = sorted(path.parent for path in (recipe / "images").glob("*/image.toml"))
    recipes = {folder.name: tomllib.loads((folder / "image.toml").read_text()) for folder in folders}
    found: dict[str, Part] = {}
    for folder in sorted(folders, key=lambda folder: folder.name != "base"):
        image = recipes[folder.name]
        base = (found["image-base"],) if image.get("base", True) and folder.name != "base" else ()
        found[f"image-{folder.name}"] = Part(
            name=f"image-{folder.name}",
            what=f"making the image {folder.name}",
            make=lambda job, folder=folder, image=image: _make(job, folder, image),
            version=image.get("name", ":").rpartition(":")[2],
            files=(folder, Path(__file__)),
            needs=(packages, *base, *(programs[source.split("/")[0]] for source in image.get("programs", {}).values())),
            cost=3,
            size=60,
        )
    return found


def names(recipe: Path) -> dict[str, list[str]]:
    """The Debian packages of each image."""
    files = sorted((recipe / "images").glob("*/image.toml"))
    found = {f"image-{file.parent.name}": tomllib.loads(file.read_text()).get("packages", []) for file in files}
    return {name: packages for name, packages in found.items() if packages}


def _make(job: Job, folder: Path, image: dict[str, Any]) -> str:
    name, is_base, has_base = job.part.name, folder.name == "base", image.get("base", True) and folder.name != "base"
    tree = job.scratch / "tree"
    tree.mkdir(parents=True)
    packages = debian.closure(job.need("packages"), name, image.get("without", ()))
    if has_base:
        base = debian.closure(job.need("packages"), "image-base")
        packages = [package for package in packages if package not in base]
    debian.lay(job, packages, tree)
    for pattern in image.get("remove", []):
        for path in sorted(tree.glob(pattern)):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    if (folder / "rootfs").is_dir():
        shutil.copytree(folder / "rootfs", tree, symlinks=True, dirs_exist_ok=True)
    for target, source in image.get("programs", {}).items():
        part, program = source.split("/")
        (tree / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(job.need(part) / program, tree / target)
    if source := image.get("compile"):
        compiler = debian.static_compiler(job)
        job.run(*compiler, "-Os", "-static", "-s", "-o", tree / Path(source).stem, folder / source, limit=60)
    for link, target in image.get("links", {}).items():
        (tree / link).parent.mkdir(parents=True, exist_ok=True)
        (tree / link).symlink_to(target)
    if is_base:
        debian.link_applets(job, tree)
    for directory in image.get("folders", {}):
        (tree / directory).mkdir(parents=True, exist_ok=True)
    layer = job.out / "layer.tar"
    write_layer(tree, layer, image.get("folders", {}))
    if not is_base:
        layers = [job.need("image-base") / "layer.tar"] if has_base else []
        write_archive(job.out / f"{folder.name}.tar", image["name"], [*layers, layer], image.get("config", {}))
        layer.unlink()
    return f"{len(packages)} Debian packages and compiled programs" if packages else "compiled programs and plain files"


def write_layer(tree: Path, file: Path, folders: Mapping[str, Any]) -> None:
    """Write ``tree`` as a layer: everything belongs to root, but for ``folders``; the same tree gives the same bytes.

    Args:
        tree: The files.
        file: The tar file to write.
        folders: Owner and mode of folders that are not root's or not 0755: ``{"tmp": {"mode": 0o1777, "owner": 0}}``.
    """

    def normalise(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        own = folders.get(entry.name, {})
        entry.uid = entry.gid = own.get("owner", 0)
        entry.mode = own.get("mode", entry.mode)
        entry.uname = entry.gname = ""
        entry.mtime = 0
        return entry

    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(tree.iterdir()):
            tar.add(path, path.name, filter=normalise)


def write_archive(file: Path, name: str, layers: list[Path], config: Mapping[str, Any]) -> None:
    """Write an OCI archive.

    Args:
        file: The tar file to write.
        name: The image's full name, with its tag.
        layers: Layers, lowest first, as uncompressed tar files.
        config: ``config`` of the image: Entrypoint, Cmd, Env, User, WorkingDir, ExposedPorts.
    """
    blobs: dict[str, bytes | Path] = {}

    def blob(content: bytes | Path, media: str) -> dict[str, Any]:
        if isinstance(content, bytes):
            digest, size = hashlib.sha256(content).hexdigest(), len(content)
        else:
            with content.open("rb") as stream:
                digest, size = hashlib.file_digest(stream, "sha256").hexdigest(), content.stat().st_size
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": media, "digest": f"sha256:{digest}", "size": size}

    entries = [blob(layer, _LAYER) for layer in layers]
    image = {
        "architecture": "amd64",
        "os": "linux",
        "config": dict(config),
        "rootfs": {"type": "layers", "diff_ids": [entry["digest"] for entry in entries]},
        "history": [{"created_by": "podium bundle build"} for _ in entries],
    }
    configuration = blob(_json(image), "application/vnd.oci.image.config.v1+json")
    media = "application/vnd.oci.image.manifest.v1+json"
    manifest = blob(_json({"schemaVersion": 2, "mediaType": media, "config": configuration, "layers": entries}), media)
    tag = name.rpartition(":")[2]
    manifest["annotations"] = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": tag}
    paths = [f"blobs/{entry['digest'].replace(':', '/')}" for entry in [configuration, *entries]]
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))
        _add(tar, "index.json", _json({"schemaVersion": 2, "manifests": [manifest]}))
        _add(tar, "manifest.json", _json([{"Config": paths[0], "RepoTags": [name], "Layers": paths[1:]}]))
        for path, content in blobs.items():
            _add(tar, path, content)


def _json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


def _add(tar: tarfile.TarFile, name: str, content: bytes | Path) -> None:
    entry = tarfile.TarInfo(name)
    entry.mode = 0o644
    if isinstance(content, bytes):
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    else:
        entry.size = os.stat(content).st_size
        with content.open("rb") as stream:
            tar.addfile(entry, stream)
