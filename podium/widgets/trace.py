"""The way of a Pod through the components as swim lanes, while it happens and afterwards; or two ways, compared."""

import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from copy import copy
from html import escape
from typing import ClassVar

from podium.cluster import Cluster
from podium.cluster import open as open_cluster
from podium.errors import PodiumError, UsageError
from podium.trace import Step, picture
from podium.trace import Trace as Steps
from podium.trace.recorder import Recorder
from podium.widgets.base import BASE_CSS, BASE_JS, HERE, Live, Source, button

_ROW = 26  # pixels
_APART = 1.7  # % of the width: steps of one lane that are nearer than this stand one under the other


class Trace(Live):
    """The steps of one trace, or of two, on a time line with a lane for each component.

    What is given by name is followed from now on, and drawn while it happens. A click on a step shows the record that
    it was read from, and lights the causes that lead to it.

    Args:
        what: One or two: a trace, or the name of what is to be followed: ``"web"``, ``"deployment/shop"``.
        cluster: Where; the one that is running, unless given.
        namespace: Of what is followed.
        until: ``Ready``, ``failed`` or ``deleted``: see :func:`podium.trace.trace_pod`.
        limit: Seconds after which following ends.

    Raises:
        UsageError: There are none or more than two of them.

    Example:
        >>> live = podium.widgets.Trace("web")  # doctest: +SKIP
        >>> cluster.kubectl("run", "web", "--image=podium.test/nginx:1.26")  # doctest: +SKIP
        >>> live.traces[0].table  # doctest: +SKIP
    """

    _esm: ClassVar[str] = BASE_JS + (HERE / "trace.js").read_text()
    _css: ClassVar[str] = BASE_CSS + (HERE / "trace.css").read_text()

    def __init__(
        self,
        *what: Steps | str,
        cluster: Cluster | None = None,
        namespace: str = "default",
        until: str = "Ready",
        limit: float = 600,
    ) -> None:
        if len(what) not in (1, 2):
            raise UsageError(f"A picture holds one trace or two, not {len(what)}.")
        named = [each for each in what if isinstance(each, str)]
        cluster = cluster or (open_cluster() if named else Cluster())
        self._following = {
            index: _Following(self, cluster, each, namespace, until, limit)
            for index, each in enumerate(what)
            if isinstance(each, str)
        }
        self.traces: list[Steps] = [
            each if isinstance(each, Steps) else self._following[index].trace for index, each in enumerate(what)
        ]
        self.label = " and ".join(f"the trace of {trace.subject}" for trace in self.traces).capitalize()
        self._chosen: tuple[int, Step] | None = None
        super().__init__(cluster)

    def follow(self) -> Sequence[Source]:
        """What was given by name, until it has arrived."""
        for each in self._following.values():
            each.begin()
        return tuple(self._following.values())

    def do_choose(self, argument: str) -> None:
        """Show the record of a step: ``0/12`` is the 13th one of the first trace."""
        trace, step = map(int, argument.split("/"))
        with suppress(IndexError):  # it was drawn before the trace was read again
            self._chosen = trace, self.traces[trace][step]

    @property
    def still(self) -> str:
        """The traces as they are now, as pictures that stand still: see :attr:`podium.trace.Trace.html`."""
        compared = _compared(self.traces) if len(self.traces) == 2 and all(map(len, self.traces)) else ""
        pictures = "".join(trace.html for trace in self.traces)
        return f'<div class="podium"><style>{self._css}</style>{pictures}{compared}</div>'

    # -- the picture

    def draw(self) -> str:
        """The picture of this moment."""
        shown = [copy(trace) for trace in self.traces]  # it may be read again meanwhile
        length = max((_end(trace) for trace in shown if len(trace)), default=1.0)
        chosen = self._find(shown)
        mine = [chosen[1] if chosen and chosen[0] == index else None for index in range(len(shown))]
        parts = [self._part(index, trace, length, mine[index]) for index, trace in enumerate(shown)]
        lists = [_list(index, trace, mine[index]) for index, trace in enumerate(shown) if len(trace)]
        compared = _compared(shown) if len(lists) == 2 else ""
        record = _record(chosen[0], shown[chosen[0]], chosen[1]) if chosen else _record(0, shown[0], None)
        return (
            f"{_tools(length)}{''.join(parts)}"
            f'{compared}<div class="podium-columns" data-key="columns">{"".join(lists)}{record}</div>'
        )

    def _find(self, shown: list[Steps]) -> tuple[int, Step] | None:
        """The chosen step among those that are there now: each reading makes new ones."""
        if not self._chosen:
            return None
        index, step = self._chosen
        alike = [each for each in shown[index] if _what(each) == _what(step)]
        return (index, min(alike, key=lambda each: abs(each.start - step.start))) if alike else None

    def _part(self, index: int, trace: Steps, length: float, chosen: Step | None) -> str:
        live = index in self._following and not self._following[index].over
        said = f"{len(trace)} steps. {trace.outcome}" if len(trace) else f"Nothing has happened yet. {trace.outcome}"
        mark = ' <span class="podium-live">● live</span>' if live else ""
        missing = "".join(f"<li>{escape(source)}: {escape(why)}</li>" for source, why in dict(trace.missing).items())
        if missing:
            missing = (
                f'<details data-key="missing"><summary>What could not be told</summary><ul>{missing}</ul></details>'
            )
        return (
            f'<div data-key="trace-{index}" class="podium-trace"><h3>{escape(trace.subject)}{mark}</h3>'
            f"<p>{escape(said)}</p>{_lanes(index, trace, length, chosen)}{missing}</div>"
        )


