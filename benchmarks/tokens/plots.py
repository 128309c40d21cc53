"""Plots of the results, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from math import floor, log10
from pathlib import Path
from statistics import median
from textwrap import wrap
from typing import Final

from benchmarks.tokens.load import Round
from benchmarks.tokens.scenario import Report

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 50, 60
COLOURS: Final = ("#3355aa", "#c2502e", "#2e8b57", "#8a6d1d", "#7a4fa3")
PARTS: Final = ("event loop", "database and sealing", "signing processes", "PostgreSQL")


def write_plots(report: Report, folder: Path) -> None:
    """Write throughput and latency by connections, the processor time of a token by part, and its cost at scale."""
    steps = {int(number): rounds[0] for number, rounds in report.steps.rounds.items()}
    names = [str(each) for each in steps]
    _write(
        folder / "throughput.svg",
        lines("Tokens a second by connections", names, {"SQLite, no proof": [one.rate for one in steps.values()]}),
    )
    of_parts = {f"p{each}": [getattr(one, f"p{each}") for one in steps.values()] for each in (50, 90, 99)}
    _write(folder / "latency.svg", lines("Milliseconds to a token by connections", names, of_parts))
    costs = {name: rounds for name, rounds in report.results.rounds.items() if not name.startswith("oidc-provider")}
    parts = {name: _microseconds(rounds) for name, rounds in costs.items() if "connection" not in name}
    _write(folder / "parts.svg", stacks("Processor time of a token, µs", list(parts), PARTS, list(parts.values())))
    size = report.size
    at_scale = {
        "1 agent": "no proof",
        f"{size.agents:,} agents": "many agents",
        f"{size.clients:,} clients, {size.events:,} events": "many clients and events",
    }
    ratios = [[median(one.ratio for one in costs[name])] for name in at_scale.values()]
    _write(folder / "scale.svg", stacks("Processor time of a token, signatures", list(at_scale), ("token",), ratios))


def lines(title: str, names: Sequence[str], series: Mapping[str, Sequence[float]]) -> str:
    """Draw one line for each series over the same names."""
    top = _round_up(max(max(values) for values in series.values()))
    step = (WIDTH - LEFT - RIGHT) / max(1, len(names) - 1)
    marks = [_axis(top)]
    marks += [_text(LEFT + step * at, HEIGHT - BOTTOM + 20, name, "middle") for at, name in enumerate(names)]
    for (name, values), colour in zip(series.items(), COLOURS, strict=False):
        points = [(LEFT + step * at, _height(value, top)) for at, value in enumerate(values)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        marks.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        marks += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
        marks.append(_text(points[-1][0] + 10, points[-1][1] + 4, name, "start", colour))
    return _picture(title, marks)


def stacks(title: str, names: Sequence[str], parts: Sequence[str], values: Sequence[Sequence[float]]) -> str:
    """Draw one bar for each name, of parts on top of one another."""
    top = _round_up(max(map(sum, values)))
    step = (WIDTH - LEFT - RIGHT) / len(names)
    marks = [_axis(top)]
    for at, (name, of_name) in enumerate(zip(names, values, strict=True)):
        x, below = LEFT + step * at + step * 0.15, 0.0
        for value, colour in zip(of_name, COLOURS, strict=False):
            y, until = _height(below + value, top), _height(below, top)
            marks.append(_box(x, y, step * 0.7, until - y, colour))
            below += value
        marks.append(_text(x + step * 0.35, _height(below, top) - 6, _number(below), "middle"))
        marks += _words(x + step * 0.35, name)
    if len(parts) > 1:
        for at, (part, colour) in enumerate(zip(parts, COLOURS, strict=False)):
            y = TOP + 20 * at
            marks.append(_box(WIDTH - RIGHT + 10, y, 12, 12, colour))
            marks.append(_text(WIDTH - RIGHT + 28, y + 11, part, "start"))
    return _picture(title, marks)


def _microseconds(rounds: Sequence[Round]) -> list[float]:
    """The parts of a token, as in `PARTS`."""
    named = ("loop", "threads", "signers", "database")
    return [1e6 * median(getattr(one.spent, each) / one.tokens for one in rounds) for each in named]


def _axis(top: float) -> str:
    marks = []
    for at in range(5):
        value = top * at / 4
        y = _height(value, top)
        marks.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
        marks.append(_text(LEFT - 8, y + 4, _number(value), "end"))
    return "".join(marks)


def _words(x: float, name: str) -> list[str]:
    """The name below a bar, on several lines."""
    lowest = HEIGHT - BOTTOM + 16
    return [_text(x, lowest + 13 * at, part, "middle", size=10) for at, part in enumerate(wrap(name, 11))]


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}"/>'


def _height(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top


def _round_up(value: float) -> float:
    """Round up to a value with four round quarters, for the lines of the axis."""
    unit = 10.0 ** floor(log10(value))
    return next(unit * each for each in (1, 2, 4, 6, 8, 10) if unit * each >= value)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#333", size: int = 12) -> str:
    at = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {at} fill="{colour}" font-size="{size}">{escape(text)}</text>'


def _picture(title: str, marks: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
    ground = f'<title>{escape(title)}</title><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    return "\n".join((head, ground, _text(LEFT, 26, title, "start", size=16), *marks, "</svg>\n"))


def _write(file: Path, text: str) -> None:
    file.write_text(text, "utf-8")
