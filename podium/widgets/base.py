"""What the pictures share: they are drawn in the kernel, as HTML, and the front end shows what was drawn.

So a notebook, a web page and paper show the same, and a new picture is one Python class: what it watches, how it is
drawn, and what a click does. The front end (``base.js``) changes only what differs, and sends clicks back.
"""

import atexit
import json
import re
import threading
import time
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any, ClassVar, Protocol
from weakref import WeakSet

import anywidget
import traitlets
from IPython import get_ipython
from kubernetes.client import ApiClient, ApiException
from kubernetes.config import ConfigException, new_client_from_config
from kubernetes.watch import Watch as Stream
from urllib3.exceptions import HTTPError

from podium.cluster import Cluster
from podium.cluster import open as open_cluster
from podium.errors import PodiumError

HERE = Path(__file__).parent
BASE_JS, BASE_CSS = (HERE / "base.js").read_text(), (HERE / "base.css").read_text()
MERGE = 0.1  # seconds from one drawing to the next: what changes meanwhile is drawn together
RETRY = 0.25  # seconds until the API server is asked again
PAUSE = 5.0  # seconds that slow answers may put off the next question
FIRST = 10.0  # seconds that a new picture waits for what it shows
UNSEEN = 150.0  # seconds without a word of any front end; a tab in the background may speak once a minute
LIT = 2.5  # seconds that a change is lit, as in base.css
Object = dict[str, Any]


def button(do: str, argument: str, inside: str, **attributes: str) -> str:
    """A button that calls ``do_<do>(argument)`` of the picture.

    Args:
        do: What it does.
        argument: To what.
        inside: What stands on it, as HTML.
        attributes: More of them; ``_`` stands for ``-``, and ``class_`` for ``class``.
    """
    more = "".join(f' {name.rstrip("_").replace("_", "-")}="{escape(value)}"' for name, value in attributes.items())
    return f'<button type="button" data-do="{do}" data-arg="{escape(argument)}"{more}>{inside}</button>'


class Source(Protocol):
    """What a picture follows."""

    problem: str
    """Why it shows what was, not what is; empty while all is well."""
    told: threading.Event
    """Set once it has told something: the present, or a problem."""

    def close(self) -> None:
        """End it; return when it has ended."""


class Watch:
    """The objects of one resource, as the API server tells them, until it is closed.

    It begins anew, with a list, when the API server was away and when a watch has expired:
    https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes.

    Args:
        cluster: Whose objects.
        function: Gives the client's function that lists them: ``lambda api: CoreV1Api(api).list_node``.
        changed: Called, in the watch's thread, after each change.
        selection: More arguments for that function: ``field_selector="metadata.name=web"``.
    """

    def __init__(
        self,
        cluster: Cluster,
        function: Callable[[ApiClient], Callable[..., Any]],
        changed: Callable[[], object],
        **selection: str,
    ) -> None:
        self.problem = ""
        self.told = threading.Event()
        self._objects: dict[str, Object] = {}
        self._cluster, self._function, self._changed, self._selection = cluster, function, changed, selection
        self._stream = Stream("object")
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="podium-watch", daemon=True)
        self._thread.start()

    @property
    def objects(self) -> list[Object]:
        """What there is, as the API has it, in the order of namespace and name."""
        found = list(self._objects.values())
        return sorted(found, key=lambda o: (o["metadata"].get("namespace", ""), o["metadata"]["name"]))

    def close(self) -> None:
        """End it; return when its thread has ended."""
        self._closing.set()
        while self._thread.is_alive():
            self._stream.stop()  # it may just have opened a new connection, so more than once
            self._thread.join(0.05)

    def _tell(self, problem: str = "") -> None:
        self.problem = problem
        self.told.set()
        self._changed()

    def _follow(self) -> None:
        while not self._closing.is_set():
            try:
                # A new client each time: a cluster that was reset has other credentials.
                with new_client_from_config(str(self._cluster.kubeconfig_path)) as api:
                    self._once(self._function(api))
            except ApiException as error:
                if (
                    error.status != 410
                ):  # expired: https://kubernetes.io/docs/reference/using-api/api-concepts/#410-gone-responses
                    self._fail(f"The API server refuses to tell: {error.status} {error.reason}.")
            except (OSError, HTTPError, ValueError):
                self._fail("The API server does not answer.")
            except (ConfigException, PodiumError):
                self._fail(f"Cluster {self._cluster.name!r} does not run.")

    def _fail(self, problem: str) -> None:
        if not self._closing.is_set():
            if problem != self.problem:
                self._tell(problem)
            self._closing.wait(RETRY)

    def _once(self, function: Callable[..., Any]) -> None:
        answer = function(_preload_content=False, _request_timeout=5, **self._selection)
        listed = json.loads(answer.data)
        answer.release_conn()
        self._objects = {item["metadata"]["uid"]: item for item in listed["items"]}
        self._tell()
        version = listed["metadata"]["resourceVersion"]
        for event in self._stream.stream(function, resource_version=version, **self._selection):
            if self._closing.is_set():
                return
            uid = event["object"]["metadata"]["uid"]
            if event["type"] == "DELETED":
                self._objects.pop(uid, None)
            else:
                self._objects[uid] = event["object"]
            self._tell()


