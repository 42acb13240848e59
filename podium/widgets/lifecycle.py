"""The life of one Pod, while it lives: its states as a diagram, and all that becomes of them on a time line.

https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/.
"""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from html import escape

from kubernetes.client import CoreV1Api

from podium.cluster import Cluster
from podium.errors import PodiumError
from podium.trace import klog, life_picture, verbosity
from podium.trace.life import VERBOSITY, Life, Mark
from podium.widgets.base import BASE_CSS, BASE_JS, HERE, Live, Poll, Source, Watch

_LINES = 600  # of a kubelet's log: more than it writes from one look to the next
_EVERY = 0.5  # seconds from one look into a kubelet's log to the next


class LifeCycle(Live):
    """The life of one Pod: phase, conditions, container states, probes and hooks, as they are and as they were.

    The Pod need not be there yet, and may come again: then the picture begins anew. While the picture is awake, the
    kubelet of a Pod with probes or a ``preStop`` hook logs more than usual, for nothing else tells of each of them.

    Args:
        pod: The Pod's name.
        namespace: Its namespace.
        cluster: Where; the one that is running, unless given.

    Example:
        >>> podium.widgets.LifeCycle("web")  # doctest: +SKIP
    """

    _esm = BASE_JS + (HERE / "lifecycle.js").read_text()
    _css = BASE_CSS + (HERE / "lifecycle.css").read_text()

    def __init__(self, pod: str, namespace: str = "default", cluster: Cluster | None = None) -> None:
        self.label = f"The life cycle of Pod {pod}"
        self.life = Life(pod)
        self._namespace = namespace
        self._reading = threading.RLock()
        super().__init__(cluster)

    def follow(self) -> Sequence[Source]:
        """The Pod, and the log of its kubelet."""
        if self.life.pod and not self.life.gone:
            unseen = Mark(time.time(), False, "nobody had looked for a while")
            self.life.track("Pod", "phase").mark(unseen)
        self._watch: Watch | None = None
        with self._reading:
            self._watch = Watch(
                self.cluster,
                lambda api: CoreV1Api(api).list_namespaced_pod,
                self._seen,
                namespace=self._namespace,
                field_selector=f"metadata.name={self.life.name}",
            )
        return self._watch, _Log(self)

    def _seen(self) -> None:
        """The Pod has changed; called in the watch's thread, for each change."""
        with self._reading:
            if self._watch and self._watch.objects:
                self.life.see(self._watch.objects[0], time.time())
            elif self._watch and self.life.pod and not self._watch.problem:
                self.life.go(time.time())
        self.changed()

    def read(self, log: str) -> None:
        """Take what a kubelet's log says."""
        with self._reading:
            self.life.read(klog.parse(log), self._namespace)

    def draw(self) -> str:
        """The picture of this moment."""
        with self._reading:
            picture = life_picture.svg(self.life, time.time())
            said = "".join(f"<li>{escape(line)}</li>" for line in str(self.life).splitlines())
        return (
            f'<div class="podium-life">{picture}</div>'
            '<p class="podium-life-told" data-key="told"></p>'
            f'<details data-key="words"><summary>The same in words</summary><ul>{said}</ul></details>'
        )


class _Log(Poll):
    """What the kubelet of the Pod's node says of its probes and hooks."""

    def __init__(self, picture: LifeCycle) -> None:
        self._picture = picture
        self._node = ""
        self._less = lambda: None
        super().__init__(self._look, picture.changed, _EVERY)

    def _look(self) -> str:
        """The end of the log; empty where there is nothing to hear of."""
        node = self._picture.life.listens
        if node != self._node:
            self._quiet()
            if node:
                self._less = verbosity.more(self._picture.cluster, f"{node}/kubelet", VERBOSITY)
            self._node = node
        if not node:
            return ""
        log = self._picture.cluster.components[f"{node}/kubelet"].log(_LINES)
        self._picture.read(log)
        return log

    def _quiet(self) -> None:
        less, self._less = self._less, lambda: None
        with suppress(PodiumError):  # who does not answer is not talkative either
            less()

    def close(self) -> None:
        """End it, and let the kubelet log as usual."""
        super().close()
        self._quiet()
