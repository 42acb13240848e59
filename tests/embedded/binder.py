"""Runs a command as Binder runs a session: see :func:`command`.

docker-seccomp.json is default.json of github.com/moby/profiles/seccomp v0.3.0 (Apache-2.0), which Docker Engine uses:
https://docs.docker.com/engine/security/seccomp/. libseccomp makes the filter of it, as it does for runc.
"""

import ctypes
import json
import os
import sys
import sysconfig
from pathlib import Path

_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000  # seccomp.h
_X86, _X32 = 0x40000003, 0x4000003E
_COMPARE = {"SCMP_CMP_LT": 2, "SCMP_CMP_EQ": 4, "SCMP_CMP_MASKED_EQ": 7}

# All is mounted anew for the session alone, read-only; then what it needs of root's own folders is shown in /home.
_ENTER = r"""
set -eu
[ -z "$GROUP" ] || echo 0 > "$GROUP/cgroup.procs"
findmnt -rno TARGET | grep -Ev '^/(proc|sys|dev)(/|$)' | sort -u | while read -r place; do
    mount -o remount,bind,ro "$place"
done
mount -t tmpfs -o size=64m,mode=1777 none /dev/shm
mount -t tmpfs -o mode=755 none /home
show() { mkdir -p "$2"; mount --bind "$1" "$2"; mount -o "remount,bind,$3" "$2"; }
show "$HOME_FOLDER" /home/jovyan rw
show "$CACHE" /home/jovyan/.cache/podium ro
show "$PYTHON" /home/python ro
show "$PACKAGES" /home/packages ro
show "$REPOSITORY" /home/repository ro
mount -o remount,ro /home
cd /home/jovyan
exec taskset --cpu-list "$PROCESSOR" \
    setpriv --reuid=1000 --regid=1000 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs \
    env --ignore-environment HOME=/home/jovyan PATH=/home/python/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 \
    PYTHONPATH=/home/repository:/home/packages LD_LIBRARY_PATH=/home/python/lib "$INTERPRETER" "$SELF" "$@"
"""


class _Comparison(ctypes.Structure):
    _fields_ = (("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


def confine(profile: Path) -> None:
    """Put this process under a seccomp profile in Docker's format, as it applies to one without capabilities.

    Raises:
        OSError: The filter could not be made or loaded.
    """
    rules = json.loads(profile.read_text())
    lib = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    lib.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(lib.seccomp_init(_ERRNO | rules["defaultErrnoRet"]))
    for architecture in (_X86, _X32):
        _check(lib.seccomp_arch_add(context, architecture))
    for rule in rules["syscalls"]:
        wanted, excluded = rule.get("includes", {}), rule.get("excludes", {})
        if "caps" in wanted or "amd64" not in wanted.get("arches", ["amd64"]) or "amd64" in excluded.get("arches", []):
            continue
        action = _ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else _ERRNO | rule["errnoRet"]
        tests = [(a["index"], _COMPARE[a["op"]], a["value"], a.get("valueTwo", 0)) for a in rule.get("args") or []]
        for name in rule["names"]:
            number = lib.seccomp_syscall_resolve_name(name.encode())
            if number != -1:  # one that this libseccomp does not know stays forbidden
                comparisons = (_Comparison * len(tests))(*tests)
                _check(lib.seccomp_rule_add_array(context, action, number, len(tests), comparisons))
    _check(lib.seccomp_load(context))
    lib.seccomp_release(context)


def _check(code: int) -> None:
    if code < 0:
        raise OSError(-code, f"libseccomp: {os.strerror(-code)}")


def command(
    home: Path, cache: Path, processor: int, group: Path | None, *inside: str
) -> tuple[list[str], dict[str, str]]:
    """The command line, and what to add to the environment, that run ``inside`` in a session; root may call it.

    A session has user 1000, no capabilities, no_new_privs, Docker's default seccomp profile, a /dev/shm of 64 MB and
    one processor. /home/jovyan is the only folder on a disk that it can write to. Its processes end with it.

    Args:
        home: What it sees as /home/jovyan.
        cache: What it sees as /home/jovyan/.cache/podium, read-only.
        processor: The number of its processor.
        group: The control group that it belongs to; None for its caller's.
        inside: The command and its arguments.
    """
    repository = Path(__file__).parents[2]
    names = {
        "HOME_FOLDER": home, "CACHE": cache, "PROCESSOR": processor, "GROUP": group or "", "PYTHON": sys.base_prefix,
        "PACKAGES": sysconfig.get_path("purelib"),
        "REPOSITORY": repository,
        "INTERPRETER": f"/home/python/bin/{Path(sys.executable).resolve().name}",
        "SELF": f"/home/repository/{Path(__file__).relative_to(repository)}",
    }  # fmt: skip
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return [*unshare, "sh", "-c", _ENTER, "sh", *inside], {name: str(value) for name, value in names.items()}


if __name__ == "__main__":
    confine(Path(__file__).with_name("docker-seccomp.json"))
    os.execvp(sys.argv[1], sys.argv[1:])
