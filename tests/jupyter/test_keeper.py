"""Starting, resetting and stopping beside the server's work: what is told of it, and of what goes wrong."""

from pathlib import Path

import pytest

from podium.errors import UsageError
from podium.jupyter.keeper import Keeper
from podium.waiting import wait_until


def test_a_cluster_that_cannot_start_says_why_and_what_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_CACHE", str(tmp_path))  # no bundle there
    keeper = Keeper("keeper-test", nodes=1)
    assert keeper.state()["state"] == "off"
    keeper.begin("start")
    wait_until(lambda: keeper.state()["state"] == "failed", "the start to fail", limit=60)
    problem = keeper.state()["problem"]
    assert problem["what"] == "The embedded backend's bundle is not there yet."
    assert "`podium bundle build`" in problem["hint"]


def test_a_backend_that_does_not_exist_is_told_in_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_BACKEND", "moon")
    state = Keeper("keeper-test", nodes=1).state()
    assert state["state"] == "failed"
    assert state["problem"]["what"] == "There is no backend 'moon'."


def test_only_what_a_cluster_can_is_done() -> None:
    with pytest.raises(UsageError, match="can't be asked to 'dance'"):
        Keeper("keeper-test", nodes=1).begin("dance")
