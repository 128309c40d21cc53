"""Charts drawn by the server, as SVG without a script: bars over time, each with its numbers in words.

Beside the shapes stand the highest number, and when the first and the last step begin. They are for the eye only
(`aria-hidden`): the table that a template sets beside them has the same numbers.
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
    """One step of time: its label, and how much of each series fell into it (the lowest series first)."""

    label: str
    amounts: tuple[int, ...]


def tokens(points: Sequence[Point], shown: Sequence[str] = tuple(TOKENS)) -> Markup:
    """Tokens over time, those `shown`: issued, refused, or both."""
    steps = [
        Column(label=f"{point.at:%d %b %H:%M} UTC", amounts=tuple(getattr(point, name) for name in shown))
        for point in points
    ]
    return columns(steps, [TOKENS[name] for name in shown], shown)


def any_in(points: Sequence[Point], shown: Sequence[str] = tuple(TOKENS)) -> bool:
    """Whether there is anything to show."""
    return any(getattr(point, name) for point in points for name in shown)


def columns(steps: Sequence[Column], classes: Sequence[str], names: Sequence[str]) -> Markup:
    """Stacked columns. `classes` colour the series by the stylesheet; `names` are theirs in the hover text."""
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
        height = max(amount / highest * (HEIGHT - _TOP), 1.5 if amount else 0)  # what happened once is still seen
        top -= height
        bars += Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
            css, index * width + _GAP / 2, top, max(width - _GAP, 1), height
        )
    hover = Markup('<rect class="chart-hover" x="{:.1f}" y="0" width="{:.1f}" height="{}"/>').format(
        index * width, width, HEIGHT
    )
    return Markup("<g><title>{}: {}</title>{}{}</g>").format(step.label, told, hover, bars)


def bar(share: float) -> Markup:
    """A horizontal bar that fills `share` (0 to 1) of its place."""
    return Markup(
        '<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="bar-fill" width="{:.1f}" height="6" rx="0"/></svg>'
    ).format(max(0.0, min(share, 1.0)) * 100)
