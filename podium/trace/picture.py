"""A trace as a picture that stands still: SVG without scripts, for a notebook, a web page and paper."""

from html import escape

from podium.trace.model import Step, Trace

# Colours that the colour-blind can tell apart (Okabe and Ito, https://jfly.uni-koeln.de/color/), and a shape for each.
STYLES = {
    "kube-apiserver": ("#0072b2", "M-5-5H5V5H-5Z"),
    "etcd": ("#009e73", "M0-6L6 0L0 6L-6 0Z"),
    "kube-controller-manager": ("#d55e00", "M-6 5L0-6L6 5Z"),
    "kube-scheduler": ("#cc79a7", "M-6-5L0 6L6-5Z"),
    "kubelet": ("#e69f00", "M0-6A6 6 0 1 1-.01-6Z"),
    "containerd": ("#56b4e9", "M-2-6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z"),
    "kube-proxy": ("#8c8c00", "M-6-2L0-6L6-2L4 5H-4Z"),
}
_ROW, _LANE, _LEFT, _TOP, _LETTER = 20, 118, 78, 44, 6.2


def style(component: str) -> tuple[str, str]:
    """The colour and the shape (an SVG path around the origin) of a component."""
    return STYLES[component.rpartition("/")[2]]


def label(step: Step) -> str:
    """A step in few words."""
    verb, what = step.verb.split(), step.object
    if verb[-1].lower() == what.split(" ")[0].lower():
        verb.pop()
    took = f" ({1000 * (step.end - step.start):.0f} ms)" if step.end and step.end - step.start >= 0.01 else ""
    return " ".join([*verb, what]) + (f": {step.detail}" if step.detail else "") + took


def _short(words: str, room: float) -> str:
    """As much of it as has room, in the picture's units."""
    most = int(room / _LETTER)
    return words if len(words) <= most else f"{words[: most - 1]}…"


def svg(trace: Trace) -> str:
    """The picture: see :attr:`podium.trace.Trace.svg`."""
    lanes = {name: _LEFT + _LANE * (index + 0.5) for index, name in enumerate(trace.components)}
    width = _LEFT + _LANE * max(len(lanes), 3) + 380
    bottom = _TOP + _ROW * len(trace) + 8
    rows = {step: _TOP + _ROW * (index + 0.5) + 4 for index, step in enumerate(trace)}
    arrow = f"podium-arrow-{id(trace):x}"  # a page may hold several pictures, and the names in them are the page's
    parts = []
    for name, x in lanes.items():
        colour, shape = style(name)
        node, _, program = name.rpartition("/")
        parts += [
            f'<path d="{shape}" transform="translate({x} 8)" fill="{colour}"/>',
            f'<text x="{x}" y="26" text-anchor="middle" font-weight="bold">{escape(program)}</text>',
            f'<text x="{x}" y="38" text-anchor="middle" opacity=".75">{escape(node)}</text>',
            f'<path d="M{x} {_TOP}V{bottom}" stroke="{colour}" stroke-opacity=".45"/>',
        ]
    for step, y in rows.items():
        cause = step.cause
        if cause in rows and cause.component != step.component:
            x1, x2, y1 = lanes[cause.component], lanes[step.component], rows[cause]
            # To the right the arrow runs along the effect's row, to the left along the cause's: there is no text.
            bend = f"{x1} {y} {x1} {y} {x2 - 8} {y}" if x2 > x1 else f"{x2} {y1} {x2} {y1} {x2} {y - 7}"
            parts.append(
                f'<path d="M{x1} {y1}C{bend}" fill="none" stroke="currentColor" stroke-opacity=".35" '
                f'marker-end="url(#{arrow})"/>'
            )
    for step, y in rows.items():
        x = lanes[step.component]
        colour, shape = style(step.component)
        halo = 'stroke="var(--jp-layout-color0, #fff)" stroke-width="4" stroke-linejoin="round" paint-order="stroke"'
        after = f"{1000 * (step.start - trace[0].start):.0f} ms"
        parts += [
            f'<text x="{_LEFT - 10}" y="{y + 4}" text-anchor="end">{after}</text>',
            f"<g><title>{escape(f'{step.component}: {label(step)}, from the {step.source}')}</title>"
            f'<path d="{shape}" transform="translate({x} {y})" fill="{colour}"/>'
            f'<text x="{x + 11}" y="{y + 4}" {halo}>{escape(_short(label(step), width - x - 14))}</text></g>',
        ]
    name = escape(f"The trace of {trace.subject}, {len(trace)} steps. {trace.outcome}", quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 6}" role="img" aria-label="{name}" '
        f'style="width:100%;max-width:{width}px" font-family="system-ui, DejaVu Sans, sans-serif" font-size="11" '
        f'fill="currentColor"><defs><marker id="{arrow}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8Z" fill="currentColor" fill-opacity=".5"/></marker></defs>'
        f"{''.join(parts)}</svg>"
    )


def html(trace: Trace) -> str:
    """The picture with its title, and what could not be told: see :attr:`podium.trace.Trace.html`."""
    missing = "".join(f"<li>{escape(source)}: {escape(why)}</li>" for source, why in trace.missing.items())
    missing = f"<p>Not told, and therefore not in the picture:</p><ul>{missing}</ul>" if missing else ""
    return (
        f"<figure style='margin:0'><figcaption><strong>{escape(trace.subject)}</strong>, {len(trace)} steps. "
        f"{escape(trace.outcome)}</figcaption>{svg(trace)}</figure>{missing}"
    )