def _what(step: Step) -> tuple[str, str, str, str]:
    return step.component, step.verb, step.object, step.source


def _end(trace: Steps) -> float:
    """How long all of it took, in seconds."""
    return max(max(step.end or step.start for step in trace) - trace[0].start, 0.001)


def _tools(length: float) -> str:
    milliseconds = f"{1000 * length:.0f}"
    return (
        f'<div class="podium-tools" data-key="tools" data-length="{milliseconds}">'
        '<button type="button" data-tool="play" aria-label="Play it slowly">▶ Play</button>'
        '<label>until <input type="range" min="0" max="1000" step="1" aria-label="Until when steps are shown"></label>'
        '<output class="podium-until"></output>'
        '<span role="group" aria-label="Zoom"><button type="button" data-tool="out" aria-label="Zoom out">-</button>'
        '<button type="button" data-tool="in" aria-label="Zoom in">+</button>'
        '<button type="button" data-tool="fit" aria-label="Show all">Fit</button></span></div>'
    )


def _chain(step: Step | None) -> list[Step]:
    """A step and its causes, back to the first."""
    found = []
    while step:
        found.append(step)
        step = step.cause
    return found


def _lanes(index: int, trace: Steps, length: float, chosen: Step | None) -> str:
    if not len(trace):
        return ""
    begin, chain = trace[0].start, set(_chain(chosen))
    first_stop = chosen or trace[0]
    names, stripes, marks = [], [], []
    centres: dict[Step, tuple[float, float]] = {}
    top = 0.0
    for component in trace.components:
        ends: list[float] = []  # of each row of this lane, in %
        first = top
        for number, step in enumerate(trace):
            if step.component != component:
                continue
            left, right = (100 * (moment - begin) / length for moment in (step.start, step.end or step.start))
            row = next((row for row, end in enumerate(ends) if left >= end), len(ends))
            ends[row : row + 1] = [max(right, left) + _APART]
            y = first + row * _ROW
            centres[step] = left, y + _ROW / 2
            lit = step in chain
            marks.append(_mark(index, number, step, (left, right, y), begin, step is chosen, lit, step is first_stop))
        top = first + _ROW * len(ends) + 4
        node, _, program = component.rpartition("/")
        place = f'style="top:{first:g}px;height:{top - first:g}px"'
        names.append(
            f'<div class="podium-lane" {place}>{_sign(component)} <b>{escape(program)}</b> {escape(node)}</div>'
        )
        stripes.append(f'<div class="podium-stripe" {place}></div>')
    arrows = "".join(
        f'<path d="M{centres[step.cause][0]:.3f} {centres[step.cause][1]:g}L{centres[step][0]:.3f} '
        f'{centres[step][1]:g}"{" data-lit" if step in chain and step.cause in chain else ""}/>'
        for step in trace
        if step.cause in centres and (step in chain or not chain)
    )
    arrows = (
        f'<svg class="podium-arrows" viewBox="0 0 100 {top:g}" preserveAspectRatio="none" aria-hidden="true" '
        f'style="height:{top:g}px">{arrows}</svg>'
    )
    return (
        f'<div class="podium-scroll" tabindex="0" role="region" data-key="scroll" '
        f'aria-label="Swim lanes of {escape(trace.subject, quote=True)}" style="height:{top + 46:g}px">'
        f'<div class="podium-names" style="height:{top:g}px">{"".join(names)}</div>'
        f'<div class="podium-plot" style="height:{top:g}px" data-arrows data-key="plot">'
        f"{''.join(stripes)}{_axis(length)}{arrows}{''.join(marks)}"
        '<div class="podium-now" data-key="now"></div></div></div>'
    )


