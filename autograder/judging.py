"""The judge: a process that runs checks and has never seen a submission."""

import json
import os
import sys
from types import TracebackType

from kubernetes.config import new_client_from_config

from autograder.checks import Outcome, Result, criteria, judge
from autograder.dialogue import Dialogue, NoAnswer, clean
from autograder.manifest import Task
from podium.cluster import Cluster

CHECK_LIMIT = 420.0
"""Seconds that the check of one task may take: its waits have limits, which add up to less."""

FOUND_LIMIT = 2000
"""Characters of what was found that are told: it may quote what a learner wrote."""


class Judge:
    """A process that judges tasks on a cluster. What it doesn't say holds does not hold.

    Args:
        cluster: The cluster.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._kubeconfig = str(cluster.kubeconfig_path)
        self._dialogue: Dialogue | None = None

    def __enter__(self) -> "Judge":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._dialogue:
            self._dialogue.end()

    def judge(self, task: Task, limit: float = CHECK_LIMIT) -> Result:
        """Judge one task by what is on the cluster now.

        Args:
            task: A task that is checked on the cluster.
            limit: Seconds after which there are no points.
        """
        asked = criteria(task.id)
        if self._dialogue is None:
            argv = [sys.executable, "-m", "autograder.judging", self._kubeconfig]
            self._dialogue = Dialogue(argv, os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
        try:
            answer = self._dialogue.ask({"task": task.id}, limit)
            verdicts, error = answer["verdicts"], str(answer["error"])
        except NoAnswer as problem:
            verdicts, error = {}, f"There are no points, for the check {problem.what}."
            self._dialogue.end()
            self._dialogue = None
        found = "Not judged: the check could not be carried out."
        outcomes = (
            Outcome(each, verdicts[each.name][0] is True and not error, clean(verdicts[each.name][1], FOUND_LIMIT))
            if each.name in verdicts
            else Outcome(each, False, found)
            for each in asked
        )
        return Result(task, tuple(outcomes), error)


def main(kubeconfig: str) -> None:
    """Judge the tasks that standard input names."""
    with new_client_from_config(kubeconfig) as api:
        for line in sys.stdin:
            result = judge(json.loads(line)["task"], api)
            verdicts = {o.criterion.name: (o.holds, o.found[:FOUND_LIMIT]) for o in result.outcomes}
            print(json.dumps({"verdicts": verdicts, "error": result.error}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
