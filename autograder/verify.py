"""Is the grader right? Answers whose worth is known are given on a real cluster, and judged.

A course keeps them in ``answers/lab_NN.py``: right ones of another make than the model answer, and wrong ones
(*mutants*), each with the criteria that it must lose.
"""

import json
import math
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from runpy import run_path
from threading import Thread
from typing import Any
from uuid import uuid4

import nbformat
from kubernetes.client import ApiException, AppsV1Api, CoreV1Api
from nbgrader.preprocessors import ClearSolutions

from autograder.checks import Result, criteria, judge
from autograder.cluster import View, make_namespace, prepare, remove_namespace, restore
from autograder.faults import mend
from autograder.grading import grade_notebook
from autograder.manifest import Lab, Task, find_task
from podium.cluster import Cluster
from podium.errors import PodiumError, UsageError

AT_ONCE = 6
"""Answers side by side on one cluster: most of their time is spent waiting."""

ALONE = 2
"""Clusters beside it for the answers that touch nodes or components, each for one answer at a time."""

MUTANTS = 3
"""Wrong answers that every checked task has at least."""

ALTERNATIVES = 2
"""Right answers of another make that every checked task has at least."""


@dataclass(frozen=True)
class Work:
    """What an answer works with: a cluster, and a namespace of its own.

    Args:
        cluster: The cluster.
        namespace: The namespace in which the answer is given.
    """

    cluster: Cluster
    namespace: str

    @property
    def core(self) -> CoreV1Api:
        """The official client for Pods and their neighbours."""
        return CoreV1Api(self.cluster.api)

    @property
    def apps(self) -> AppsV1Api:
        """The official client for Deployments and their neighbours."""
        return AppsV1Api(self.cluster.api)

    @property
    def view(self) -> View:
        """What a check sees."""
        return View(self.cluster.api, self.namespace)

    def kubectl(self, *arguments: str, input: str | None = None, limit: float = 240) -> str:
        """Run kubectl in the namespace, for at most ``limit`` seconds."""
        return self.cluster.kubectl("--namespace", self.namespace, *arguments, input=input, limit=limit)

    def apply(self, *manifests: dict) -> None:
        """Apply manifests with kubectl."""
        self.kubectl("apply", "--filename", "-", input="\n---\n".join(map(json.dumps, manifests)))

    def pod(self, name: str, *containers: dict, labels: dict | None = None, **spec: Any) -> None:
        """Create a Pod of these containers, which ends at once when it is deleted unless ``spec`` says otherwise."""
        body = {"terminationGracePeriodSeconds": 0, "containers": list(containers), **spec}
        self.core.create_namespaced_pod(
            self.namespace, {"metadata": {"name": name, "labels": labels or {}}, "spec": body}
        )

    def run(self, name: str, image: str, *command: str, labels: dict | None = None, **container: Any) -> None:
        """Create a Pod of one container."""
        self.pod(name, box("main", *command, image=image, **container), labels=labels)

    def record(self, config_map: str = "diagnosis", /, **data: str) -> None:
        """Create a ConfigMap; an underscore in a key stands for a dash."""
        body = {"metadata": {"name": config_map}, "data": _dashed(data)}
        self.core.create_namespaced_config_map(self.namespace, body)

    def annotate(self, pod: str, **notes: str) -> None:
        """Annotate a Pod; an underscore in a name stands for a dash."""
        self.kubectl("patch", "pod", pod, "--patch", json.dumps({"metadata": {"annotations": _dashed(notes)}}))

    def delete(self, *names: str) -> None:
        """Delete Pods at once, without a grace period."""
        self.kubectl("delete", "pod", *names, "--grace-period=0", "--force", "--timeout=60s")

    def replace(self, pod: str, image: str, *command: str, **container: Any) -> None:
        """Delete a Pod and create another under its name."""
        self.delete(pod)
        self.run(pod, image, *command, **container)


def box(name: str, *command: str, image: str = "podium.test/busybox:1.37", **container: Any) -> dict:
    """A container of a Pod, from busybox unless another image is given; a command of one word is a shell script."""
    argv = ["sh", "-c", *command] if len(command) == 1 and " " in command[0] else list(command)
    return {"name": name, "image": image, **({"command": argv} if argv else {}), **container}


def _dashed(data: dict[str, str]) -> dict[str, str]:
    return {key.replace("_", "-"): value for key, value in data.items()}


@dataclass(frozen=True)
class Answer:
    """One answer to one task.

    Args:
        task: The task's id.
        give: Gives it.
        loses: The names of the criteria that it must not get; it must get all others.
        seed: Draws the fault, where the task starts from something with faults.
    """

    task: str
    give: Callable[[Work], None] = field(repr=False)
    loses: frozenset[str] = frozenset()
    seed: str = ""

    @property
    def name(self) -> str:
        """Its name in messages."""
        return self.give.__name__.replace("_", "-")


