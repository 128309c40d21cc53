"""Charts drawn by the server, as SVG without a script: bars over time, each with its numbers in words.

The shapes are for the eye only (`aria-hidden`): the table that a template sets beside them has the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

WIDTH, HEIGHT = 720, 120
_GAP = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One step of time: its label, and how much of each series fell into it (the lowest series first)."""

    label: str
    amounts: tuple[int, ...]


def columns(steps: Sequence[Column], classes: Sequence[str], names: Sequence[str]) -> Markup:
    """Stacked columns. `classes` colour the series by the stylesheet; `names` are theirs in the hover text."""
    highest = max((sum(step.amounts) for step in steps), default=0) or 1
    width = WIDTH / max(len(steps), 1)
    drawn = Markup("").join(_column(i, step, width, highest, classes, names) for i, step in enumerate(steps))
    return Markup(
        '<svg class="chart" viewBox="0 0 {w} {h}" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<line class="chart-base" x1="0" x2="{w}" y1="{h}" y2="{h}"/>{drawn}</svg>'
    ).format(w=WIDTH, h=HEIGHT, drawn=drawn)


def _column(
    index: int, step: Column, width: float, highest: int, classes: Sequence[str], names: Sequence[str]
) -> Markup:
    told = ", ".join(f"{amount:,} {name}" for amount, name in zip(step.amounts, names, strict=True))
    bars, top = Markup(""), float(HEIGHT)
    for amount, css in zip(step.amounts, classes, strict=True):
        height = max(amount / highest * (HEIGHT - 4), 1.5 if amount else 0)  # what happened once is still seen
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