class Poll:
    """What has to be asked for again and again, until it is closed.

    Args:
        ask: Returns what is; raises PodiumError or OSError when it can't.
        changed: Called, in the poll's thread, when the answer is another one.
        every: Seconds from one answer to the next question; more where answers take long, so that a busy node is not
            made busier: then a fifth of the time is spent in asking.
    """

    def __init__(self, ask: Callable[[], Any], changed: Callable[[], object], every: float) -> None:
        self.problem = ""
        self.told = threading.Event()
        self.answer: Any = None
        self._ask, self._changed, self._every = ask, changed, every
        self._closing, self._soon = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._follow, name="podium-poll", daemon=True)
        self._thread.start()

    def soon(self) -> None:
        """Ask at once."""
        self._soon.set()

    def close(self) -> None:
        """End it; return when its thread has ended."""
        self._closing.set()
        self._soon.set()
        self._thread.join()

    def _follow(self) -> None:
        while not self._closing.is_set():
            self._soon.clear()
            began = time.monotonic()
            answer, problem = self.answer, ""
            try:
                answer = self._ask()
            except (PodiumError, OSError) as error:
                problem = error.what if isinstance(error, PodiumError) else str(error)
            took = time.monotonic() - began
            if (answer, problem) != (self.answer, self.problem) or not self.told.is_set():
                self.answer, self.problem = answer, problem
                self.told.set()
                self._changed()
            if not self._closing.is_set():
                self._soon.wait(max(self._every, min(4 * took, PAUSE)))


