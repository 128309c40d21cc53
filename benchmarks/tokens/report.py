"""The results as a table, as Markdown and as JSON."""

from __future__ import annotations

import os
import platform
import sqlite3
from dataclasses import asdict
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from benchmarks.tokens.scenario import Report

COLUMNS: Final = ("measure", "reference", "measured", "lowest to highest", "must reach", "aim", "")


def print_table(report: Report) -> None:
    """Print the values with their marks, the rates, and the machine."""
    console = Console(width=max(160, Console().width))
    table = Table(*COLUMNS)
    for row in _rows(report):
        table.add_row(*row)
    console.print(table)
    for line in _rates(report):
        console.print(line, highlight=False)


def as_markdown(report: Report) -> str:
    """Return what `print_table` prints, as Markdown."""
    rows = [COLUMNS, ("---", "---", "---:", "---:", "---:", "---:", "---"), *_rows(report)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{table}\n\n" + "\n".join(f"- {line.strip()}" for line in _rates(report))


def _rows(report: Report) -> list[tuple[str, ...]]:
    return [
        (
            each.name,
            each.reference,
            _number(each.median, each.unit),
            f"{_number(each.low)} to {_number(each.high)}",
            "" if each.must is None else f"{'at most' if each.better == 'lower' else 'at least'} {_number(each.must)}",
            "" if each.aim is None else _number(each.aim),
            {True: "met", False: "not met", None: ""}[each.is_met],
        )
        for each in report.values
    ]


def _rates(report: Report) -> list[str]:
    rates = {name: median(one.rate for one in rounds) for name, rounds in report.results.rounds.items()}
    return [
        *(f"{rate:8,.0f} tokens a second: {name}" for name, rate in rates.items()),
        f"{report.signature:8,.0f} µs for a signature ({', '.join(machine().values())})",
    ]


def as_json(report: Report) -> dict[str, Any]:
    """Return the values and each round."""
    return {
        "machine": machine(),
        "size": asdict(report.size),
        "signature_microseconds": report.signature,
        "values": [{**asdict(each), "is_met": each.is_met} for each in report.values],
        "rounds": {
            name: [_round(one) for one in rounds]
            for results in (report.results.rounds, {f"connections: {n}": r for n, r in report.steps.rounds.items()})
            for name, rounds in results.items()
        },
        "changes_milliseconds": report.results.changes,
    }


def machine() -> dict[str, str]:
    """Return the cores, the versions and the system of this machine."""
    return {
        "cores": f"{os.cpu_count()} cores",
        "python": f"Python {platform.python_version()}",
        "sqlite": f"SQLite {sqlite3.sqlite_version}",
        "system": f"{platform.system()} {platform.machine()}",
    }


def _round(one: Any) -> dict[str, Any]:
    return {**asdict(one), "ratio": one.ratio}


def _number(value: float, unit: str = "") -> str:
    text = f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
    return f"{text} {unit}".strip()