class Answers(list[Answer]):
    """The answers to a lab's tasks."""

    def answer(
        self, task: str, *loses: str, seed: str = ""
    ) -> Callable[[Callable[[Work], None]], Callable[[Work], None]]:
        """Add an answer: a right one, unless it loses something; to the fault that the seed draws, where there are any.

        Raises:
            UsageError: The task has no criterion of such a name.
        """
        if unknown := set(loses) - {criterion.name for criterion in criteria(task)}:
            raise UsageError(f"Task {task} has no criterion {', '.join(sorted(unknown))}.")

        def add(give: Callable[[Work], None]) -> Callable[[Work], None]:
            self.append(Answer(task, give, frozenset(loses), seed))
            return give

        return add


@dataclass(frozen=True)
class Trial:
    """What one answer got, and what it should have got.

    Args:
        answer: Its name: ``solution``, ``unsolved``, or an answer's.
        loses: The names of the criteria that it must not get.
        result: What was found; None where the answer could not be given.
        seconds: How long it took.
        error: Why it could not be given or judged; empty where it was.
    """

    task: str
    answer: str
    loses: frozenset[str]
    result: Result | None
    seconds: float = 0.0
    error: str = ""

    @property
    def due(self) -> frozenset[str]:
        """The criteria that it must get."""
        return _all(find_task(self.task)) - self.loses

    @property
    def got(self) -> frozenset[str]:
        """The criteria that it got."""
        return frozenset(o.criterion.name for o in self.result.outcomes if o.holds) if self.result else frozenset()

    @property
    def falsely_accepted(self) -> frozenset[str]:
        """The criteria that it got and breaks."""
        return self.got & self.loses

    @property
    def falsely_rejected(self) -> frozenset[str]:
        """The criteria that it meets and did not get."""
        return self.due - self.got

    @property
    def right(self) -> bool:
        """Whether it got just what it deserves."""
        return not (self.error or self.falsely_accepted or self.falsely_rejected)

    def __str__(self) -> str:
        said = [f"accepted {name}, which it breaks" for name in sorted(self.falsely_accepted)]
        said += [f"rejected {name}, which it meets" for name in sorted(self.falsely_rejected)]
        found = {o.criterion.name: o.found for o in self.result.outcomes} if self.result else {}
        wrong = self.falsely_accepted | self.falsely_rejected
        said += [f"{name}: {found[name]}" for name in sorted(wrong) if name in found]
        verdict = "; ".join(filter(None, [self.error, *said])) or "right"
        return f"{self.task} {self.answer} ({self.seconds:.0f} s): {verdict}"


@dataclass(frozen=True)
class Rates:
    """How often the grader was wrong, criterion by criterion."""

    falsely_accepted: int
    breaks: int
    falsely_rejected: int
    meets: int

    @classmethod
    def of(cls, trials: Iterable[Trial]) -> "Rates":
        """The rates of these trials."""
        trials = list(trials)
        return cls(
            sum(len(trial.falsely_accepted) for trial in trials),
            sum(len(trial.loses) for trial in trials),
            sum(len(trial.falsely_rejected) for trial in trials),
            sum(len(trial.due) for trial in trials),
        )

    def __str__(self) -> str:
        accepted = f"{self.falsely_accepted} of {self.breaks} ({self.falsely_accepted / max(1, self.breaks):.1%})"
        rejected = f"{self.falsely_rejected} of {self.meets} ({self.falsely_rejected / max(1, self.meets):.1%})"
        return f"false accepts {accepted}, false rejects {rejected}"


def _all(task: Task) -> frozenset[str]:
    return frozenset(criterion.name for criterion in criteria(task.id))


def answers(course: Path, what: Lab | Task) -> list[Answer]:
    """The answers that a course keeps for a lab or one of its tasks.

    Raises:
        UsageError: It keeps none, or too few for a task.
    """
    lab = what if isinstance(what, Lab) else what.lab
    path = course / "answers" / f"lab_{lab.id}.py"
    if not path.is_file():
        raise UsageError(f"There are no answers to lab {lab.id}: {path} is missing.", "Name the course's folder.")
    found: Answers = run_path(str(path))["ANSWERS"]
    for task in lab.checked:
        wrong = [bool(answer.loses) for answer in found if answer.task == task.id]
        if sum(wrong) < MUTANTS or len(wrong) - sum(wrong) < ALTERNATIVES:
            raise UsageError(
                f"Task {task.id} has {sum(wrong)} wrong and {len(wrong) - sum(wrong)} right answers in {path}.",
                f"It needs {MUTANTS} and {ALTERNATIVES}.",
            )
    return [answer for answer in found if what in (lab, find_task(answer.task))]


Job = Callable[[Cluster], list[Trial]]


