"""Tasks that are judged by the state of a real cluster, in a notebook, a terminal and nbgrader.

Example:
    >>> from autograder import begin, check, end, grade, prepare
    >>> namespace = begin("02")  # doctest: +SKIP
    >>> check("02.1")            # a table of what was asked and found, and the next hint  # doctest: +SKIP
    >>> grade("02.1")            # the points, for nbgrader  # doctest: +SKIP
    >>> end("02")                # doctest: +SKIP
"""

import sys
from collections import Counter

from IPython.display import display

from autograder.checks import judge
from autograder.cluster import begin, connect, end, prepare, validating
from autograder.show import Report
from podium.jupyter.progress import record

__all__ = ["begin", "check", "connect", "end", "grade", "prepare"]

_checked: Counter[str] = Counter()


def check(task_id: str) -> Report:
    """Judge a task for the learner: what was asked, what was found, where to look; one more hint each time.

    Args:
        task_id: The task's id, such as ``02.1``.

    Raises:
        UsageError: There is no such task, or a person marks it.
    """
    result = judge(task_id)
    _checked[task_id] += 1
    if result.outcomes:
        record(task_id, result.visible().points, result.visible().of)
    return Report(result, hints=_checked[task_id])


def grade(task_id: str) -> float:
    """Judge a task for nbgrader: show the report and return the points.

    As the last expression of an autograded cell, the number is what nbgrader takes for partial credit; a cell that
    raises or runs out of time gets none. ``nbgrader validate`` shows the report of what does not hold.

    Args:
        task_id: The task's id, such as ``02.1``.

    Raises:
        UsageError: There is no such task, or a person marks it.
    """
    result = judge(task_id)
    if validating() and result.points < result.of:
        print(Report(result), file=sys.stderr)  # nbgrader tells nothing else of what a cell shows
    else:
        display(Report(result))
    return float(result.points)
