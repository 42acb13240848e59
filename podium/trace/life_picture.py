"""The life of a Pod as a picture, SVG without scripts: its states with the present ones lit, over a time line."""

from collections.abc import Callable
from html import escape
from itertools import groupby

from podium.trace.life import Life, Span, Track

_WIDTH, _LEFT, _RIGHT, _ROW, _LETTER = 960, 196, 944, 24, 6.3
_PLOT = _RIGHT - _LEFT
Place = Callable[[float], float]  # of a time in the picture
# Okabe and Ito's colours, and with each a height or a pattern of its own: never a colour alone.
_LOOKS = {
    "Pending": ("#e69f00", 8, "hatch"),
    "Running": ("#0072b2", 14, ""),
    "Succeeded": ("#009e73", 14, ""),
    "Failed": ("#d55e00", 14, "cross"),
    "Unknown": ("#888", 6, "hatch"),
    "terminating": ("#cc79a7", 10, "cross"),
    "True": ("#009e73", 14, ""),
    "False": ("#d55e00", 4, ""),
    "waiting": ("#e69f00", 8, "hatch"),
    "running, not ready": ("#56b4e9", 14, ""),
    "running, ready": ("#0072b2", 14, ""),
    "completed": ("#009e73", 6, ""),
    "failed": ("#d55e00", 6, "cross"),
    "running": ("#cc79a7", 12, ""),
}
_DARK = {"Running", "running, ready", "True", "Failed", "Succeeded"}  # white can be read on them
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400)


def svg(life: Life, now: float) -> str:
    """The picture as it is at a time.

    Args:
        life: The life.
        now: The right end of the time line, in seconds since 1970.
    """
    if life.pod is None:
        return _frame(life, 60, [_text(20, 34, f"There is no Pod “{life.name}” yet.")])
    parts, top = _diagram(life)
    drawn, bottom = _timeline(life, life.gone or now, top)
    return _frame(life, bottom, [*parts, *drawn])


def _frame(life: Life, height: float, parts: list[str]) -> str:
    name = str(life).partition("\n")[0]
    mine = f"podium-{id(life):x}-"  # a page may hold several pictures, and the names in them are the page's

    def lines(pattern: str, path: str) -> str:
        return (
            f'<pattern id="{mine}{pattern}" width="6" height="6" patternUnits="userSpaceOnUse"><path d="{path}" '
            'stroke="var(--jp-layout-color0, #fff)" stroke-width="1.6" stroke-opacity=".75"/></pattern>'
        )

    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:g}" role="group" '
        f'aria-label="{escape(name, quote=True)}" style="width:100%;max-width:{_WIDTH}px" font-size="11.5" '
        'font-family="system-ui, DejaVu Sans, sans-serif" fill="currentColor"><defs>'
        f"{lines('hatch', 'M-1 7L7-1')}{lines('cross', 'M-1 7L7-1M-1-1L7 7')}"
        f'<marker id="{mine}to" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8Z" fill="currentColor" fill-opacity=".6"/></marker></defs>'
        f"{''.join(parts).replace('url(#@', f'url(#{mine}')}</svg>"
    )


def _text(x: float, y: float, words: str, room: float = 1e9, attributes: str = "") -> str:
    most = int(room / _LETTER)
    words = words if len(words) <= most else f"{words[: max(most - 1, 0)]}…"
    return f'<text x="{x:g}" y="{y:g}" {attributes}>{escape(words)}</text>'


# -- the states


def _box(x: float, y: float, width: float, name: str, state: str, look: str, below: str = "") -> str:
    """A state: lit where it is the present one, outlined where it has been, dashed where not."""
    colour = _LOOKS[look][0] if look in _LOOKS else "#777"
    if state == "now":
        ink = "#fff" if look in _DARK or look not in _LOOKS else "#000"
        shape = f'fill="{colour}" stroke="currentColor" stroke-width="2"'
        words = _text(
            x + width / 2, y + 17, f"● {name}", width, f'text-anchor="middle" font-weight="bold" fill="{ink}"'
        )
    else:
        dash = "" if state == "been" else ' stroke-dasharray="3 4" stroke-opacity=".7"'
        shape = f'fill="none" stroke="{"currentColor" if state == "been" else "#888"}"{dash}'
        words = _text(x + width / 2, y + 17, name, width, 'text-anchor="middle"')
    said = {"now": "it is so now", "been": "it was so", "not": "it was never so"}[state]
    return (
        f'<g data-state="{state}" data-name="{escape(name)}"><title>{escape(name)}: {said}</title>'
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="26" rx="6" {shape}/>{words}</g>'
        + _text(x + width / 2, y + 39, below, 1e9, 'text-anchor="middle" font-size="10" opacity=".8"')
    )


