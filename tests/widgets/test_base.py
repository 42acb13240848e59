"""What the pictures share, against an API server of a few lines: it does what a real one does too seldom."""

import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import nbformat
import pytest
from kubernetes.client import CoreV1Api

from podium import Cluster, PodiumError
from podium.waiting import wait_until
from podium.widgets import base
from podium.widgets.base import Live, Poll, Watch, button


def node(name: str, version: int = 1) -> dict[str, Any]:
    return {"kind": "Node", "metadata": {"name": name, "uid": name, "resourceVersion": str(version)}}


class Api(ThreadingHTTPServer):
    """Lists its nodes; each watch tells what is put into ``events`` and ends with None."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.nodes: list[dict[str, Any]] = [node("node-1")]
        self.events: Queue[dict[str, Any] | None] = Queue()
        self.lists = 0
        self.watched_from: list[str] = []
        self.watches = 0

    def expire(self) -> None:
        """Say that what was watched is too old; twice, for the client's library asks once more by itself."""
        expired = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
        for _ in range(2):
            self.events.put({"type": "ERROR", "object": expired})
            self.events.put(None)


class Answer(BaseHTTPRequestHandler):
    server: Api
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        self.send_response(200)
        if "watch" not in asked:
            self.server.lists += 1
            body = json.dumps({"metadata": {"resourceVersion": "7"}, "items": self.server.nodes}).encode()
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        self.server.watched_from += asked["resourceVersion"]
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.server.watches += 1
        gone = threading.Thread(target=self._wait_for_the_end)
        gone.start()
        while event := self.server.events.get():
            line = json.dumps(event).encode() + b"\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")
        with suppress(OSError):  # the client may be gone already
            self.connection.shutdown(socket.SHUT_RDWR)
        gone.join()
        self.close_connection = True

    def _wait_for_the_end(self) -> None:
        with suppress(OSError):
            self.connection.recv(1)
        self.server.watches -= 1

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Toy(Cluster):
    """A cluster whose API server is :class:`Api`."""

    def __init__(self, kubeconfig: Path) -> None:
        super().__init__("toy")
        self._kubeconfig = kubeconfig

    kubeconfig_path = property(lambda self: self._kubeconfig)


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as server:
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield server
        server.events.put(None)
        server.shutdown()


@pytest.fixture
def toy(api: Api, tmp_path: Path) -> Toy:
    path = tmp_path / "kubeconfig"
    context = {"name": "toy", "context": {"cluster": "toy", "user": "toy"}}
    cluster = {"name": "toy", "cluster": {"server": f"http://127.0.0.1:{api.server_address[1]}"}}
    users = [{"name": "toy", "user": {}}]
    path.write_text(
        json.dumps({"current-context": "toy", "contexts": [context], "clusters": [cluster], "users": users})
    )
    return Toy(path)


class Names(Live):
    """The names of the nodes, and what was clicked."""

    label = "Names"
    clicked: ClassVar[list[str]] = []

    def follow(self) -> list[Watch]:
        self.nodes = Watch(self.cluster, lambda api: CoreV1Api(api).list_node, self.changed)
        return [self.nodes]

    def draw(self) -> str:
        names = [entry["metadata"]["name"] for entry in self.nodes.objects]
        return button("click", names[0], ", ".join(names), class_="name") if names else "nothing"

    def do_click(self, name: str) -> None:
        self.clicked.append(name)
        self.later(self._refuse)

    def _refuse(self) -> None:
        raise PodiumError("It can't be <done>.")


@pytest.fixture
def names(toy: Toy) -> Iterator[Names]:
    picture = Names(toy)
    yield picture
    picture.close()


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("podium-")]


def shows(picture: Live, what: str) -> None:
    wait_until(lambda: what in picture.html, f"“{what}” in {picture.html}", limit=10, every=0.02)


def test_the_first_picture_shows_what_is(names: Names) -> None:
    assert ">node-1</button>" in names.html
    assert '<section aria-label="Names">' in names.html


def test_changes_are_drawn(names: Names, api: Api) -> None:
    api.events.put({"type": "ADDED", "object": node("node-2", 8)})
    shows(names, "node-1, node-2")
    api.events.put({"type": "DELETED", "object": node("node-1", 9)})
    shows(names, ">node-2<")
    assert api.watched_from == ["7"]


def test_many_changes_are_drawn_together(names: Names, api: Api) -> None:
    drawn = []
    names.observe(lambda change: drawn.append(change.new), "html")
    for number in range(300):
        api.events.put({"type": "ADDED", "object": node(f"more-{number:03}", 10 + number)})
    shows(names, "more-299")
    assert len(drawn) < 100


def test_a_watch_that_expired_begins_anew_with_a_list(names: Names, api: Api) -> None:
    api.nodes = [node("node-3")]
    api.expire()
    shows(names, ">node-3<")
    assert api.lists == 2


def test_an_api_server_that_is_away_is_said_and_comes_back(names: Names, api: Api, toy: Toy) -> None:
    text = toy.kubeconfig_path.read_text()
    toy.kubeconfig_path.write_text(text.replace(f":{api.server_address[1]}", ":1"))
    api.expire()
    shows(names, "⚠ The API server does not answer.")
    assert ">node-1</button>" in names.html
    toy.kubeconfig_path.write_text(text)
    wait_until(lambda: "⚠" not in names.html, "the problem to go", limit=10)


