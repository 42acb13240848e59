"""No wrong answer is accepted and no right one rejected: every answer gets just the criteria that it deserves."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from uuid import uuid4

import pytest
from kubernetes.client import CoreV1Api

from autograder.checks import judge
from autograder.cluster import make_namespace, prepare
from autograder.manifest import find_task
from podium import Cluster
from tests.labs.answers import Answer, Work
from tests.labs.answers_02 import ANSWERS

TASKS = sorted({answer.task for answer in ANSWERS})
AT_ONCE = 3  # answers side by side: two cores bear no more
LIMIT = 900  # seconds for all of them


def lost(answer: Answer, cluster: Cluster) -> dict[str, str]:
    """Give an answer in a namespace of its own; return the criteria that it does not get, each with what was found."""
    core = CoreV1Api(cluster.api)
    namespace = f"answer-{uuid4().hex[:8]}"
    make_namespace(core, namespace)
    try:
        if find_task(answer.task).start.exists():
            prepare(answer.task, cluster.api, namespace)
        answer.give(Work(cluster, namespace))
        result = judge(answer.task, cluster.api, namespace)
    finally:
        core.delete_collection_namespaced_pod(namespace, grace_period_seconds=0)
        core.delete_namespace(namespace)
    assert not result.error
    return {outcome.criterion.name: outcome.found for outcome in result.outcomes if not outcome.holds}


@pytest.fixture(scope="module")
def found(cluster: Cluster) -> Iterator[dict[str, Future[dict[str, str]]]]:
    """What each answer loses, as soon as it is known."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {answer.name: pool.submit(lost, answer, cluster) for answer in ANSWERS}
        pool.shutdown(cancel_futures=True)


@pytest.mark.all
@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: f"{answer.task}-{answer.name}")
def test_every_answer_gets_what_it_deserves(answer: Answer, found: dict[str, Future[dict[str, str]]]) -> None:
    losses = found[answer.name].result(LIMIT)
    assert losses.keys() == answer.loses, losses


@pytest.mark.parametrize("task", TASKS)
def test_doing_nothing_gets_nothing(task: str, cluster: Cluster) -> None:
    result = judge(task, cluster.api, f"nothing-{uuid4().hex[:8]}")
    assert (result.points, result.error) == (0, "")


@pytest.mark.parametrize("task", TASKS)
def test_there_are_enough_answers(task: str) -> None:
    answers = [answer for answer in ANSWERS if answer.task == task]
    assert sum(bool(answer.loses) for answer in answers) >= 3
    assert sum(not answer.loses for answer in answers) >= 1