def _arrow(path: str, been: bool) -> str:
    dash = "" if been else ' stroke-dasharray="3 4"'
    return (
        f'<path d="{path}" fill="none" stroke="currentColor" stroke-opacity="{0.8 if been else 0.35}"{dash} '
        'marker-end="url(#@to)"/>'
    )


def _diagram(life: Life) -> tuple[list[str], float]:
    phase = life.track("Pod", "phase")
    begun = {span.value: f"{span.start - life.began:.1f} s" for span in reversed(phase.spans)}
    if life.gone:
        begun["gone"] = f"{life.gone - life.began:.1f} s"

    def box(x: float, y: float, name: str) -> str:
        state = "now" if life.phase == name else "been" if name in begun else "not"
        return _box(x, y, 118, name, state, name, begun.get(name, ""))

    ended = [name for name in ("Succeeded", "Failed") if name in begun]
    parts = [
        _text(8, 40, "Phase", attributes='font-weight="bold"'),
        _arrow("M314 35H366", "Running" in begun),
        _arrow("M484 35C520 35 500 19 548 19", "Succeeded" in begun),
        _arrow("M484 35C520 35 500 65 548 65", "Failed" in begun),
        _arrow(
            "M668 19C710 19 690 35 738 35" if "Failed" not in begun else "M668 65C710 65 690 35 738 35",
            bool(life.gone and ended),
        ),
        *([_arrow("M486 38C510 42 520 42 560 42H690C720 42 720 36 738 36", True)] if life.gone and not ended else []),
        box(_LEFT, 22, "Pending"),
        box(368, 22, "Running"),
        box(550, 6, "Succeeded"),
        box(550, 52, "Failed"),
        box(740, 22, "gone"),
    ]
    top = 112.0
    tracks = [track for track in life.tracks if track.group == "Conditions"]
    parts.append(_text(8, top + 17, "Conditions", attributes='font-weight="bold"'))
    x: float = _LEFT
    for track in tracks:
        now, width = track.now, 34 + 5.9 * len(track.name)
        if x + width > _RIGHT:
            x, top = _LEFT, top + 32
        parts.append(_condition(track.name, now, x, top, width))
        x += width + 8
    top += 46
    for track in (track for track in life.tracks if track.group == "Containers"):
        parts += _container(track, top)
        top += 54
    return parts, top


def _condition(name: str, now: str, x: float, y: float, width: float) -> str:
    sign = {"True": "✓", "False": "✗", "": "·"}.get(now, "?")
    shape, ink = 'fill="none" stroke="#888" stroke-dasharray="3 4"', ""
    if now == "True":
        shape, ink = f'fill="{_LOOKS[now][0]}" stroke="currentColor" stroke-width="2"', 'font-weight="bold" fill="#fff"'
    words = _text(x + width / 2, y + 17, f"{sign} {name}", attributes=f'text-anchor="middle" font-size="10" {ink}')
    return (
        f'<g data-state="{"now" if now == "True" else "not"}" data-name="{escape(name, quote=True)}">'
        f"<title>{escape(name)}: {now or 'not told yet'}</title>"
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="26" rx="13" {shape}/>{words}</g>'
    )


def _container(track: Track, top: float) -> list[str]:
    now, been = track.now, [span.value.partition(",")[0] for span in track.spans]
    restarts = sum(not mark.ok for mark in track.marks)
    over = [value for value in been if value in ("completed", "failed")]
    current = now.partition(",")[0]

    def box(x: float, name: str, values: tuple[str, ...]) -> str:
        state = "now" if current in values else "been" if set(values) & set(been) else "not"
        return _box(x, top, 118, name, state, now if state == "now" else values[0])

    last = track.spans[-1] if track.spans else None
    said = f"{last.value}: {last.detail}" if last and last.detail else last.value if last else "not yet told"
    ended = bool(over) or restarts > 0
    parts = [
        _text(8, top + 14, track.name, _LEFT - 16, 'font-weight="bold"'),
        _text(8, top + 28, f"{track.note} container".strip(), attributes='font-size="10" opacity=".8"'),
        _arrow(f"M314 {top + 13:g}H366", "running" in been),
        _arrow(f"M486 {top + 13:g}H548", ended),
        _arrow(f"M609 {top + 28:g}V{top + 41:g}H255V{top + 30:g}", restarts > 0),
        _text(
            420,
            top + 37.5,
            f"started again: {restarts}" if restarts else "",
            attributes='text-anchor="middle" font-size="10"',
        ),
        box(_LEFT, "waiting", ("waiting",)),
        box(368, "running", ("running",)),
        box(550, "terminated", ("completed", "failed")),
        _text(684, top + 17, said, _RIGHT - 684),
    ]
    return parts