def verify(
    course: Path, what: Iterable[Lab | Task], name: str, backend: str | None = None, limit: float = math.inf
) -> Iterator[Trial]:
    """Give and judge everything that is known of these labs: their answers, their solutions, and nothing at all.

    Of a single task, only its answers. What can runs side by side on one cluster, each answer in a namespace of its
    own. What touches nodes or components has a cluster to itself meanwhile.

    Args:
        course: The course's folder, which holds ``source`` and ``answers``.
        what: Which labs and tasks.
        name: What the names of the clusters begin with; they are gone at the end.
        backend: Theirs, as of :class:`~podium.cluster.Cluster`.
        limit: Seconds after which none is begun any more.

    Yields:
        One trial for each answer, and for each task one of its solution and one without it, as soon as it is done. What
        there was no time for is left out.

    Raises:
        UsageError: A lab has too few answers.
        PodiumError: A cluster did not start.
    """
    jobs: list[tuple[bool, Job]] = []
    for each in what:
        jobs += [(find_task(answer.task).alone, _answer(answer)) for answer in answers(course, each)]
        if isinstance(each, Lab):
            alone = any(task.alone for task in each.checked)
            jobs.insert(0, (alone, _notebook(course, each, alone)))  # the first, for it takes longest
    over = time.monotonic() + limit
    done: SimpleQueue[list[Trial] | Exception] = SimpleQueue()
    with ExitStack() as stack:
        for alone, clusters, at_once in ((False, 1, AT_ONCE), (True, ALONE, 1)):
            mine = deque(job for needs, job in jobs if needs == alone)
            for number in range(min(clusters, len(mine))):
                cluster = Cluster(f"{name}-{'alone' if alone else 'shared'}-{number}", backend=backend)
                worker = Thread(target=_work_off, args=(mine, cluster, at_once, over, done))
                worker.start()
                stack.callback(worker.join)
            stack.callback(mine.clear)  # before its workers are waited for, should something go wrong
        for _ in jobs:
            if isinstance(found := done.get(), Exception):
                raise found
            yield from found


def _work_off(jobs: "deque[Job]", cluster: Cluster, at_once: int, over: float, done: SimpleQueue) -> None:
    """Do jobs on a cluster, so many at once, as long as there are any; the cluster is there for just as long.

    Those that are not begun when time is over have no trials.
    """

    def work() -> None:
        while True:
            try:
                job = jobs.popleft()
            except IndexError:
                return
            done.put(job(cluster) if time.monotonic() < over else [])

    try:
        with cluster, ThreadPoolExecutor(at_once) as pool:
            for worker in [pool.submit(work) for _ in range(at_once)]:
                worker.result()
    except Exception as problem:  # whatever it is, it is raised where the results are awaited
        done.put(problem)


def _answer(answer: Answer) -> Job:
    def give(cluster: Cluster) -> list[Trial]:
        namespace = f"answer-{uuid4().hex[:8]}"
        began = time.monotonic()
        result, error = None, ""
        try:
            make_namespace(CoreV1Api(cluster.api), namespace)
            if find_task(answer.task).start.exists():
                prepare(answer.task, cluster, namespace, answer.seed)
            answer.give(Work(cluster, namespace))
            result = judge(answer.task, cluster.api, namespace)
            error = result.error
        except PodiumError as problem:
            error = problem.what
        except ApiException as problem:
            error = f"The API server answered {problem.status} {problem.reason}: {problem.body}"
        finally:
            _clear(cluster, namespace, find_task(answer.task).alone)
        return [Trial(answer.task, answer.name, answer.loses, result, time.monotonic() - began, error)]

    return give


def _notebook(course: Path, lab: Lab, alone: bool) -> Job:
    """The lab's notebook, first without its solutions, then with them."""
    source = course / "source" / lab.assignment / f"{lab.assignment}.ipynb"

    def run(path: Path, name: str, cluster: Cluster) -> list[Trial]:
        began = time.monotonic()
        make_namespace(CoreV1Api(cluster.api), lab.namespace)
        submission = grade_notebook(path, cluster)
        _clear(cluster, lab.namespace, alone)
        remove_namespace(CoreV1Api(cluster.api), lab.namespace)
        took = time.monotonic() - began
        return [
            Trial(task.id, name, _all(task) if name == "unsolved" else frozenset(), result, took, error)
            for result in submission.results
            for task, error in [(result.task, result.error or submission.note)]
        ]

    def both(cluster: Cluster) -> list[Trial]:
        with tempfile.TemporaryDirectory(prefix="podium-verify-") as folder:
            unsolved = Path(folder) / source.name
            nbformat.write(ClearSolutions().preprocess(nbformat.read(source, as_version=4), {})[0], unsolved)
            return run(unsolved, "unsolved", cluster) + run(source, "solution", cluster)

    return both


def _clear(cluster: Cluster, namespace: str, alone: bool) -> None:
    """Let a namespace go, and put right what is broken outside of it, where nobody else is at work there."""
    if alone:
        mend(cluster)
        restore(cluster.api)
    core = CoreV1Api(cluster.api)
    core.delete_collection_namespaced_pod(namespace, grace_period_seconds=0)
    core.delete_namespace(namespace)
