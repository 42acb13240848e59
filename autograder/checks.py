"""What a check is: named, weighted criteria, each judged by its effect on the cluster."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import NamedTuple

from kubernetes.client import ApiClient, ApiException
from kubernetes.client.exceptions import OpenApiException
from urllib3.exceptions import HTTPError

from autograder.cluster import View, connect
from autograder.manifest import Task, find_task
from podium.errors import PodiumError, UsageError


@dataclass(frozen=True)
class Criterion:
    """One thing that a task asks for.

    Args:
        name: A word or two, unique in its task.
        points: What it is worth; the points of a task's criteria add up to the task's.
        asked: What must hold, as one sentence for the learner.
        look: Where the learner can see whether it holds: a command, or a field of an object.
        hidden: Only the grader tells it.
    """

    name: str
    points: int
    asked: str
    look: str
    hidden: bool = False


class Verdict(NamedTuple):
    """What a check says of one criterion: which one, whether it holds, and what was found."""

    name: str
    holds: bool
    found: str


class Outcome(NamedTuple):
    """A criterion with its verdict."""

    criterion: Criterion
    holds: bool
    found: str

    @property
    def points(self) -> int:
        """What was got for it."""
        return self.criterion.points if self.holds else 0


@dataclass(frozen=True)
class Result:
    """What was found for one task.

    Args:
        task: The task.
        outcomes: One for each criterion, in their order.
        error: Why nothing could be judged, as one sentence; then there are no points.
    """

    task: Task
    outcomes: tuple[Outcome, ...]
    error: str = ""

    @property
    def points(self) -> int:
        """What was got."""
        return sum(outcome.points for outcome in self.outcomes)

    @property
    def of(self) -> int:
        """What could be got."""
        return sum(outcome.criterion.points for outcome in self.outcomes)

    def visible(self) -> "Result":
        """The same without the criteria that only the grader tells."""
        return Result(self.task, tuple(o for o in self.outcomes if not o.criterion.hidden), self.error)


Check = Callable[[View], Iterator[Verdict]]
_REGISTRY: dict[str, tuple[tuple[Criterion, ...], Check]] = {}


def task(task_id: str, *criteria: Criterion) -> Callable[[Check], Check]:
    """Register a function as the check of a task.

    The function gets a :class:`~autograder.cluster.View` of the namespace and yields a :class:`Verdict` for each
    criterion. When it returns early, what it has not spoken of does not hold.

    Args:
        task_id: The task's id in the manifest.
        criteria: In the order in which a learner sees them.

    Raises:
        UsageError: There is no such task, it has a check already, or the points don't add up.

    Example:
        >>> @task("02.1", Criterion("exists", 4, "There is a Pod named web.", "kubectl get pods"))  # doctest: +SKIP
        ... def web(view):
        ...     pod = view.pod("web")
        ...     yield Verdict("exists", pod is not None, "It is there." if pod else "There is none.")
    """
    entry = find_task(task_id)
    if task_id in _REGISTRY:
        raise UsageError(f"Task {task_id} has two checks.")
    if len({criterion.name for criterion in criteria}) != len(criteria):
        raise UsageError(f"Two criteria of task {task_id} have one name.")
    if (total := sum(criterion.points for criterion in criteria)) != entry.points:
        raise UsageError(f"The criteria of task {task_id} are worth {total} points, the manifest says {entry.points}.")

    def register(check: Check) -> Check:
        _REGISTRY[task_id] = criteria, check
        return check

    return register


def criteria(task_id: str) -> tuple[Criterion, ...]:
    """The criteria of a checked task.

    Raises:
        UsageError: There is no such task, or a person marks it.
    """
    return _check_of(find_task(task_id))[0]


def _check_of(entry: Task) -> tuple[tuple[Criterion, ...], Check]:
    if entry.manual:
        raise UsageError(f"Task {entry.id} is marked by a person, not by a check.")
    import_module(f"autograder.lab_{entry.lab.id}")
    return _REGISTRY[entry.id]


def judge(task_id: str, api: ApiClient | None = None, namespace: str | None = None) -> Result:
    """Judge one task by what is on the cluster now.

    What cannot be judged gets no points: an error of the cluster is told as a sentence in the result, never raised.

    Args:
        task_id: The task's id.
        api: The cluster; by default the one that :func:`~autograder.cluster.connect` finds.
        namespace: Where the work was done; by default the lab's namespace.

    Raises:
        UsageError: There is no such task, or a person marks it.
    """
    entry = find_task(task_id)
    if find_spec(f"autograder.lab_{entry.lab.id}") is None:
        return Result(entry, (), "Nothing is told here: this notebook is being graded.")
    criteria, check = _check_of(entry)
    verdicts: dict[str, Verdict] = {}
    error = ""
    try:
        for verdict in check(View(api or connect(), namespace or entry.lab.namespace)):
            verdicts[verdict.name] = verdict
    except PodiumError as problem:
        error = problem.what
    except ApiException as problem:
        error = f"The API server answered {problem.status} {problem.reason}."
    except (OpenApiException, HTTPError) as problem:
        error = f"The cluster could not be asked: {type(problem).__name__}."
    found = "Not judged: the check could not be carried out." if error else "There is nothing to judge yet."
    outcomes = (
        Outcome(criterion, *verdicts[criterion.name][1:])
        if criterion.name in verdicts and not error
        else Outcome(criterion, False, found)
        for criterion in criteria
    )
    return Result(entry, tuple(outcomes), error)
