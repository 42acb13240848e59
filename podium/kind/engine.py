"""The container engine under kind: Docker, Podman or nerdctl."""

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from podium.errors import CannotRunHere, PodiumError
from podium.machine import free_disk_mb, free_memory_mb

ENGINES = ("docker", "podman", "nerdctl")
PROVIDER = "KIND_EXPERIMENTAL_PROVIDER"  # kind's own setting: https://kind.sigs.k8s.io/docs/user/quick-start/
_VOLUMES = '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}} {{end}}{{end}}'
LABEL = "io.x-k8s.kind.cluster"  # of a node's container: its cluster
_LIMIT = 60.0  # seconds for a call of the engine that has little to do
ANSWER_LIMIT = 20.0  # seconds for it to say that it is there


class Engine:
    """One container engine, through its command line.

    Args:
        name: ``docker``, ``podman`` or ``nerdctl``.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def call(self, *arguments: str, limit: float = _LIMIT) -> str:
        """Run it and return what it printed.

        Args:
            arguments: Its arguments.
            limit: Seconds after which it is ended.

        Raises:
            PodiumError: It failed; its own words are in the message.
        """
        status, out, err = self._run([self.name, *arguments], b"", limit)
        if status:
            raise PodiumError(
                f"{self.name} {' '.join(arguments[:2])} failed: {(err or out).decode(errors='replace').strip()}"
            )
        return out.decode(errors="replace")

    def execute(
        self, container: str, argv: list[str], stdin: bytes | Iterable[bytes] = b"", limit: float = 120
    ) -> tuple[int, bytes, bytes]:
        """Run a command as root in a container.

        Args:
            container: The container's name.
            argv: The command and its arguments.
            stdin: What it reads.
            limit: Seconds after which it is given up.

        Returns:
            Its exit status, standard output, standard error.
        """
        return self._run(self.exec_command(container, *argv), stdin, limit)

    def exec_command(self, container: str, *argv: str) -> list[str]:
        """The command line that runs a command as root in a container."""
        return [self.name, "exec", "--interactive", container, *argv]

    def _run(self, command: list[str], stdin: bytes | Iterable[bytes], limit: float) -> tuple[int, bytes, bytes]:
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as running:  # fmt: skip
            try:
                if not isinstance(stdin, bytes):
                    assert running.stdin
                    for chunk in stdin:
                        running.stdin.write(chunk)
                    stdin = b""
                out, err = running.communicate(stdin, timeout=limit)
            except BrokenPipeError:
                out, err = running.communicate(timeout=limit)
            except subprocess.TimeoutExpired as error:
                running.kill()
                raise PodiumError(f"{' '.join(command[:4])} did not end within {limit:g} s.") from error
            except BaseException:
                running.kill()
                raise
        return running.returncode, out, err

    def containers(self, cluster: str) -> dict[str, bool]:
        """The containers of a kind cluster by name, and whether each runs."""
        label = f"label={LABEL}={cluster}"
        listed = self.call("ps", "--all", "--filter", label, "--format", "{{.Names}}\t{{.Status}}")
        pairs = (line.split("\t") for line in listed.splitlines())
        return {name: status.startswith("Up") for name, status in pairs}

    def removal(self, selection: str) -> str:
        """The command for a shell that removes containers, running or not, and their volumes, at once.

        Podman would wait ten seconds before it kills, and would leave the volumes that kind has given names to:
        https://docs.podman.io/en/latest/markdown/podman-rm.1.html.

        Args:
            selection: Which containers, as ``ps --filter`` takes it.
        """
        left = f"left=$({self.name} ps --all --quiet --filter {shlex.quote(selection)})"
        remove = f"{self.name} rm --force --volumes"
        if self.name == "podman":
            volumes = f"volumes=$(podman inspect --format {shlex.quote(_VOLUMES)} $left)"
            each = "podman volume exists $volume || continue; podman volume rm $volume"
            return (
                f'{left} && [ -z "$left" ] || '
                f"{{ {volumes} && {remove} --time=0 $left && for volume in $volumes; do {each}; done; }}"
            )
        return f'{left} && [ -z "$left" ] || {remove} $left'

    def remove(self, selection: str) -> None:
        """Remove containers, running or not, and their volumes, at once.

        Args:
            selection: Which containers, as ``ps --filter`` takes it.

        Raises:
            PodiumError: They could not be removed; the engine's words are in the message.
        """
        status, out, err = self._run(["sh", "-c", self.removal(selection)], b"", 2 * _LIMIT)
        if status:
            raise PodiumError(
                f"{self.name} could not remove {selection}: {(err or out).decode(errors='replace').strip()}"
            )

    def has_image(self, name: str) -> bool:
        """Whether an image is there."""
        return self._run([self.name, "image", "inspect", name], b"", _LIMIT)[0] == 0

    def can_pull(self, image: str) -> bool:
        """Whether an image's registry has it and can be reached; nothing is downloaded but its manifest."""
        try:
            return self._run([self.name, "manifest", "inspect", image], b"", 20)[0] == 0
        except PodiumError:
            return False

    def cgroup_version(self) -> int:
        """The version of the control groups of the machine that it runs on: 1 or 2."""
        field = "{{.Host.CgroupsVersion}}" if self.name == "podman" else "{{.CgroupVersion}}"
        return 1 if self.call("info", "--format", field).strip().strip('"v') == "1" else 2

    def room(self) -> tuple[int, Path]:
        """How many MB are free for containers, and where."""
        field = "{{.Store.GraphRoot}}" if self.name == "podman" else "{{.DockerRootDir}}"
        root = "/var/lib/containerd" if self.name == "nerdctl" else self.call("info", "--format", field).strip()
        return free_disk_mb(Path(root))

    def memory_mb(self) -> int:
        """How many MB containers may still use: what is free here, or what the engine has, where that is less."""
        field = "{{.Host.MemTotal}}" if self.name == "podman" else "{{.MemTotal}}"
        return min(free_memory_mb(), int(self.call("info", "--format", field)) >> 20)


