"""Bar charts over time, drawn by the server as SVG without a script.

Hovering over a bar shows the bar's numbers. The chart also shows its highest number, and the start of its
first and last time step. Screen readers skip the chart (`aria-hidden`), because a table beside the chart
has the same numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from authsec_server.audit.counts import Point

WIDTH, HEIGHT = 720, 120
TOKENS: Mapping[str, str] = {"issued": "chart-good", "refused": "chart-bad"}
_GAP, _TOP = 2, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One time step of a chart: its label, and one amount for each series, from the bottom up."""

    label: str
    amounts: tuple[int, ...]


def tokens(points: Sequence[Point], shown: Sequence[str] = tuple(TOKENS)) -> Markup:
    """Draw the tokens over time. `shown` selects the series: issued, refused or both."""
    steps = [
        Column(label=f"{point.at:%d %b %H:%M} UTC", amounts=tuple(getattr(point, name) for name in shown))
        for point in points
    ]
    return columns(steps, [TOKENS[name] for name in shown], shown)


def any_in(points: Sequence[Point], shown: Sequence[str] = tuple(TOKENS)) -> bool:
    """Whether any of the shown series has an amount above zero."""
    return any(getattr(point, name) for point in points for name in shown)


def columns(steps: Sequence[Column], classes: Sequence[str], names: Sequence[str]) -> Markup:
    """Draw stacked columns.

    `classes` are the CSS classes of the series. `names` are the names of the series in the hover text.
    """
    highest = max((sum(step.amounts) for step in steps), default=0) or 1
    width = WIDTH / max(len(steps), 1)
    drawn = Markup("").join(_column(i, step, width, highest, classes, names) for i, step in enumerate(steps))
    return Markup(
        '<div class="chart-frame" aria-hidden="true"><p class="chart-top">{top}</p>'
        '<svg class="chart" viewBox="0 0 {w} {h}" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<line class="chart-scale" x1="0" x2="{w}" y1="{scale}" y2="{scale}"/>'
        '<line class="chart-base" x1="0" x2="{w}" y1="{h}" y2="{h}"/>{drawn}</svg>'
        '<p class="chart-times"><span>{first}</span><span>{last}</span></p></div>'
    ).format(
        w=WIDTH,
        h=HEIGHT,
        scale=_TOP,
        drawn=drawn,
        top=f"{highest:,}",
        first=steps[0].label if steps else "",
        last=steps[-1].label if steps else "",
    )


def _column(
    index: int, step: Column, width: float, highest: int, classes: Sequence[str], names: Sequence[str]
) -> Markup:
    told = ", ".join(f"{amount:,} {name}" for amount, name in zip(step.amounts, names, strict=True))
    bars, top = Markup(""), float(HEIGHT)
    for amount, css in zip(step.amounts, classes, strict=True):
        height = max(amount / highest * (HEIGHT - _TOP), 1.5 if amount else 0)  # keeps a small amount visible
        top -= height
        bars += Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
            css, index * width + _GAP / 2, top, max(width - _GAP, 1), height
        )
    hover = Markup('<rect class="chart-hover" x="{:.1f}" y="0" width="{:.1f}" height="{}"/>').format(
        index * width, width, HEIGHT
    )
    return Markup("<g><title>{}: {}</title>{}{}</g>").format(step.label, told, hover, bars)


def bar(share: float) -> Markup:
    """Draw a horizontal bar that is filled to `share` (0 to 1)."""
    return Markup(
        '<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="bar-fill" width="{:.1f}" height="6" rx="0"/></svg>'
    ).format(max(0.0, min(share, 1.0)) * 100)
