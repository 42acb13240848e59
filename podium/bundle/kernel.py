"""The kernel of a node: Linux compiled as an ordinary program (user-mode Linux), from Debian's source package."""

import os
import shutil
from pathlib import Path
from typing import Any

from podium.bundle.debian import Apt
from podium.bundle.store import Job, Part
from podium.errors import PodiumError

# Sources of hardware that a process does not have. Their Kconfig files and Makefiles stay: the build reads them.
_SKIP = [
    *(f"drivers/{name}/*.[chS]" for name in ("accel", "clk", "gpu", "iio", "infiniband", "media", "pinctrl", "scsi")),
    *(f"drivers/{name}/*.[chS]" for name in ("net/ethernet", "net/wireless", "staging", "usb", "video")),
    "sound/*.[chS]",
    *(f"arch/[a-tvwyz]*/*.{suffix}" for suffix in ("[chS]", "dts*")),  # all but um and x86
    "tools/testing/*",
    "Documentation/*",
]

# What a node no longer uses, the machine gets back: https://docs.kernel.org/mm/free_page_reporting.html. User-mode
# Linux has no driver for it. Pieces of 64 KiB and more: smaller ones would cost more calls than they bring.
_REPORTING = """#include <linux/kasan.h>
#include <linux/page_reporting.h>

static int give_back(struct page_reporting_dev_info *device, struct scatterlist *free, unsigned int count)
{
	struct scatterlist *piece;
	unsigned int i;
	int err;

	for_each_sg(free, piece, count, i) {
		err = os_drop_memory(sg_virt(piece), piece->length);
		if (err)
			return err;
	}
	return 0;
}

static struct page_reporting_dev_info giving_back = { .report = give_back, .order = 4 };

static int __init start_giving_back(void)
{
	return page_reporting_register(&giving_back);
}
late_initcall(start_giving_back);
"""

_CHANGES = (
    # Linked statically it also runs on machines with an older C library. Kconfig forbids that because some network
    # transports look up host names; a node's is a socket.
    ("arch/um/Kconfig", "\tdepends on !MAY_HAVE_RUNTIME_DEPS\n", ""),
    # A node's memory is a file. In a folder, the machine would write it to the disk again and again; /dev/shm is often
    # too small. This one is in memory and has no folder: https://man7.org/linux/man-pages/man2/memfd_create.2.html.
    ("arch/um/os-Linux/mem.c", "fd = make_tempfile(TEMPNAME_TEMPLATE);", 'fd = memfd_create("memory", MFD_CLOEXEC);'),
    ("arch/um/kernel/mem.c", "#include <linux/kasan.h>\n", _REPORTING),
)
_OLDER = "Take the version in node/lock.toml, or look what became of it and mend podium/bundle/kernel.py."


def part(recipe: Path, pin: dict[str, Any]) -> Part:
    """The part that holds ``linux``, an executable.

    Args:
        recipe: The folder of the recipe.
        pin: ``[kernel]`` of the lock file.
    """
    config = recipe / "kernel.config"
    return Part(
        name="kernel",
        what=f"compiling Linux {pin['version']}",
        make=lambda job: _make(job, config, pin),
        version=pin["version"],
        pins=pin,
        files=(config, Path(__file__)),
        cost=600,
        size=1800,
    )


def _make(job: Job, config: Path, pin: dict[str, Any]) -> str:
    tree = job.work / "linux"
    version = job.work / "version"  # written when the tree is complete
    if not version.exists():
        _unpack(job, tree, version, pin)
    env = {"KBUILD_BUILD_USER": "podium", "KBUILD_BUILD_HOST": "podium", "KBUILD_BUILD_TIMESTAMP": "1970-01-01"}
    make = ("make", "--no-print-directory", "ARCH=um")
    job.run(*make, f"KCONFIG_ALLCONFIG={config}", "allnoconfig", limit=300, cwd=tree, env=env)
    job.run(*make, f"-j{os.cpu_count()}", "linux", limit=5400, cwd=tree, env=env)
    shutil.copy(tree / "linux", job.out / "linux")
    job.run("strip", job.out / "linux", limit=60)
    shutil.copy(tree / ".config", job.out / "config")
    return f"compiled from Debian's {version.read_text()}"


def _unpack(job: Job, tree: Path, version: Path, pin: dict[str, Any]) -> None:
    package, number = Apt(job, pin["suite"]).source(pin["package"], pin["version"])
    if number != pin["version"]:
        job.progress.say(f"kernel: Debian no longer has {pin['version']}; {number} is compiled instead")
    job.run("dpkg-deb", "-x", package, job.scratch, limit=300)
    archive = next((job.scratch / "usr/src").glob("linux-source-*.tar.xz"))
    top = archive.name.removesuffix(".tar.xz")
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir()
    skip = [f"--exclude={top}/{pattern}" for pattern in _SKIP]
    job.run("tar", "-xJf", archive, "-C", tree, "--strip-components=1", *skip, limit=600)
    (tree / "Documentation").mkdir(exist_ok=True)
    (tree / "Documentation/Kconfig").touch()
    for file, old, new in _CHANGES:
        text = (tree / file).read_text()
        if old not in text:
            raise PodiumError(f"{file} of Linux {number} has no {old.strip()!r}, which Podium changes.", _OLDER)
        (tree / file).write_text(text.replace(old, new))
    version.write_text(f"{package.name.split('_')[0]} {number}")
