"""The course's start page: where you are, what runs, and what next."""

import os
from html import escape
from pathlib import Path
from urllib.parse import quote

from podium.cluster import DEFAULT_NAME, Cluster
from podium.jupyter import START_PAGE
from podium.jupyter.progress import Notebook, lab, lesson

_CSS = """
.podium-start table { border-collapse: collapse; margin: 0 0 1em; }
.podium-start td { padding: 3px 16px 3px 0; text-align: left !important; vertical-align: middle; white-space: nowrap; }
.podium-start progress { width: 110px; vertical-align: middle; accent-color: var(--jp-brand-color1, #1976d2); }
.podium-start h2 { margin: 0.8em 0 0.3em; font-size: 1.4em; }
.podium-start .podium-next { padding: 8px 14px; border-left: 4px solid var(--jp-brand-color1, #1976d2);
  background: var(--jp-layout-color2, #eee); }
.podium-start .podium-next ul { margin: 0; padding-left: 1.2em; }
"""


class StartPage:
    """What it shows is read when it is made: run the cell again to bring it up to date.

    Args:
        course: The folder of the lessons; the one where the notebook lies, unless given. The labs are beside it.
    """

    def __init__(self, course: Path | None = None) -> None:
        self._course = (course or Path()).absolute()
        found = sorted(self._course.glob("[0-9][0-9]-*.ipynb"))
        self.lessons = [lesson(path) for path in found if path.name != START_PAGE]
        self.labs = [lab(path) for path in _labs(self._course.parent / "labs")]
        self.cluster = _cluster()

    @property
    def next(self) -> list[tuple[str, Notebook]]:
        """What to do next: the first lesson and the first lab that are not finished, each with what to do there."""
        found = []
        for what, notebooks in ("lesson", self.lessons), ("lab", self.labs):
            if one := next((each for each in notebooks if each.done < each.of), None):
                found.append((f"{'Go on with' if one.done else 'Begin'} the {what}", one))
        return found

    def __repr__(self) -> str:
        lines = [self.cluster, *(f"{what}: {one.title}" for what, one in self.next)]
        for unit, notebooks in ("cells", self.lessons), ("points", self.labs):
            lines += [f"{one.title}: {one.done} of {one.of} {unit}" for one in notebooks]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        steps = [f"<li>{what} {self._link(one)}</li>" for what, one in self.next]
        todo = (
            f"<ul>{''.join(steps)}</ul>" if steps else "<p>You have done it all. Which lesson surprised you most?</p>"
        )
        parts = [
            f"<h2>What runs</h2><p>{escape(self.cluster)}</p>",
            f'<h2>What next</h2><div class="podium-next">{todo}</div>',
            f"<h2>Lessons</h2>{self._table(self.lessons, 'cells run')}",
        ]
        if self.labs:
            parts.append(f"<h2>Labs</h2>{self._table(self.labs, 'points in your checks')}")
        return f'<div class="podium-start"><style>{_CSS}</style>{"".join(parts)}</div>'

    def _table(self, notebooks: list[Notebook], unit: str) -> str:
        rows = []
        for one in notebooks:
            words = f"{one.done} of {one.of} {unit}" if one.done else "not begun"
            words += ", one of them with an error" if one.failed else ", done ✓" if one.done == one.of else ""
            bar = f'<progress max="{one.of}" value="{one.done}" aria-label="{escape(one.title)}"></progress>'
            rows.append(f"<tr><td>{self._link(one)}</td><td>{bar}</td><td>{words}</td></tr>")
        return f"<table>{''.join(rows)}</table>"

    def _link(self, one: Notebook) -> str:
        address = quote(os.path.relpath(one.path, self._course))
        return f'<a href="{address}">{escape(one.title)}</a>'


def start_page() -> StartPage:
    """The course's start page, for a notebook that lies beside the lessons."""
    return StartPage()


def _labs(folder: Path) -> list[Path]:
    """Where the learner's labs are: as handed out; in a course that has not been handed out, as they are."""
    places = (folder, folder / "release", folder / "source")
    found = (sorted(place.glob("[0-9][0-9]-*/[0-9][0-9]-*.ipynb")) for place in places)
    return next(filter(None, found), [])


def _cluster() -> str:
    """One sentence on the cluster."""
    cluster = Cluster(os.environ.get("PODIUM_CLUSTER") or DEFAULT_NAME)
    if cluster.is_starting():
        return "Your cluster is starting. At the bottom left you see how far it is."
    if not cluster.is_running():
        return "Your cluster is off. Start it at the bottom left, or let a lesson do it."
    nodes = cluster.nodes()
    sentence = f"Your cluster runs, with {len(nodes)} node{'s' if len(nodes) > 1 else ''}: {', '.join(nodes)}."
    down = [each["name"] for each in cluster.status()["components"] if each["state"] != "running"]
    return f"{sentence} Not running: {', '.join(down)}." if down else f"{sentence} All its components are well."