def _sign(component: str, size: int = 14) -> str:
    colour, shape = picture.style(component)
    return (
        f'<svg viewBox="-8 -8 16 16" width="{size}" height="{size}" aria-hidden="true">'
        f'<path d="{shape}" fill="{colour}"/></svg>'
    )


def _mark(
    index: int, number: int, step: Step, place: tuple[float, float, float], begin: float,
    chosen: bool, lit: bool, stop: bool,
) -> str:  # fmt: skip
    left, right, top = place
    after = 1000 * (step.start - begin)
    words = f"{step.component}: {picture.label(step)}, at {after:.0f} ms"
    inside = _sign(step.component, 16)
    if step.facts.get("failed") or step.facts.get("refused"):
        inside += '<b class="podium-failed" aria-hidden="true">!</b>'
        words += " (failed)"
    return button(
        "choose", f"{index}/{number}", inside, class_="podium-step", data_key=f"step-{number}", data_at=f"{after:.1f}",
        title=words, aria_label=words, aria_pressed="true" if chosen else "false", tabindex="0" if stop else "-1",
        style=f"left:calc({left:.3f}% - 8px);width:calc({right - left:.3f}% + 16px);top:{top:g}px;"
        f"--podium-colour:{picture.style(step.component)[0]}",
        **({"data_lit": ""} if lit else {}),
    )  # fmt: skip


def _axis(length: float) -> str:
    milliseconds = 1000 * length
    scale = 10 ** (len(f"{milliseconds:.0f}") - 1)
    step = next(each for each in (scale / 5, scale / 2, scale, 2 * scale) if milliseconds / each <= 8)
    ticks = range(int(milliseconds / step) + 1)
    return "".join(
        f'<span class="podium-tick" aria-hidden="true" style="left:{100 * tick * step / milliseconds:.3f}%">'
        f"{tick * step:g} ms</span>"
        for tick in ticks
    )


def _list(index: int, trace: Steps, chosen: Step | None) -> str:
    chain, stop = set(_chain(chosen)), chosen or trace[0]
    rows = []
    for number, step in enumerate(trace):
        after = 1000 * (step.start - trace[0].start)
        inside = (
            f'<span class="podium-ms">{after:.0f} ms</span>{_sign(step.component, 13)} '
            f"<b>{escape(step.component)}</b> {escape(picture.label(step))}"
        )
        row = button(
            "choose", f"{index}/{number}", inside, data_at=f"{after:.1f}", tabindex="0" if step is stop else "-1",
            aria_pressed="true" if step is chosen else "false", **({"data_lit": ""} if step in chain else {}),
        )  # fmt: skip
        rows.append(f'<li data-key="row-{number}">{row}</li>')
    return (
        f'<div data-key="list-{index}"><h4>{escape(trace.subject)}, step by step</h4>'
        f'<ol class="podium-steps" data-arrows>{"".join(rows)}</ol></div>'
    )