def installed() -> list[str]:
    """The engines that are installed; only the one that kind's own setting names, where it names one."""
    chosen = os.environ.get(PROVIDER)
    return [name for name in ((chosen,) if chosen else ENGINES) if shutil.which(name)]


def obstacle(name: str) -> tuple[str, str] | None:
    """Why an engine that is installed can't be used, and what would help; None where it answers."""
    try:
        done = subprocess.run([name, "info"], capture_output=True, text=True, timeout=ANSWER_LIMIT, check=False)
    except subprocess.TimeoutExpired:
        return f"{name} does not answer within {ANSWER_LIMIT:g} seconds.", f"Restart {name}."
    said = f"{done.stderr}\n{done.stdout}"
    if done.returncode == 0 and "Cannot connect" not in said and "ERROR: " not in said:
        return None
    if "permission denied" in said.lower():
        return (
            f"{name} is installed, but this user may not use its socket.",
            f"Add the user to the group {name} and log in again: sudo usermod -aG {name} $USER"
            if name == "docker"
            else f"See {name}'s documentation on rootless use.",
        )
    if "connect" in said.lower() or "no such file" in said.lower():
        return (
            f"{name} is installed, but it does not run.",
            f"Start it: sudo systemctl start {'docker' if name == 'docker' else 'containerd'}, or Docker Desktop."
            if name != "podman"
            else "Start it: podman machine start",
        )
    return f"{name} does not work: {' '.join(said.split())[-200:]}", f"`{name} info` has to work first."


def answering() -> Engine | None:
    """The first engine that answers, if one does."""
    return next((Engine(name) for name in installed() if obstacle(name) is None), None)


def find() -> Engine:
    """The engine to use.

    Raises:
        CannotRunHere: There is none, or none can be used; the message says why and what would help.
    """
    if found := answering():
        return found
    names = installed()
    if not names:
        raise CannotRunHere(
            "There is no container engine here, and kind needs one.",
            "Install Docker, Podman or nerdctl; or take the embedded backend: --backend embedded",
        )
    what, hint = obstacle(names[0]) or ("The engine answers now.", "Try again.")
    raise CannotRunHere(what, f"{hint} Or take the embedded backend: --backend embedded")
