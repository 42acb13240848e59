"""A result as a learner sees it: a table in a notebook, lines in a terminal, JSON for a program."""

import html
import re
from dataclasses import dataclass
from typing import Any

from autograder.checks import Result

_STYLE = "text-align: left; vertical-align: top; padding: 2px 8px"


@dataclass(frozen=True)
class Report:
    """A result for showing, without the criteria that only the grader tells.

    Args:
        result: What was found.
        hints: How many of the task's hints to show; none are shown once everything holds.
    """

    result: Result
    hints: int = 0

    @property
    def _shown(self) -> Result:
        return self.result.visible()

    @property
    def title(self) -> str:
        """The task and its points, on one line."""
        shown = self._shown
        more = self.result.of - shown.of
        only = f", and {more} that only the grader tells" if more else ""
        return f"{shown.task.id} {shown.task.title}: {shown.points} of {shown.of} points{only}"

    @property
    def holds(self) -> bool:
        """Whether everything that is shown holds."""
        return self._shown.points == self._shown.of

    @property
    def advice(self) -> list[str]:
        """The hints to show, each with its number."""
        shown = self._shown
        given = () if self.holds else shown.task.hints[: self.hints]
        return [f"Hint {number} of {len(shown.task.hints)}: {hint}" for number, hint in enumerate(given, 1)]

    def as_dict(self) -> dict[str, Any]:
        """The same for a program: the data of ``--json``."""
        shown = self._shown
        return {
            "task": shown.task.id,
            "title": shown.task.title,
            "points": shown.points,
            "of": shown.of,
            "error": shown.error,
            "criteria": [
                outcome.criterion.__dict__ | {"holds": outcome.holds, "found": outcome.found}
                for outcome in shown.outcomes
            ],
            "hints": self.advice,
        }

    def __str__(self) -> str:
        shown = self._shown
        lines = [self.title]
        for outcome in shown.outcomes:
            lines.append(
                f"  {_mark(outcome.holds)} {outcome.points}/{outcome.criterion.points} {outcome.criterion.asked}"
            )
            if not outcome.holds:
                lines += [f"        found: {outcome.found}", f"        look:  {outcome.criterion.look}"]
        return "\n".join(lines + [f"  {line}" for line in (*filter(None, [shown.error]), *self.advice)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        shown = self._shown
        head = ("", "Points", "Asked", "Found", "Where to look")
        rows = [
            (_mark(o.holds), f"{o.points}/{o.criterion.points}", o.criterion.asked, o.found, o.criterion.look)
            for o in shown.outcomes
        ]
        table = _row("th", head) + "".join(_row("td", row) for row in rows)
        notes = "".join(f"<p>{html.escape(line)}</p>" for line in (*filter(None, [shown.error]), *self.advice))
        return f"<p><b>{html.escape(self.title)}</b></p><table>{table}</table>{notes}"


def _row(tag: str, cells: tuple[str, ...]) -> str:
    return "<tr>" + "".join(f'<{tag} style="{_STYLE}">{_unbroken(cell)}</{tag}>' for cell in cells) + "</tr>"


def _unbroken(text: str) -> str:
    """As HTML, in which no line ends within an option of a command."""
    return re.sub(r"(?<!\S)-\S+", r'<span style="white-space: nowrap">\g<0></span>', html.escape(text))


def _mark(holds: bool) -> str:
    return "✓" if holds else "✗"
