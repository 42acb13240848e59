"""What each backend needs of a machine, and whether this one has it."""

import os
import platform
import subprocess
import tempfile
from dataclasses import dataclass

from podium import bundle, paths
from podium.embedded.files import Bundle
from podium.errors import CannotRunHere
from podium.kind import config, engine
from podium.kind.backend import lacks
from podium.machine import free_disk_mb, free_memory_mb

MEMORY_MB = 1200  # a control plane and one node, with room for a notebook server
DISK_MB = 800  # the folder of a running cluster with two nodes that are used


@dataclass(frozen=True)
class Finding:
    """One thing that a backend needs: whether it is there, and what would help where it is not."""

    good: bool
    what: str
    hint: str = ""


def examine() -> dict[str, list[Finding]]:
    """What was found for each backend; one can run here when everything is good."""
    return {"embedded": _embedded(), "kind": _kind()}


def _embedded() -> list[Finding]:
    system = f"{platform.system()} on {platform.machine()}"
    findings = [
        Finding(
            system == "Linux on x86_64",
            system,
            "The embedded backend is for Linux on x86-64: use kind, or a Linux machine.",
        )
    ]
    if not findings[0].good:
        return findings
    memory = free_memory_mb()
    findings.append(
        Finding(memory >= MEMORY_MB, f"{memory} MB of memory can be had", f"Free some: {MEMORY_MB} MB are needed.")
    )
    space, place = free_disk_mb(paths.state_dir())
    findings.append(
        Finding(
            space >= DISK_MB, f"{space} MB free in {place}", f"Free some, {DISK_MB} MB are needed; or set PODIUM_STATE."
        )
    )
    findings.append(
        Finding(
            os.access(place, os.W_OK),
            f"{place} can be written to",
            "Set PODIUM_STATE to a folder that can be written to.",
        )
    )
    try:
        here = bundle.current()
    except CannotRunHere as error:
        tools = bundle.missing_tools()
        hint = error.hint + (f" To build it, this machine lacks: {', '.join(tools)}." if tools else "")
        findings.append(Finding(False, error.what, hint))
        return findings
    findings.append(Finding(True, f"the bundle is in {here.path}"))
    findings.append(_kernel(here))
    return findings


def _kernel(here: Bundle) -> Finding:
    """Start the kernel without a disk: it gets as far as looking for one exactly where it can run."""
    with tempfile.TemporaryDirectory(prefix="podium-doctor-") as place:
        command = [
            here.kernel,
            "mem=64M",
            "seccomp=on",
            f"uml_dir={place}/",
            "umid=doctor",
            "con=null",
            "con0=null,fd:1",
            "panic=-1",
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=20, check=False, stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return Finding(False, "the node's kernel hangs here", "Please report it, with the output of `uname -a`.")
        except OSError as error:
            return Finding(
                False, f"the node's kernel does not start: {error.strerror}", "Is its folder mounted noexec?"
            )
    if "Unable to mount root" in done.stdout:
        return Finding(True, "the node's kernel starts")
    last = (done.stdout + done.stderr).strip().splitlines()[-3:]
    return Finding(
        False,
        f"the node's kernel does not start: {' '.join(last)}",
        "This machine forbids seccomp or shared executable memory.",
    )


def _kind() -> list[Finding]:
    system = f"{platform.system()} on {platform.machine()}"
    if system != "Linux on x86_64":
        return [Finding(False, system, "Podium's bundle has kind for Linux on x86-64 only.")]
    if not engine.installed():
        hint = "Install Docker, Podman or nerdctl; or use the embedded backend."
        return [Finding(False, "there is no container engine", hint)]
    found = engine.answering()
    if not found:
        obstacles = filter(None, map(engine.obstacle, engine.installed()))
        return [Finding(False, what.rstrip("."), hint) for what, hint in obstacles]
    findings = [Finding(True, f"{found.name} answers")]
    findings += [Finding(not short, what, hint) for short, what, hint in lacks(found, nodes=1)]
    if found.cgroup_version() == 1:
        what = "control groups are of version 1: lessons 01 and 10 look at those of version 2, and stop there"
        findings.append(Finding(True, what))
    try:
        bundle.current()
    except CannotRunHere as error:
        return [*findings, Finding(False, error.what, error.hint)]
    return [*findings, _image(found)]


def _image(found: engine.Engine) -> Finding:
    for name in (bundle.kind_image_name(), config.IMAGE):
        if found.has_image(name):
            return Finding(True, f"the node image {name.partition('@')[0]} is there")
    if found.can_pull(config.IMAGE):
        return Finding(True, f"the node image {config.IMAGE.partition('@')[0]} can be pulled")
    return Finding(
        False,
        "the node image is not there, and its registry can't be reached",
        "Make one here: podium bundle kind-image",
    )
