"""``podium lab``: the server, the cluster under it, and what is left of them when it is killed."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from podium import Cluster
from podium.cli import lab
from podium.waiting import wait_until

NAME = "lab-test"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A running ``podium lab`` on a cluster of its own, and the address that it printed."""
    monkeypatch.setenv("PODIUM_CLUSTER", NAME)
    monkeypatch.delenv("DISPLAY", raising=False)
    log = tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [Path(sys.executable).with_name("podium"), "lab", "--nodes", "1"], cwd=tmp_path, stdin=subprocess.DEVNULL,
            stdout=file, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def address() -> re.Match[str] | None:
        assert process.poll() is None, log.read_text()
        return re.search(r"http://127\.0\.0\.1:\S+token=\w+", log.read_text())

    try:
        yield process, wait_until(address, "podium lab to print its address", limit=120)[0]
    finally:
        process.kill()
        process.wait()
        Cluster(NAME).down()


@pytest.mark.bundle
def test_lab_serves_on_loopback_with_a_token_and_leaves_nothing(server: tuple[subprocess.Popen[bytes], str]) -> None:
    process, url = server
    with urlopen(url.replace("/lab?", "/api/contents?"), timeout=10) as answer:
        assert answer.status == 200
    with pytest.raises(HTTPError, match="403"):
        urlopen(url.partition("/lab")[0] + "/api/contents", timeout=10)
    with urlopen(url, timeout=10) as page:
        settings = re.search(r'"disabledExtensions": (\[.*?\])', page.read().decode())
    assert settings
    assert "@jupyterlab/apputils-extension:announcements" in settings[1]

    cluster = Cluster(NAME)
    environment = Path(f"/proc/{process.pid}/environ").read_bytes().decode().split("\0")
    assert f"KUBECONFIG={cluster.kubeconfig_path}" in environment
    assert f"PODIUM_CLUSTER={NAME}" in environment
    assert any(entry.startswith(f"PATH={cluster.kubectl_path.parent}:") for entry in environment)

    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_until(lambda: not cluster.is_running(), "the cluster to end with its server", limit=10)


@pytest.mark.parametrize(("variable", "browser"), [("DISPLAY", True), ("WAYLAND_DISPLAY", True), ("NONE", False)])
def test_lab_opens_a_browser_only_on_a_display(variable: str, browser: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, ":0")
    assert ("--no-browser" not in lab._options()) == (browser or sys.platform != "linux")