def test_a_cluster_that_does_not_run_is_said(names: Names, api: Api, toy: Toy) -> None:
    toy.kubeconfig_path.unlink()
    api.expire()
    shows(names, "⚠ Cluster &#x27;toy&#x27; does not run.")


def test_closing_ends_every_watch(toy: Toy, api: Api) -> None:
    picture = Names(toy)
    wait_until(lambda: api.watches == 1, "the watch to begin", limit=10)
    assert threads()
    picture.close()
    assert not threads()
    wait_until(lambda: api.watches == 0, "the server to see the watch end", limit=10)


def test_with_the_kernel_every_picture_ends(toy: Toy, api: Api) -> None:
    """As a kernel that is shut down does it: the interpreter's own end, which a daemon's thread does not see."""
    ended: list[str] = []

    class Last(Names):
        def _end(self) -> None:
            super()._end()
            ended.append("ended")

    picture = Last(toy)
    base._end_all()
    assert ended
    assert not threads()
    picture.close()


def test_a_picture_whose_constructor_refused_can_be_closed() -> None:
    picture = Names.__new__(Names)  # so it is when ipywidgets closes what is collected
    picture.close()
    assert not threads()


def test_it_sleeps_when_the_last_view_is_gone_and_wakes_with_the_next(names: Names, api: Api) -> None:
    for view in ("one", "two"):
        names._hear(names, {"view": view}, [])
    names._hear(names, {"view": "one", "gone": True}, [])
    assert names.awake
    names._hear(names, {"view": "two", "gone": True}, [])
    assert not names.awake
    wait_until(lambda: api.watches == 0, "the server to see the watch end", limit=10)
    api.nodes.append(node("node-9"))
    names._hear(names, {"view": "three"}, [])
    shows(names, "node-9")


def test_it_sleeps_when_no_view_speaks(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "UNSEEN", -1)
    wait_until(lambda: not names.awake, "the picture to fall asleep", limit=10)


def test_it_ends_when_its_cell_has_made_another_and_no_view_shows_it(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(cell: str, run: str) -> Names:
        monkeypatch.setattr(base, "_running", lambda: (cell, run))
        return Names(toy)

    first, beside, elsewhere, nowhere = made("a", "1"), made("a", "1"), made("b", "2"), made("", "3")
    again, last = made("a", "4"), made("", "5")
    for picture in (first, beside, elsewhere, nowhere, again, last):
        picture._hear(picture, {"view": "one"}, [])
    for picture in (first, elsewhere, nowhere, again, last):
        picture._hear(picture, {"view": "one", "gone": True}, [])
    wait_until(lambda: not first._painter.is_alive(), "the first picture to end", limit=10)
    assert first.comm is None
    shown = (beside, elsewhere, nowhere, again, last)
    assert all(picture._painter.is_alive() for picture in shown)
    beside._hear(beside, {"view": "one", "gone": True}, [])
    wait_until(lambda: not beside._painter.is_alive(), "the picture beside it to end", limit=10)
    for picture in shown:
        picture.close()
    assert not threads()


def test_a_click_does_what_the_button_says_and_a_failure_is_shown(names: Names) -> None:
    names._hear(names, {"view": "one", "do": "click", "arg": "node-1"}, [])
    assert Names.clicked[-1] == "node-1"
    shows(names, "⚠ It can&#x27;t be &lt;done&gt;.")
    names._hear(names, {"view": "one", "do": "dismiss", "arg": ""}, [])
    wait_until(lambda: "⚠" not in names.html, "the notice to go", limit=10)


def test_without_a_front_end_it_is_a_still_picture(names: Names) -> None:
    data, _ = names._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == names.model_id
    assert ">node-1</span>" in data["text/html"]
    assert "<button" not in data["text/html"]
    assert 'class="podium-button name"' in data["text/html"]
    assert "<style>" in data["text/html"]


STILL = """
from podium import Cluster
from podium.widgets.base import Live, Poll

class Fact(Live):
    label = "A fact"

    def follow(self):
        self.poll = Poll(lambda: "true", self.changed, every=1)
        return [self.poll]

    def draw(self):
        return f"<i>It is {self.poll.answer}.</i>"

Fact(Cluster("none"))
"""


def test_a_page_of_a_notebook_that_nbconvert_has_run_shows_the_still_picture(tmp_path: Path) -> None:
    cells = [nbformat.v4.new_code_cell(STILL)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "still.ipynb")
    command = ["jupyter", "nbconvert", "--execute", "--to", "html", "still.ipynb"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    page = (tmp_path / "still.html").read_text()
    assert "<i>It is true.</i>" in page
    assert "application/vnd.jupyter.widget-view+json" not in page


def test_a_poll_tells_when_the_answer_is_another_one() -> None:
    answers: Queue[int] = Queue()
    told: list[Any] = []

    def ask() -> int:
        if (answer := answers.get()) < 0:
            raise PodiumError("It is away.")
        return answer

    poll = Poll(ask, lambda: told.append(poll.problem or poll.answer), every=0)
    for answer in (1, 1, 2, -1, -1, 2):
        answers.put(answer)
    wait_until(lambda: len(told) == 4, f"four answers, not {told}", limit=10)
    assert told == [1, 2, "It is away.", 2]
    answers.put(2)
    poll.close()
