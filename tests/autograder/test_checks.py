"""Judging fails closed, and a check that does not fit its task is refused."""

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from kubernetes.client import ApiClient, Configuration

from autograder import checks, grade
from autograder.checks import Criterion, judge, task
from podium.errors import UsageError


class Refusing(BaseHTTPRequestHandler):
    """An API server that refuses everybody."""

    def do_GET(self) -> None:
        self.send_error(403)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def refusing() -> Iterator[ApiClient]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield ApiClient(Configuration(host=f"http://127.0.0.1:{server.server_port}"))
        server.shutdown()


@pytest.fixture
def absent() -> ApiClient:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return ApiClient(Configuration(host=f"http://127.0.0.1:{free.getsockname()[1]}"))


@pytest.mark.parametrize("task_id", ["02.1", "02.2", "02.4", "02.5", "02.6"])
def test_an_error_of_the_cluster_is_a_sentence_and_no_points(task_id: str, refusing: ApiClient) -> None:
    result = judge(task_id, refusing)
    assert (result.points, result.error) == (0, "The API server answered 403 Forbidden.")
    assert not any(outcome.holds for outcome in result.outcomes)
    assert result.of == result.task.points


def test_a_cluster_that_is_not_there_is_a_sentence_and_no_points(absent: ApiClient) -> None:
    result = judge("02.1", absent)
    assert result.points == 0
    assert result.error == "The cluster could not be asked: MaxRetryError."


def test_grade_is_a_number_even_then(absent: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autograder.checks.connect", lambda: absent)
    assert grade("02.1") == 0.0


def test_what_a_person_marks_is_not_judged() -> None:
    with pytest.raises(UsageError, match="marked by a person"):
        judge("02.3")


@pytest.mark.parametrize(
    ("task_id", "criteria", "says"),
    [
        ("02.1", [Criterion("a", 4, "A.", "a")], "two checks"),
        ("02.3", [Criterion("a", 2, "A.", "a")], r"worth 2 points, the manifest says 3"),
        ("02.3", [Criterion("a", 2, "A.", "a"), Criterion("a", 1, "A.", "a")], "one name"),
        ("02.9", [], "no task"),
    ],
)
def test_a_check_that_does_not_fit_its_task_is_refused(task_id: str, criteria: list[Criterion], says: str) -> None:
    checks.criteria("02.1")
    with pytest.raises(UsageError, match=says):
        task(task_id, *criteria)
