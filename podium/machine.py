"""What this machine has to spare."""

import shutil
from collections.abc import Iterator
from pathlib import Path

# The limit of a control group, and what is used of it: https://docs.kernel.org/admin-guide/cgroup-v2.html, cgroup-v1.
_LIMITS = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))


def free_disk_mb(place: Path) -> tuple[int, Path]:
    """How many MB are free where a folder is or will be, and the folder nearest to it that exists."""
    there = next(path for path in (place, *place.parents) if path.exists())
    return shutil.disk_usage(there).free >> 20, there


def free_memory_mb() -> int:
    """How many MB this process may still use: the machine's, or those of its control group where they are fewer."""
    left = [(most - used + _cache(group)) >> 20 for group, most, used in _limits()]
    return min([_meminfo_mb("MemAvailable"), *left])


def is_small() -> bool:
    """Whether there is less than 4 GB, in the machine or in this process's control group: a Binder session has 2."""
    return min([_meminfo_mb("MemTotal"), *(most >> 20 for _, most, _ in _limits())]) < 4096


def _meminfo_mb(name: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return int(lines[name].split()[0]) >> 10


def _limits() -> Iterator[tuple[Path, int, int]]:
    """The control groups that limit this process's memory, each with its limit and what is used of it, in bytes."""
    for group in control_groups():
        for limit, used in _LIMITS:
            try:
                most, now = (group / limit).read_text().strip(), int((group / used).read_text())
            except OSError:  # another version's, or none of ours
                continue
            if most != "max":
                yield group, int(most), now


def _cache(group: Path) -> int:
    """The bytes of a control group that are given back as soon as they are needed."""
    stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    return int(stat.get("total_inactive_file") or stat["inactive_file"])


def control_groups(process: int | str = "self", controller: str = "memory") -> list[Path]:
    """The folders of the control groups that a process is in, the innermost first, as far as they are seen from here.

    Args:
        process: Its number.
        controller: The controller meant, where each has a hierarchy of its own (version 1).
    """
    found = []
    for line in Path(f"/proc/{process}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(",") or not controllers:
            top = Path("/sys/fs/cgroup", controllers)
            inside = top / path.lstrip("/")
            found += [group for group in (inside, *inside.parents) if group.is_relative_to(top)]
    return found
