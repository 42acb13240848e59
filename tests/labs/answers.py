"""What answers to a lab's tasks are: right ones of several makes, and wrong ones with what they lose."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from kubernetes.client import CoreV1Api

from autograder.cluster import View
from podium import Cluster

BUSYBOX = "podium.test/busybox:1.37"
NGINX = "podium.test/nginx:1.26"


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
        """The official client."""
        return CoreV1Api(self.cluster.api)

    @property
    def view(self) -> View:
        """What a check sees."""
        return View(self.cluster.api, self.namespace)

    def kubectl(self, *arguments: str, input: str | None = None) -> str:
        """Run kubectl in the namespace."""
        return self.cluster.kubectl("--namespace", self.namespace, *arguments, input=input)

    def run(self, name: str, image: str, *command: str, labels: dict | None = None, **container: Any) -> None:
        """Create a Pod of one container."""
        main = {"name": "main", "image": image, **({"command": list(command)} if command else {}), **container}
        metadata = {"name": name, "labels": labels or {}}
        pod = {"metadata": metadata, "spec": {"terminationGracePeriodSeconds": 0, "containers": [main]}}
        self.core.create_namespaced_pod(self.namespace, pod)

    def record(self, **data: str) -> None:
        """Create the ConfigMap diagnosis."""
        body = {"metadata": {"name": "diagnosis"}, "data": data}
        self.core.create_namespaced_config_map(self.namespace, body)

    def annotate(self, pod: str, **notes: str) -> None:
        """Annotate a Pod; an underscore in a name stands for a dash."""
        pairs = {name.replace("_", "-"): note for name, note in notes.items()}
        self.kubectl("patch", "pod", pod, "--patch", json.dumps({"metadata": {"annotations": pairs}}))

    def replace(self, pod: str, image: str, *command: str, **container: Any) -> None:
        """Delete a Pod and create another under its name."""
        self.kubectl("delete", "pod", pod, "--grace-period=0", "--force", "--timeout=60s")
        self.run(pod, image, *command, **container)


@dataclass(frozen=True)
class Answer:
    """One answer to one task.

    Args:
        task: The task's id.
        give: Gives it.
        loses: The names of the criteria that it must not get; it must get all others.
    """

    task: str
    give: Callable[[Work], None] = field(repr=False)
    loses: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """Its name in messages."""
        return self.give.__name__.replace("_", "-")


class Answers(list[Answer]):
    """The answers to a lab's tasks."""

    def answer(self, task: str, *loses: str) -> Callable[[Callable[[Work], None]], Callable[[Work], None]]:
        """Add an answer: a right one, unless it loses something."""

        def add(give: Callable[[Work], None]) -> Callable[[Work], None]:
            self.append(Answer(task, give, frozenset(loses)))
            return give

        return add
