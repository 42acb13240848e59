"""What `podium bench` makes of its figures; the figures themselves are no test's business."""

from typing import Any

import pytest

from podium import bench

MEASURED: dict[str, Any] = {
    "embedded": {"first_pod_s": [7.0, 6.0, 90.0], "reset_s": [5.0], "down_s": [0.2]},
    "kind": {"first_pod_s": [20.0], "reset_s": [25.0], "down_s": [1.5]},
    "plain": {"first_pod_s": [19.0], "reset_s": [23.0], "down_s": [1.0]},
}


def test_both_backends_are_held_to_what_is_promised() -> None:
    assert [holds for holds, _ in bench.bars(MEASURED)] == [True] * 4


@pytest.mark.parametrize(
    ("slow", "figure", "broken"), [("kind", "reset_s", "plain kind 23"), ("embedded", "first_pod_s", "of kind")]
)
def test_what_is_not_kept_is_said(slow: str, figure: str, broken: str) -> None:
    found = MEASURED | {slow: MEASURED[slow] | {figure: [60.0]}}
    (words,) = (words for holds, words in bench.bars(found) if not holds)
    assert broken in words


def test_without_an_engine_there_is_nothing_to_compare() -> None:
    assert list(bench.bars({"embedded": MEASURED["embedded"], "kind": None, "plain": None})) == []
