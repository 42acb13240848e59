"""What can be in kind's way: ``podium up`` says it in a sentence, with the next step, and ``podium doctor`` before."""

import json
import os
import socketserver
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from http.server import BaseHTTPRequestHandler
from multiprocessing import get_context
from pathlib import Path

import pytest

from podium import doctor, paths
from podium.cluster import Cluster
from podium.errors import CannotRunHere, PodiumError
from podium.kind import config, engine

pytestmark = [pytest.mark.kind, pytest.mark.bundle]

Situation = Callable[[str], None]
NOBODY = 65534


@pytest.fixture(autouse=True)
def no_other_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Podman would answer in Docker's place, where this machine has it."""
    monkeypatch.setenv(engine.PROVIDER, "docker")


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict]:
    """A stand-in for Docker's daemon: it says of itself what a test puts here, and has neither images nor containers.

    https://docs.docker.com/reference/api/engine/
    """
    about = {"ServerVersion": "28.0", "MemTotal": 64 << 30, "DockerRootDir": str(tmp_path), "CgroupVersion": "2"}

    class Answers(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            known = {"/_ping": "OK", "/info": about, "/containers/json": []}
            path = self.path.partition("?")[0]
            found = next((answer for end, answer in known.items() if path.endswith(end)), None)
            self.send_response(404 if found is None else 200)
            self.send_header("Api-Version", "1.41")
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(json.dumps(found if found is not None else {"message": "No such thing"}).encode())

        def address_string(self) -> str:
            return "docker"

        def log_message(self, *_: object) -> None:
            pass

    place = tmp_path / "docker.sock"
    with socketserver.ThreadingUnixStreamServer(str(place), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("DOCKER_HOST", f"unix://{place}")
        yield about
        server.shutdown()


def refused(what: str, hint: str) -> None:
    """Both ``podium up`` and ``podium doctor`` say this, and nothing is left."""
    with pytest.raises(CannotRunHere) as error:
        Cluster("refused", nodes=1, backend="kind").up()
    assert what in error.value.what
    assert hint in error.value.hint
    bad = [finding for finding in doctor.examine()["kind"] if not finding.good]
    assert any(what in finding.what and hint in finding.hint for finding in bad), bad
    assert not (paths.state_dir() / "refused").exists()


def test_there_is_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    refused("no container engine", "Install Docker, Podman or nerdctl")


def test_docker_is_installed_but_does_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    refused("docker is installed, but it does not run", "sudo systemctl start docker")


def test_docker_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "ANSWER_LIMIT", 2.0)
    with socketserver.UnixStreamServer(str(tmp_path / "docker.sock"), BaseHTTPRequestHandler):  # which serves nobody
        monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
        refused("docker does not answer within 2 seconds", "Restart docker")


def _become_nobody() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setuid(NOBODY)


def test_docker_is_for_others(docker: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docker.sock").chmod(0)
    monkeypatch.setenv("HOME", "/nonexistent")
    with ProcessPoolExecutor(1, get_context("fork"), initializer=_become_nobody) as pool:
        what, hint = pool.submit(engine.obstacle, "docker").result() or ("", "")
    assert "this user may not use its socket" in what
    assert "sudo usermod -aG docker $USER" in hint


def test_there_is_too_little_memory(docker: dict) -> None:
    docker["MemTotal"] = 500 << 20
    refused("500 MB of memory can be had", "Free some: 1200 MB are needed")


def test_there_is_too_little_disk(docker: dict) -> None:
    docker["DockerRootDir"] = "/proc"  # which has none
    refused("0 MB are free in /proc, where docker keeps containers", "Free some: 1500 MB are needed")


def test_the_node_image_can_not_be_pulled(docker: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "IMAGE", "registry.invalid/kind/node:v0@sha256:" + "0" * 64)  # no such name: RFC 2606
    (bad,) = (finding for finding in doctor.examine()["kind"] if not finding.good)
    assert "its registry can't be reached" in bad.what
    assert "podium bundle kind-image" in bad.hint
    monkeypatch.undo()
    monkeypatch.setattr(config, "IMAGE", "registry.invalid/kind/node:v0@sha256:" + "0" * 64)
    monkeypatch.setattr("podium.bundle.kind_image_name", lambda: "podium.test/absent:1")
    with pytest.raises(PodiumError, match="The node image can't be pulled") as error:
        Cluster("refused", nodes=1, backend="kind").up()
    assert "podium bundle kind-image" in error.value.hint
    assert not (paths.state_dir() / "refused").exists()


PODMAN = """#!/bin/sh
echo "$*" >>"$(dirname "$0")/said"
case $1$2 in
    ps--all) echo "$CONTAINERS" ;;
    inspect*) echo named anonymous ;;
    volumeexists) [ "$3" = named ] ;; # rm --volumes has removed the other one
esac
"""


def test_podman_leaves_no_container_and_no_volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for Podman, which gives a container's ``/var`` a volume with a name, as kind asks it to."""
    (tmp_path / "podman").write_text(PODMAN)
    (tmp_path / "podman").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CONTAINERS", "1a2b")
    engine.Engine("podman").remove("name=^web$")
    said = (tmp_path / "said").read_text().splitlines()
    assert said[0] == "ps --all --quiet --filter name=^web$"
    assert said[2:] == [
        "rm --force --volumes --time=0 1a2b",
        "volume exists named", "volume rm named", "volume exists anonymous",
    ]  # fmt: skip
    monkeypatch.setenv("CONTAINERS", "")
    engine.Engine("podman").remove("name=^gone$")
    assert (tmp_path / "said").read_text().splitlines()[len(said) :] == ["ps --all --quiet --filter name=^gone$"]
