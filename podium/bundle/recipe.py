"""The graph of parts that a bundle is made from, as the recipe in ``node/`` describes them."""

import errno
import hashlib
import json
import os
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import node
from podium.bundle import debian, disk, golang, images, kernel
from podium.bundle.store import Job, Part
from podium.embedded import controlplane
from podium.embedded.files import Bundle

# Seconds of one processor and megabytes on disk, measured part by part at 2.1 GHz with nothing in the caches.
# What shares Kubernetes' libraries takes less than this once those are compiled.
_COSTS = {
    "kubernetes": (620, 900),
    "agnhost": (40, 60),
    "etcd": (60, 80),
    "containerd": (80, 120),
    "runc": (25, 40),
    "cri-tools": (30, 60),
    "coredns": (60, 70),
    "metrics-server": (60, 70),
    "local-path-provisioner": (40, 60),
    "kind": (10, 15),
    "podium-node": (20, 30),
    "shop": (10, 10),
}
_HOST = {
    "kubernetes": ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubeadm", "kubectl"),
    "etcd": ("etcd", "etcdctl", "etcdutl"),
    "kind": ("kind",),
    "podium-node": ("podium-netd",),
}


@cache
def lock(recipe: Path = node.RECIPE) -> dict[str, Any]:
    """The lock file: what every part is pinned to."""
    return tomllib.loads((recipe / "lock.toml").read_text())


@cache
def goal(recipe: Path = node.RECIPE) -> Part:
    """The part that is the whole bundle."""
    pins = lock(recipe)
    linux = kernel.part(recipe, pins["kernel"])
    sets = {name: pins["debian"][name] for name in ("node", "static")} | images.names(recipe)
    packages = debian.part(sets, pins["debian"])
    programs = {name: golang.part(recipe, name, pins[name], packages, *cost) for name, cost in _COSTS.items()}
    pictures = images.parts(recipe, packages, programs)
    archives = [part for name, part in pictures.items() if name != "image-base"]
    inside = {name: programs[name] for name in ("containerd", "cri-tools", "kubernetes", "podium-node", "runc")}
    root = disk.part(recipe, pins["disk"], archives, kernel=linux, packages=packages, **inside)
    files = Part(
        name="files",
        what="putting the bundle's files together",
        make=_gather,
        files=(Path(__file__),),
        needs=(linux, root, *(programs[name] for name in _HOST), *archives),
    )
    seed = Part(
        name="seed",
        what="starting the control plane once, for the state that every cluster begins with",
        make=_seed,
        files=(Path(__file__).with_name("seed.py"), Path(controlplane.__file__), recipe / "manifests"),
        needs=(files,),
        cost=20,
        size=30,
    )
    sums = Part(
        name="checksums", what="computing the checksums of the bundle", make=_checksums, needs=(files,), cost=10
    )
    return Part(name="bundle", what="finishing the bundle", make=_finish, needs=(files, seed, sums))


def _gather(job: Job) -> str:
    _link(job.need("kernel") / "linux", job.out / "linux")
    _link(job.need("disk") / "node.img", job.out / "node.img")
    for part, names in _HOST.items():
        for name in names:
            _link(job.need(part) / name, job.out / "bin" / name)
    for part in job.part.needs:
        if part.name.startswith("image-"):
            for archive in job.store.path(part).glob("*.tar"):
                _link(archive, job.out / "images" / archive.name)
    return "hard links to the other parts"


def _seed(job: Job) -> str:
    from podium.bundle import seed  # starts a control plane: the rest of this package must not depend on that

    seed.make(Bundle(job.need("files")), job.out / "seed")
    return "a control plane that ran once"


def _checksums(job: Job) -> str:
    files = sorted(file for file in job.need("files").rglob("*") if file.is_file() and file.name != "part.json")
    sums = {str(file.relative_to(job.need("files"))): sha256(file) for file in files}
    (job.out / "sha256.json").write_text(json.dumps(sums))
    return "the bundle's files"


def _finish(job: Job) -> str:
    for need in ("files", "seed"):
        for file in job.need(need).rglob("*"):
            if file.is_file() and file.name != "part.json":
                _link(file, job.out / file.relative_to(job.need(need)))
    made = [part for part in job.part.closure() if part is not job.part]
    manifest = {
        "key": job.part.key,
        "parts": [job.store.describe(part) for part in made],
        "sha256": json.loads((job.need("checksums") / "sha256.json").read_text()),
    }
    (job.out / "manifest.json").write_text(json.dumps(manifest, indent=1))
    return "built here"


def sha256(file: Path) -> str:
    """The sha256 of ``file``; holes in it are not read."""
    digest, zeros = hashlib.sha256(), bytes(1 << 20)
    with file.open("rb") as content:
        size, at = os.fstat(content.fileno()).st_size, 0
        while at < size:
            try:
                data = os.lseek(content.fileno(), at, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:  # there is none after `at`
                    raise
                data = size
            for start in range(at, data, len(zeros)):
                digest.update(zeros[: data - start])
            at = os.lseek(content.fileno(), data, os.SEEK_HOLE) if data < size else size
            content.seek(data)
            for start in range(data, at, len(zeros)):
                digest.update(content.read(min(len(zeros), at - start)))
    return digest.hexdigest()


def _link(file: Path, link: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    link.hardlink_to(file)