class Live(anywidget.AnyWidget):
    """A picture that follows a cluster. A subclass says what it follows, how it is drawn and what a click does.

    In its HTML, ``data-do="select" data-arg="web"`` on a button calls ``do_select("web")``; ``data-key`` names what is
    the same in the next picture; ``data-arrows`` on a group lets the arrow keys move within it; what scrolls needs
    ``tabindex="0"``, a role and a name. A picture that needs more than that of its front end has its own JavaScript:
    ``_esm = BASE_JS + "export default { render: (context) => live(context, (el) => …) };"``.

    It sleeps while no front end shows it, and ends with :meth:`close` or with the kernel. When the cell that made it
    was run again and made another one, it ends instead of falling asleep.

    Args:
        cluster: The cluster; the running one unless given, as :func:`podium.open` finds it.
    """

    _esm: ClassVar[str] = BASE_JS + "export default { render: (context) => live(context) };"
    _css: ClassVar[str] = BASE_CSS
    label: str
    """What the picture is, for those who don't see it."""
    html = traitlets.Unicode().tag(sync=True)

    def __init__(self, cluster: Cluster | None = None) -> None:
        self.cluster = cluster or open_cluster()
        self.notice = ""
        self._sources: Sequence[Source] = ()
        self._awake = self._drawn = self._replaced = False
        self._cell, self._run = _running()
        self._lit: dict[str, tuple[object, float]] = {}
        self._views: dict[str, float] = {"": time.monotonic()}  # the first one is on its way
        self._changed, self._closing, self._lock = threading.Event(), threading.Event(), threading.RLock()
        self._painter = threading.Thread(target=self._paint, name="podium-painter", daemon=True)
        self._replace()
        _OPEN.add(self)
        super().__init__()
        self.on_msg(self._hear)
        self._wake()
        deadline = time.monotonic() + FIRST
        for source in self._sources:
            source.told.wait(max(0, deadline - time.monotonic()))
        self._draw()
        self._painter.start()

    # -- what a subclass says

    def follow(self) -> Sequence[Source]:
        """Begin to follow the cluster. Called again when the picture wakes."""
        return ()

    def draw(self) -> str:
        """The picture, as HTML. Called at most ten times a second, never twice at once."""
        raise NotImplementedError

    # -- what a subclass uses

    def changed(self) -> None:
        """Have the picture drawn anew, soon."""
        self._changed.set()

    def later(self, work: Callable[[], object]) -> None:
        """Do in a thread of its own what may take long; what it raises for people is shown in the picture."""

        def run() -> None:
            try:
                work()
                self.notice = ""
            except PodiumError as error:
                self.notice = str(error)
            self.changed()

        threading.Thread(target=run, name="podium-work", daemon=True).start()

    def lit(self, key: str, value: object) -> str:
        """The class of what just changed, ``podium-lit``; empty for what did not. What is new changed, too.

        Args:
            key: What it is.
            value: What would change.
        """
        now = time.monotonic()
        if key not in self._lit:
            self._lit[key] = (value, now if self._drawn else 0.0)
        elif self._lit[key][0] != value:
            self._lit[key] = (value, now)
        return "podium-lit" if now - self._lit[key][1] < LIT else ""

    @property
    def awake(self) -> bool:
        """Whether it follows the cluster now."""
        return self._awake

    @property
    def problems(self) -> list[str]:
        """Why it shows what was, not what is."""
        return list(dict.fromkeys(source.problem for source in self._sources if source.problem))

    # -- its life

    def close(self) -> None:
        """End it, and every watch of it."""
        if hasattr(self, "_painter"):  # else the constructor refused its arguments: ipywidgets closes whatever goes
            self._end()
        super().close()

    def _replace(self) -> None:
        for other in list(_OPEN):
            if self._cell and other._cell == self._cell and other._run != self._run:
                other._replaced = True
                other.changed()

    def _end(self) -> None:
        self._closing.set()
        self._changed.set()
        if self._painter.is_alive() and threading.current_thread() is not self._painter:
            self._painter.join()
        self._sleep()

    def _wake(self) -> None:
        with self._lock:
            if not self._awake and not self._closing.is_set():
                self._sources, self._awake = self.follow(), True

    def _sleep(self) -> None:
        with self._lock:
            for source in self._sources:
                source.close()
            self._sources, self._awake = (), False

    def _hear(self, _: Any, message: dict[str, Any], __: Any) -> None:
        view = message["view"]
        if message.get("gone"):
            self._views.pop(view, None)
            if not set(self._views) - {""}:
                self._sleep()
            return
        self._views.pop("", None)
        self._views[view] = time.monotonic()
        self._wake()
        if "do" in message:
            getattr(self, f"do_{message['do']}")(message["arg"])
            self.changed()

    def do_dismiss(self, _: str) -> None:
        """Take the notice away."""
        self.notice = ""

    def _paint(self) -> None:
        while not self._closing.is_set():
            self._changed.wait(1)  # now and then anyway: what was lit goes out
            if self._closing.is_set():
                return
            self._changed.clear()
            if all(time.monotonic() - seen > UNSEEN for seen in list(self._views.values())):
                self._sleep()
                if self._replaced:
                    self.close()
                    return
            if self.awake:
                self._draw()
            self._closing.wait(MERGE)

    def _draw(self) -> None:
        said = [
            f'<p class="podium-problem">⚠ {escape(problem)} This is what was last known; it goes on by itself.</p>'
            for problem in self.problems
        ]
        if self.notice:
            dismiss = button("dismiss", "", "Dismiss")
            said.append(f'<p class="podium-problem">⚠ {escape(self.notice)} {dismiss}</p>')
        status = f'<div role="status" data-key="said">{"".join(said)}</div>'
        self.html = f'<section aria-label="{escape(self.label)}">{status}{self.draw()}</section>'
        self._drawn = True

    # -- without a front end

    @property
    def still(self) -> str:
        """The picture of this moment as HTML that needs no front end: for a web page, and for paper."""
        picture = re.sub(r"<button\b([^>]*)>", _unpressed, self.html).replace("</button", "</span")
        now = time.strftime("%H:%M:%S %Z")
        note = f'<p class="podium-note">A still picture, as it was at {now}.</p>'
        return f'<div class="podium"><style>{self._css}</style>{picture}{note}</div>'

    def _repr_mimebundle_(self, **arguments: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live picture, and the still one for whoever has no front end."""
        data, metadata = super()._repr_mimebundle_(**arguments)
        return data | {"text/html": self.still}, metadata


def _unpressed(button: re.Match[str]) -> str:
    """A button that nobody can press: it looks like one, and keeps its own classes."""
    attributes = button[1] if ' class="' in button[1] else button[1] + ' class=""'
    return "<span" + attributes.replace(' class="', ' class="podium-button ', 1) + ">"


def _running() -> tuple[str, str]:
    """The id of the cell that runs, if the front end gives it, as JupyterLab does; and the id of this run of it."""
    shell = get_ipython()
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    return parent.get("metadata", {}).get("cellId", ""), parent.get("header", {}).get("msg_id", "")


_OPEN: "WeakSet[Live]" = WeakSet()


@atexit.register
def _end_all() -> None:
    """With the kernel every picture ends, so that a kubelet that logs more for one logs as usual again."""
    for picture in list(_OPEN):
        picture._end()
