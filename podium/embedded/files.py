"""The files of a bundle: everything that the embedded backend runs, in one folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Bundle:
    """A complete bundle, as ``podium bundle build`` or ``podium bundle fetch`` leaves it.

    Args:
        path: The bundle's folder.
    """

    path: Path

    @property
    def kernel(self) -> Path:
        """The user-mode Linux kernel, an executable."""
        return self.path / "linux"

    @property
    def disk(self) -> Path:
        """The root disk of every node, an ext4 image that is never written to: each node writes to its own overlay."""
        return self.path / "node.img"

    @property
    def seed(self) -> Path:
        """An etcd data folder that already holds what a new cluster begins with."""
        return self.path / "seed"

    @property
    def images(self) -> Path:
        """The folder of the course's container images, each an OCI archive."""
        return self.path / "images"

    def program(self, name: str) -> Path:
        """The path of a program that runs on the host: ``kube-apiserver``, ``etcd``, ``kubectl``, ``podium-netd`` …"""
        return self.path / "bin" / name

    @property
    def manifest(self) -> dict[str, Any]:
        """``manifest.json``: the version, the source and the sha256 of every part."""
        return json.loads((self.path / "manifest.json").read_text())
