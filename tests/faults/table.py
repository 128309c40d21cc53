"""The results as tables of docs/reliability.md, and the file in which results of several calls are kept."""

from __future__ import annotations

import json
import platform
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from ..generated_tables import write_generated_part
from .invariants import TITLES
from .runs import Result

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"
_DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
_TOKENS = ("unrecorded", "lost", "after", "accepted")  # the invariants with a column of their own


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The result of one fault on one database, in numbers. Times are in seconds."""

    fault: str
    what: str
    kind: str
    rounds: int
    requests: int
    answered: int
    tokens: int
    changes: int
    violations: dict[str, int]
    token: list[float]
    ready: list[float]
    accepted: list[float]
    slowest_refusal: float

    @classmethod
    def of(cls, result: Result) -> Row:
        """The numbers of a result."""
        times = {
            name: [seconds for each in result.recoveries if (seconds := getattr(each, name)) is not None]
            for name in ("token", "ready", "accepted")
        }
        none = sum(number for (what, status), number in result.answers.items() if what != "api" and status == "none")
        return cls(
            fault=result.fault,
            what=result.what,
            kind=result.kind,
            rounds=result.rounds,
            requests=result.requests,
            answered=result.requests - none,
            tokens=result.tokens,
            changes=result.changes,
            violations={name: len(result.violations[name]) for name in TITLES},
            slowest_refusal=result.slowest_refusal,
            **times,
        )


def merge(file: Path, rows: Iterable[Row]) -> list[Row]:
    """Replace the rows of these faults and databases in the file; all rows of the file."""
    kept = _read(file)
    kept |= {(row.fault, row.kind): row for row in rows}
    file.write_text(json.dumps([asdict(row) for row in kept.values()], indent=1), "utf-8")
    return list(kept.values())


def _read(file: Path) -> dict[tuple[str, str], Row]:
    if not file.exists():
        return {}
    names = {field.name for field in fields(Row)}
    found: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))
    rows = [Row(**{name: value for name, value in each.items() if name in names}) for each in found]
    return {(row.fault, row.kind): row for row in rows}


def write(rows: Sequence[Row], order: Sequence[str], *, postgresql: str) -> None:
    """Write the tables into the page."""
    ordered = sorted(rows, key=lambda row: (order.index(row.fault), row.kind != "sqlite"))
    write_generated_part(PAGE, [*_heading(ordered, postgresql), "", *_kept(ordered), "", *_recovered(ordered)])


def _heading(rows: Sequence[Row], postgresql: str) -> list[str]:
    versions = f"AuthSec {version('authsec-server')}, Python {platform.python_version()}"
    databases = f"SQLite {sqlite3.sqlite_version}, PostgreSQL {postgresql}" if postgresql else sqlite3.sqlite_version
    total = sum(sum(row.violations.values()) for row in rows)
    return [
        f"Measured on {date.today().isoformat()} with {versions}, {databases}: "  # noqa: DTZ011 - the day of the reader
        f"{sum(row.requests for row in rows):,} requests, {sum(row.tokens for row in rows):,} tokens, "
        f"**{total:,} violations**.",
    ]


def _kept(rows: Sequence[Row]) -> list[str]:
    return [
        "| fault | database | rounds | requests (answered) | tokens | changes | no record | change lost "
        "| token after revocation | revoked token accepted | other violations |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        *(
            f"| {row.what} | {_DATABASES[row.kind]} | {row.rounds} | {row.requests:,} ({row.answered:,}) "
            f"| {row.tokens:,} | {row.changes:,} "
            f"| {' | '.join(str(row.violations[name]) for name in _TOKENS)} | {_others(row)} |"
            for row in rows
        ),
    ]


def _others(row: Row) -> str:
    others = {TITLES[name]: number for name, number in row.violations.items() if name not in _TOKENS and number}
    return "; ".join(f"{title}: {number}" for title, number in others.items()) or "0"


def _recovered(rows: Sequence[Row]) -> list[str]:
    return [
        "| fault | database | first token | `/readyz` says ready | all APIs accept a new token "
        "| slowest refusal of a revoked token |",
        "|---|---|---:|---:|---:|---:|",
        *(
            f"| {row.what} | {_DATABASES[row.kind]} | {_times(row.token)} | {_times(row.ready)} "
            f"| {_times(row.accepted)} | {row.slowest_refusal:.1f} |"
            for row in rows
        ),
    ]


def _times(seconds: Sequence[float]) -> str:
    return f"{median(seconds):.1f}, {max(seconds):.1f}" if seconds else "-"