def _record(index: int, trace: Steps, step: Step | None) -> str:
    if not step:
        said = "Choose a step: here comes the record that it was read from, whole."
        return f'<div class="podium-record" data-key="record"><p class="podium-note">{said}</p></div>'
    why = "No record tells its cause."
    if step.cause in trace:
        cause = escape(f"{step.cause.component}: {step.cause.verb} {step.cause.object}")
        why = f"Its cause: {button('choose', f'{index}/{trace.index(step.cause)}', cause)}, and so on: "
        back = len(_chain(step)) - 1
        why += f"{back} step{'' if back == 1 else 's'} back to the first."
    spans = ""
    if step.spans:
        spans = (
            "<h4>OpenTelemetry's spans of it</h4>"
            f'<pre tabindex="0" role="region" aria-label="The spans">{escape(step.inside)}</pre>'
        )
    return (
        '<div class="podium-record" data-key="record">'
        f"<h4>{escape(step.component)}: {escape(picture.label(step))}</h4>"
        f"<p>Read from the {escape(step.source)}. {why}</p>"
        f'<pre tabindex="0" role="region" aria-label="The record">{escape(step.text)}</pre>{spans}</div>'
    )


# -- two traces


def _pairs(first: Steps, second: Steps) -> list[tuple[Step, Step]]:
    """The steps that both have: the same component, whatever its node, did the same to the same kind of thing."""
    keyed: list[dict[tuple[str, str, str, int], Step]] = []
    for trace in (first, second):
        seen: Counter[tuple[str, str, str]] = Counter()
        found = {}
        for step in trace:
            kind = "/".join(step.object.split("/")[:3]) if step.component == "etcd" else step.object.split(" ")[0]
            what = step.component.rpartition("/")[2], step.verb, kind
            found[*what, seen[what]] = step
            seen[what] += 1
        keyed.append(found)
    return [(step, keyed[1][key]) for key, step in keyed[0].items() if key in keyed[1]]


def _compared(traces: Sequence[Steps]) -> str:
    first, second = traces
    rows, jumps, last = [], [], 0.0
    for step, other in _pairs(first, second):
        after = 1000 * (step.start - first[0].start), 1000 * (other.start - second[0].start)
        later = after[1] - after[0]
        jumps.append((later - last, step))
        last = later
        rows.append(
            f"<tr><td>{escape(step.component)}: {escape(f'{step.verb} {step.object}')}</td>"
            f"<td>{after[0]:.0f}</td><td>{after[1]:.0f}</td><td>{later:+.0f}</td></tr>"
        )
    if not rows:
        return ""
    jump, step = max(jumps, key=lambda each: abs(each[0]))
    took = [1000 * _end(trace) for trace in traces]
    said = (
        f"The first took {took[0]:.0f} ms, the second {took[1]:.0f} ms. Of the {len(rows)} steps that both have, the "
        f"difference changes most right before {step.component}: {step.verb} {step.object} ({jump:+.0f} ms)."
    )
    names = "".join(f'<th scope="col">{escape(trace.subject)} (ms)</th>' for trace in traces)
    return (
        f'<div data-key="compared" class="podium-compared"><h3>Compared</h3><p>{escape(said)}</p>'
        '<div class="podium-table" tabindex="0" role="region" aria-label="The steps that both have"><table><thead><tr>'
        f'<th scope="col">step</th>{names}<th scope="col">later by (ms)</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></div>"
    )


class _Following:
    """What follows one Pod or Deployment in a thread of its own."""

    def __init__(self, shown: Trace, cluster: Cluster, what: str, namespace: str, until: str, limit: float) -> None:
        kind, _, name = what.rpartition("/")
        self._shown, self._until, self._limit = shown, until, limit
        self._recorder = Recorder(cluster, (kind or "pod").lower(), name, namespace)
        self._thread: threading.Thread | None = None
        self.trace = self._recorder.trace
        self.problem = ""
        self.told = threading.Event()
        self.over = False

    def begin(self) -> None:
        """Begin, or go on, unless it has arrived."""
        if not self.over:
            self._thread = threading.Thread(target=self._follow, name="podium-trace", daemon=True)
            self._thread.start()

    def _follow(self) -> None:
        try:
            with self._recorder as recorder:
                self.told.set()
                self.over = recorder.follow(self._until, self._limit, self._shown.changed)
            self.problem = ""
        except PodiumError as error:
            self.problem = error.what
        self.told.set()
        self._shown.changed()

    def close(self) -> None:
        """End it; return when its thread has ended."""
        self._recorder.stop()
        if self._thread:
            self._thread.join()
