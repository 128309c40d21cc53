"""Bar charts over time, drawn by the server as SVG without a script.

Hovering over a bar shows the bar's numbers. Screen readers skip the chart (`aria-hidden`), because a table beside the
chart has the same numbers. All times are in UTC, and the axis says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import Markup

from authsec_server.audit.counts import Point

WIDTH, HEIGHT = 720, 120
TOKENS: Mapping[str, str] = {"issued": "chart-good", "refused": "chart-bad"}
_GAP, _TOP = 2, 6
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_MOST_TICKS = 8
_DATE_ROOM, _HOUR_ROOM = 0.08, 0.04  # half of a label, as a share of a chart that is 300 pixels wide
_STEPS = (*(_HOUR * hours for hours in (1, 3, 6, 12)), *(_DAY * days for days in (1, 2, 7, 14, 30, 90, 365)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A tick of the axis of times: its place, from 0 to 1, and its label.

    A label too near the end of the axis is empty. A narrow chart leaves out the labels of `is_minor` ticks.
    """

    place: float
    label: str
    is_minor: bool


def any_in(points: Sequence[Point], shown: Sequence[str] = tuple(TOKENS)) -> bool:
    """Whether any of the shown series has an amount above zero."""
    return any(getattr(point, name) for point in points for name in shown)


def tokens(points: Sequence[Point], shown: Sequence[str] = tuple(TOKENS)) -> Markup:
    """Draw the tokens over time as stacked columns. `shown` selects the series: issued, refused or both."""
    top = scale(max(sum(getattr(point, name) for name in shown) for point in points))
    width = WIDTH / len(points)
    drawn = Markup("").join(_column(i, point, width, top, shown) for i, point in enumerate(points))
    axis = list(ticks(points))
    days = "" if any(":" in tick.label for tick in axis) else " chart-days"
    return Markup(
        '<div class="chart-frame" aria-hidden="true">'
        '<p class="chart-scale"><span>{top:,}</span><span>{half:,}</span><span>0</span></p>'
        '<svg class="chart" viewBox="0 0 {w} {h}" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<line class="chart-line" x1="0" x2="{w}" y1="{y_top}" y2="{y_top}"/>'
        '<line class="chart-line" x1="0" x2="{w}" y1="{y_half}" y2="{y_half}"/>'
        '<line class="chart-base" x1="0" x2="{w}" y1="{h}" y2="{h}"/>{drawn}</svg>'
        '<p class="chart-zone">UTC</p>'
        '<svg class="chart-times{days}" aria-hidden="true" focusable="false">{axis}</svg></div>'
    ).format(
        w=WIDTH,
        h=HEIGHT,
        y_top=_TOP,
        y_half=(HEIGHT + _TOP) // 2,
        drawn=drawn,
        axis=Markup("").join(map(_tick, axis)),
        days=days,
        top=top,
        half=top // 2,
    )


def scale(highest: int) -> int:
    """Return the highest number of the axis: an even number with at most two digits other than zero.

    So the half of the number is whole, too.
    """
    unit: int = 2 * 10 ** max(len(str(highest)) - 2, 0)
    return max(-(-highest // unit), 1) * unit


def ticks(points: Sequence[Point]) -> Iterator[Tick]:
    """Yield the ticks of the axis of times. The label is the date at midnight, else the hour."""
    start = points[0].at
    span = (points[-1].at - start) * len(points) / max(len(points) - 1, 1) or _HOUR
    step = next((step for step in _STEPS if span <= step * _MOST_TICKS), _STEPS[-1])
    midnight = datetime(start.year, start.month, start.day, tzinfo=start.tzinfo)
    at = midnight + -(-(start - midnight) // step) * step
    while at < start + span:
        place, room = (at - start) / span, _HOUR_ROOM if at.hour else _DATE_ROOM
        label = f"{at:%H:%M}" if at.hour else f"{at:%Y-%m-%d}"
        is_minor = (at - midnight) // step % 2 == 1
        yield Tick(place=place, label=label if room <= place <= 1 - room else "", is_minor=is_minor)
        at += step


def _tick(tick: Tick) -> Markup:
    place = f"{tick.place * 100:.2f}%"
    drawn = Markup('<line class="chart-tick" x1="{}" x2="{}" y1="-6" y2="-1"/>').format(place, place)
    if not tick.label:
        return drawn
    css = Markup(' class="chart-minor"') if tick.is_minor else ""
    return drawn + Markup('<text{} x="{}" y="13">{}</text>').format(css, place, tick.label)


def _column(index: int, point: Point, width: float, top: int, shown: Sequence[str]) -> Markup:
    told = ", ".join(f"{getattr(point, name):,} {name}" for name in shown)
    bars, y = Markup(""), float(HEIGHT)
    for name in shown:
        amount = getattr(point, name)
        height = max(amount / top * (HEIGHT - _TOP), 1.5 if amount else 0)  # keeps a small amount visible
        y -= height
        bars += _BAR % (TOKENS[name], index * width + _GAP / 2, y, max(width - _GAP, 1), height)
    hover = _HOVER % (index * width, width, HEIGHT)
    return _COLUMN % (f"{point.at:%Y-%m-%d %H:%M}", told, hover, bars)


# The operator % of Markup escapes as `format` does, in a fifth of the time.
_BAR = Markup('<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>')
_HOVER = Markup('<rect class="chart-hover" x="%.1f" y="0" width="%.1f" height="%d"/>')
_COLUMN = Markup("<g><title>%s UTC: %s</title>%s%s</g>")


def bar(share: float) -> Markup:
    """Draw a horizontal bar that is filled to `share` (0 to 1)."""
    return Markup(
        '<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="bar-fill" width="{:.1f}" height="6" rx="0"/></svg>'
    ).format(max(0.0, min(share, 1.0)) * 100)
