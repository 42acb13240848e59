"""``podium lab``: the server, the cluster under it, and what is left of them when it is killed."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import HTTPCookieProcessor, Request, build_opener, urlopen

import pytest

import podium
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


class Page:
    """What a page of JupyterLab can ask the server.

    Args:
        url: The address that the server printed, with its token.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._base = f"{parts.scheme}://{parts.netloc}"
        self._token = {"Authorization": f"token {parse_qs(parts.query)['token'][0]}"}

    def ask(self, path: str, body: dict | None = None, headers: dict[str, str] | None = None) -> Any:
        """The answer of the server; ``headers`` stand in the place of the token."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(f"{self._base}/{path}", data, self._token if headers is None else headers)
        with urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def wait(self, state: str) -> dict[str, Any]:
        """Wait until the cluster is in this state, and return what the page is told of it."""

        def reached() -> dict[str, Any] | None:
            told = self.ask("podium/cluster")
            assert told["state"] != "failed", told["problem"]
            return told if told["state"] == state else None

        return wait_until(reached, f"the cluster to be {state}", limit=180)


@pytest.mark.bundle
def test_lab_serves_at_once_keeps_the_cluster_and_leaves_nothing(server: tuple[subprocess.Popen[bytes], str]) -> None:
    process, url = server
    page, cluster = Page(url), Cluster(NAME)

    # a notebook that is opened meanwhile waits for the start that is going on
    wait_until(cluster.is_running, "the cluster to begin", limit=60)
    assert "node-1" in podium.open(NAME, nodes=1).kubectl("get", "nodes", "--field-selector=spec.unschedulable!=true")
    assert page.wait("running")["nodes"] == ["node-1"]

    for path in ("podium/cluster", "podium/submission?path=a&student=b"):
        with pytest.raises(HTTPError, match="403"):  # without the token
            page.ask(path, headers={})
    with pytest.raises(HTTPError, match="403"):  # from another page, to which the browser gives only the cookie
        page.ask("podium/cluster", {"do": "stop"}, {"Cookie": cookie_of(url)})

    assert page.ask("podium/cluster", {"do": "reset"})["state"] == "resetting"
    with pytest.raises(HTTPError, match="409"):
        page.ask("podium/cluster", {"do": "stop"})
    page.wait("running")
    page.ask("podium/cluster", {"do": "stop"})
    page.wait("off")
    page.ask("podium/cluster", {"do": "start"})
    page.wait("running")
    cluster.components["kube-scheduler"].stop()
    assert page.ask("podium/cluster")["stopped"] == ["kube-scheduler"]

    page.ask("api/terminals", {})
    environment = terminal_environment(process.pid)
    assert environment["KUBECONFIG"] == str(cluster.kubeconfig_path)
    assert environment["PODIUM_CLUSTER"] == NAME
    assert environment["PATH"].startswith(f"{cluster.kubectl_path.parent}:")

    with urlopen(url, timeout=10) as answer:
        settings = re.search(r'"disabledExtensions": (\[.*?\])', answer.read().decode())
    assert settings
    assert "@jupyterlab/apputils-extension:announcements" in settings[1]

    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_until(lambda: not cluster.is_running(), "the cluster to end with its server", limit=10)


def cookie_of(url: str) -> str:
    """What a browser that has opened the address sends along, wherever a request comes from."""
    jar = CookieJar()
    with build_opener(HTTPCookieProcessor(jar)).open(url, timeout=30):
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)


def terminal_environment(server: int) -> dict[str, str]:
    """The environment of the shell that the server has started."""
    children = Path(f"/proc/{server}/task/{server}/children")
    shell = wait_until(lambda: children.read_text().split()[-1:], "the terminal's shell", limit=30)[0]
    entries = Path(f"/proc/{shell}/environ").read_bytes().decode().split("\0")
    return dict(entry.split("=", 1) for entry in entries if entry)


@pytest.mark.parametrize(("variable", "browser"), [("DISPLAY", True), ("WAYLAND_DISPLAY", True), ("NONE", False)])
def test_lab_opens_a_browser_only_on_a_display(variable: str, browser: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, ":0")
    assert ("--no-browser" not in lab._options()) == (browser or sys.platform != "linux")