# -- the time line


def _timeline(life: Life, now: float, top: float) -> tuple[list[str], float]:
    length = max(now - life.began, 1.0)
    scale = _PLOT / length

    def place(moment: float) -> float:
        return _LEFT + max(0.0, min(moment - life.began, length)) * scale

    parts: list[str] = []
    y = top + 26
    for group, tracks in groupby((t for t in life.tracks if t.name != "deletion" or t.spans), lambda t: t.group):
        parts.append(_text(8, y + 12, group, attributes='font-weight="bold"'))
        y += 18
        for track in tracks:
            said = f"{track.name} ({track.note})" if track.note and group != "Hooks" else track.name
            parts += [
                f'<path d="M{_LEFT} {y + 9:g}H{_RIGHT}" stroke="currentColor" stroke-opacity=".12"/>',
                _text(_LEFT - 8, y + 13, said, _LEFT - 10, 'text-anchor="end"'),
            ]
            if not track.spans and not track.marks:
                empty = track.note if group == "Hooks" else ""
                parts.append(_text(_LEFT + 4, y + 13, empty, attributes='font-style="italic" opacity=".8"'))
            parts += [_span(life, track, span, place, now, y) for span in track.spans]
            parts += [_mark(life, track, index, place, y) for index in range(len(track.marks))]
            y += _ROW
        y += 6
    return [*_axis(length, scale, top + 8, y), *parts], y + 4


def _axis(length: float, scale: float, top: float, bottom: float) -> list[str]:
    step = next((each for each in _STEPS if each * scale >= 64), _STEPS[-1])
    parts = []
    for index in range(int(length / step) + 1):
        x = _LEFT + index * step * scale
        parts += [
            f'<path d="M{x:g} {top + 10:g}V{bottom:g}" stroke="currentColor" stroke-opacity=".15"/>',
            _text(x, top + 4, f"{index * step:g} s", attributes='text-anchor="middle" font-size="10" opacity=".8"'),
        ]
    return parts


def _told(life: Life, start: float, end: float | None) -> str:
    until = "until now" if end is None and not life.gone else f"for {(end or life.gone or start) - start:.1f} s"
    return f"from {start - life.began:.2f} s, {until}"


def _span(life: Life, track: Track, span: Span, place: Place, now: float, y: float) -> str:
    x1, x2 = place(span.start), place(now if span.end is None else span.end)
    colour, height, pattern = _LOOKS.get(span.value, ("#777", 6, "hatch"))
    width = max(x2 - x1, 2)
    said = f"{track.name}: {span.value}, {_told(life, span.start, span.end)}"
    said += f". {span.detail}" if span.detail else ""
    shape = f'x="{x1:.1f}" y="{y + 9 - height / 2:g}" width="{width:.1f}" height="{height}" rx="2"'
    low = height < 14
    words = f"{span.value}: {span.detail}" if low and span.detail else span.value
    words = words if width >= _LETTER * len(words) + 8 else span.value
    ink = "currentColor" if low else "#fff" if span.value in _DARK else "#000"
    label = _text(x1 + (2 if low else 5), y + (9 - height / 2 - 2 if low else 13), words,
                  attributes=f'fill="{ink}" font-size="{9.5 if low else 10.5}"')  # fmt: skip
    key = escape(f"{track.group}/{track.name}/{span.start:.3f}", quote=True)
    return (
        f'<g data-key="{key}" role="button" tabindex="-1" aria-label="{escape(said, quote=True)}">'
        f'<title>{escape(said)}</title><rect {shape} fill="{colour}"/>'
        + (f'<rect {shape} fill="url(#@{pattern})"/>' if pattern else "")
        + (label if width >= 5.6 * len(words) + 6 else "")
        + "</g>"
    )


def _mark(life: Life, track: Track, index: int, place: Place, y: float) -> str:
    mark = track.marks[index]
    said = f"{track.name}: {mark.detail} at {mark.time - life.began:.2f} s"
    shape = "M-4 0L-1 4L5-4" if mark.ok else "M-4-4L4 4M4-4L-4 4"
    colour = "#009e73" if mark.ok else "#d55e00"
    key = escape(f"{track.group}/{track.name}/mark/{mark.time:.3f}", quote=True)
    return (
        f'<g data-key="{key}" role="button" tabindex="-1" aria-label="{escape(said, quote=True)}" '
        f'transform="translate({place(mark.time):.1f} {y + 9:g})"><title>{escape(said)}</title>'
        '<circle r="7" fill="var(--jp-layout-color0, #fff)" fill-opacity=".01"/>'
        f'<path d="{shape}" fill="none" stroke="{colour}" stroke-width="2.4"/></g>'
    )
