"""What ``labs.toml`` says: every lab and task, its points, concepts, hints and design note."""

import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from podium.errors import UsageError

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Task:
    """One task of a lab.

    Args:
        id: The lab's number and the task's: ``02.1``.
        title: What is to be done, in a few words.
        points: The most that can be got.
        concepts: What it teaches: numbers of the course's concept map.
        design: Why the task is as it is, and which misunderstandings its wrong answers stand for.
        hints: In the order in which they are given; none of them gives the answer away.
        manual: A person marks it, by the guide beside the model answer in the lab's source.
        alone: It touches nodes or components: nothing else can go on meanwhile on the same cluster.
    """

    id: str
    title: str
    points: int
    concepts: tuple[str, ...]
    design: str
    hints: tuple[str, ...] = ()
    manual: bool = False
    alone: bool = False

    @property
    def lab(self) -> "Lab":
        """The lab that the task belongs to."""
        return find_lab(self.id.partition(".")[0])

    @property
    def grade_id(self) -> str:
        """nbgrader's name for the task's graded cell: ``02-1``, for nbgrader allows no dot."""
        return self.id.replace(".", "-")

    @property
    def start(self) -> Path:
        """The manifest of the objects that the task starts from; there may be none."""
        return FOLDER / "start" / f"{self.id}.yaml"


@dataclass(frozen=True)
class Lab:
    """One lab, an nbgrader assignment.

    Args:
        id: Two digits: ``02``.
        assignment: nbgrader's name for it, which is also the name of its folder and its notebook.
        title: What it is about.
        minutes: How long a learner is likely to need.
        tasks: In the order of the notebook.
        rights: What its learners need beyond their namespace and reading: rules of a ClusterRole.
    """

    id: str
    assignment: str
    title: str
    minutes: int
    tasks: tuple[Task, ...] = field(repr=False)
    rights: tuple[dict, ...] = field(default=(), repr=False)

    @property
    def namespace(self) -> str:
        """The namespace in which all of the lab's work is done."""
        return f"lab-{self.id}"

    @property
    def checked(self) -> tuple[Task, ...]:
        """The tasks that are checked on the cluster; the others are marked by a person."""
        return tuple(task for task in self.tasks if not task.manual)


@cache
def labs() -> dict[str, Lab]:
    """All labs by their id."""
    found = {}
    for entry in tomllib.loads((FOLDER / "labs.toml").read_text())["lab"]:
        tasks = tuple(
            Task(**task | {"concepts": tuple(task["concepts"]), "hints": tuple(task.get("hints", ()))})
            for task in entry["task"]
        )
        found[entry["id"]] = Lab(
            entry["id"], entry["assignment"], entry["title"], entry["minutes"], tasks, tuple(entry.get("right", ()))
        )
    return found


def find_lab(name: str) -> Lab:
    """The lab with this id or assignment name.

    Raises:
        UsageError: There is none.
    """
    for lab in labs().values():
        if name in (lab.id, lab.assignment):
            return lab
    raise UsageError(f"There is no lab {name!r}.", f"The labs are: {', '.join(labs())}.")


def find_task(task_id: str) -> Task:
    """The task with this id.

    Raises:
        UsageError: There is none.
    """
    lab = find_lab(task_id.partition(".")[0])
    for task in lab.tasks:
        if task.id == task_id:
            return task
    raise UsageError(f"Lab {lab.id} has no task {task_id!r}.", f"Its tasks are: {', '.join(t.id for t in lab.tasks)}.")
