"""The root disk of a node: an ext4 image with Debian's userland, containerd, kubelet, and the images unpacked."""

import shutil
from pathlib import Path
from typing import Any

from podium.bundle import debian
from podium.bundle.store import Job, Part
from podium.errors import PodiumError

_PROGRAMS = {
    "containerd": ("containerd", "containerd-shim-runc-v2", "ctr"),
    "cri-tools": ("crictl",),
    "kubernetes": ("kubelet", "kube-proxy"),
    "runc": ("runc",),
}
_CNI = ("bridge", "host-local", "loopback", "portmap", "ptp")
_FOLDERS = ("dev", "proc", "sys", "run", "tmp", "var/lib/containerd", "var/lib/kubelet", "var/log/pods")
_DONE = "podium: build done"


def part(recipe: Path, pin: dict[str, Any], images: list[Part], **parts: Part) -> Part:
    """The part that holds ``node.img``.

    Args:
        recipe: The folder of the recipe.
        pin: ``[disk]`` of the lock file.
        images: The images to put on it.
        parts: kernel, packages, and the programs of a node.
    """
    return Part(
        name="disk",
        what="making the disk of a node",
        make=lambda job: _make(job, recipe, pin),
        pins=pin,
        files=(recipe / "rootfs", recipe / "images/base", Path(__file__)),
        needs=(*parts.values(), *images),
        cost=60,
        size=2500,
    )


def _make(job: Job, recipe: Path, pin: dict[str, Any]) -> str:
    tree, images, disk = job.scratch / "root", job.scratch / "images", job.out / "node.img"
    tree.mkdir(parents=True)
    images.mkdir()
    _lay_root(job, recipe, tree)
    _format(job, tree, disk, pin["size"])
    shutil.rmtree(tree)
    for need in job.part.needs:
        if need.name.startswith("image-"):
            for archive in job.store.path(need).glob("*.tar"):
                (images / archive.name).hardlink_to(archive)
    megabytes = sum(archive.stat().st_size for archive in images.iterdir()) // 1_000_000
    _format(job, images, job.scratch / "images.img", f"{megabytes * 5 // 4 + 64}M")
    _import(job, disk, job.scratch / "images.img")
    return "put together from the other parts"


def _lay_root(job: Job, recipe: Path, tree: Path) -> None:
    """Everything a node's disk holds before its first boot; all of it belongs to whoever builds."""
    debian.lay(job, debian.closure(job.need("packages"), "node"), tree)
    debian.link_applets(job, tree)
    for name in ("iptables", "ip6tables"):
        for suffix in ("", "-save", "-restore"):
            link = tree / f"usr/sbin/{name}{suffix}"  # what update-alternatives would make; the kernel has no nf_tables
            link.unlink(missing_ok=True)
            link.symlink_to("xtables-legacy-multi")
    certificates = sorted((tree / "usr/share/ca-certificates").rglob("*.crt"))
    (tree / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
    (tree / "etc/ssl/certs/ca-certificates.crt").write_text("".join(path.read_text() for path in certificates))
    for folder in (*_FOLDERS, "opt/cni/bin", "usr/local/bin"):
        (tree / folder).mkdir(parents=True, exist_ok=True)
    for plugin in _CNI:
        (tree / "usr/lib/cni" / plugin).rename(tree / "opt/cni/bin" / plugin)
    shutil.rmtree(tree / "usr/lib/cni")
    for part, programs in _PROGRAMS.items():
        for program in programs:
            shutil.copy(job.need(part) / program, tree / "usr/local/bin" / program)
    shutil.copy(job.need("podium-node") / "podium-node", tree / "usr/sbin/podium-node")
    for files in (recipe / "images/base/rootfs", recipe / "rootfs"):
        shutil.copytree(files, tree, symlinks=True, dirs_exist_ok=True)


def _format(job: Job, tree: Path, image: Path, size: str) -> None:
    """Make a sparse ext4 image that holds ``tree``; with a small journal, for a node's kernel may be killed."""
    options = ("-J", "size=8", "-m", "0", "-E", "lazy_itable_init=0,root_owner=0:0,nodiscard")
    job.run("mke2fs", "-q", "-F", "-t", "ext4", *options, "-d", tree, image, size, limit=600)


def _import(job: Job, disk: Path, images: Path) -> None:
    """Boot the disk once in build mode: all files become root's, and containerd unpacks the images."""
    output = job.run(
        *(job.need("kernel") / "linux", "mem=1G", "seccomp=on", f"uml_dir={job.scratch}"),
        *(f"ubd0={disk}", f"ubd1={images}", "root=/dev/ubda", "rw", "init=/sbin/podium-node", "podium=build"),
        *("con0=null,fd:1", "con=null"),
        limit=600,
    )
    if _DONE not in output:
        last = "\n".join(output.splitlines()[-8:])
        raise PodiumError(f"The node that was booted to unpack the images did not finish:\n{last}")
    # Give back what was only written for a while. e2fsck answers 1 for "corrected": see its manual page.
    job.run("sh", "-c", 'e2fsck -f -y -E discard "$1" || [ $? = 1 ]', "sh", disk, limit=300)
