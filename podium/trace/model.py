"""What a trace is: steps in order, each with the record that it was read from."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Span:
    """A span (https://opentelemetry.io/docs/concepts/signals/traces/#spans), by the API server's clock.

    Attributes:
        service: Who told it: ``apiserver``, ``kubelet``, ``containerd``.
        name: What was done.
        id: Its number, hexadecimal.
        parent: The number of the span that it is part of; empty for none.
        start: When it began, in seconds since 1970.
        end: When it was over.
        attributes: What it says of itself.
        events: What happened meanwhile: moments and names.
    """

    service: str
    name: str
    id: str
    parent: str
    start: float
    end: float
    attributes: dict[str, Any]
    events: list[tuple[float, str]]

    @classmethod
    def read(cls, told: Mapping[str, Any], ahead: float) -> "Span":
        """A span as :meth:`podium.Cluster.spans` gives it, by a clock that is ``ahead`` seconds ahead of its own."""
        events = [(moment + ahead, name) for moment, name in told["events"]]
        texts = (told[key] for key in ("service", "name", "id", "parent"))
        return cls(*texts, told["start"] + ahead, told["end"] + ahead, told["attributes"], events)


@dataclass(eq=False)
class Step:
    """One thing that one component did.

    Attributes:
        component: Which one: ``kube-apiserver``, ``etcd``, ``node-1/kubelet``.
        verb: What it did, in one or two words.
        object: To what: ``Pod web``, ``container nginx``.
        start: When, in seconds since 1970.
        end: When it was over; None where the source knows one moment only.
        detail: The same for people, in one line.
        source: Which record tells it: ``audit log``.
        record: That record, whole: a JSON object of the API or the lines of a log.
        by: Who asked for it, where it was asked for.
        facts: What else the record says, for programs: ``revision``, ``pod``, ``container``.
        cause: The step without which it would not have happened, where that is known.
        spans: OpenTelemetry's spans of it, in a cluster that was started with tracing.
    """

    component: str
    verb: str
    object: str
    start: float
    end: float | None
    detail: str
    source: str
    record: Any = field(repr=False)
    by: str = ""
    facts: dict[str, Any] = field(default_factory=dict, repr=False)
    cause: "Step | None" = field(default=None, repr=False)
    spans: list[Span] = field(default_factory=list, repr=False)

    @property
    def inside(self) -> str:
        """The spans as text: when each began, after the first one, and how long it took."""
        depth: dict[str, int] = {}
        lines = []
        for span in self.spans:
            depth[span.id] = depth.get(span.parent, -1) + 1
            after, took = 1000 * (span.start - self.spans[0].start), 1000 * (span.end - span.start)
            lines.append(f"{after:8.1f} ms  took {took:7.1f} ms  {'  ' * depth[span.id]}{span.service}: {span.name}")
        return "\n".join(lines)

    @property
    def text(self) -> str:
        """The record as text."""
        return self.record if isinstance(self.record, str) else json.dumps(self.record, indent=2, ensure_ascii=False)

    def __str__(self) -> str:
        spans = f"\nOpenTelemetry's spans:\n{self.inside}" if self.spans else ""
        head = f"{self.component}: {self.verb} {self.object}: {self.detail}"
        return f"{head}\nfrom the {self.source}:\n{self.text}{spans}"


class Trace(Sequence[Step]):
    """The steps of one Pod, or of a Deployment's, in the order in which they happened.

    A step never stands before its cause: where two clocks or two sources differ by a moment, the cause decides.

    Attributes:
        subject: What was followed: ``Pod web``.
        outcome: How it ended, in one sentence.
        missing: What could not be told, by source: a step that no record tells is not in the trace.
    """

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.outcome = "It is still being followed."
        self.missing: dict[str, str] = {}
        self._steps: list[Step] = []

    def fill(self, steps: Sequence[Step]) -> None:
        """Take these steps in place of those it has, and put them in order."""
        place: dict[Step, tuple[float, int]] = {}

        def order(step: Step) -> tuple[float, int]:
            if step not in place:
                after, depth = order(step.cause) if step.cause else (step.start, -1)
                place[step] = max((step.start, 0), (after, depth + 1))
            return place[step]

        self._steps = sorted(steps, key=order)

    @overload
    def __getitem__(self, index: int) -> Step: ...
    @overload
    def __getitem__(self, index: slice) -> list[Step]: ...
    def __getitem__(self, index: int | slice) -> Step | list[Step]:
        return self._steps[index]

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[Step]:
        return iter(self._steps)

    @property
    def components(self) -> list[str]:
        """Who took part, in the order in which a Pod meets them."""
        order = ("kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler")
        ranks = {name: rank for rank, name in enumerate((*order, "kubelet", "containerd", "kube-proxy"))}
        found = {step.component for step in self}
        return sorted(found, key=lambda name: (name.rpartition("/")[0], ranks[name.rpartition("/")[2]]))

    def rows(self) -> list[dict[str, Any]]:
        """The steps as plain data: times in seconds after the first step, ``cause`` as the number of a step."""
        number = {step: index for index, step in enumerate(self)}
        return [
            {
                "after": round(step.start - self[0].start, 6),
                "took": None if step.end is None else round(step.end - step.start, 6),
                "component": step.component,
                "verb": step.verb,
                "object": step.object,
                "by": step.by,
                "detail": step.detail,
                "cause": number.get(step.cause) if step.cause else None,
                "source": step.source,
            }
            for step in self
        ]

    @property
    def table(self) -> "DataFrame":
        """The steps as a table of pandas; ``after`` and ``took`` are seconds."""
        from pandas import DataFrame

        return DataFrame(self.rows()).astype({"cause": "Int64"}) if self._steps else DataFrame()

    def __str__(self) -> str:
        lines = [f"{self.subject}: {self.outcome}"]
        lines += [
            f"{number:3} {1000 * row['after']:8.0f} ms  {row['component']:23} {row['verb']:12} {row['object']}"
            + (f": {row['detail']}" if row["detail"] else "")
            for number, row in enumerate(self.rows())
        ]
        lines += [f"Not told: {source}: {why}" for source, why in self.missing.items()]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Trace of {self.subject}: {len(self)} steps>"

    @property
    def svg(self) -> str:
        """The trace as a picture: a lane for each component, time running down, an arrow from each cause."""
        from podium.trace import picture

        return picture.svg(self)

    @property
    def html(self) -> str:
        """The picture, how it ended, and what could not be told."""
        from podium.trace import picture

        return picture.html(self)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """What a notebook shows. Whoever renders it takes the richest form that it can."""
        return {"text/plain": str(self), "image/svg+xml": self.svg, "text/html": self.html}
