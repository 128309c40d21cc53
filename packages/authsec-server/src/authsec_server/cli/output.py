"""What commands print: tables and blocks for people, JSON for programs. Data on stdout, messages on stderr."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Output:
    """Prints one result, in the form that was asked for."""

    console: Console
    as_json: bool

    def result(self, value: Any, *for_people: Any) -> None:
        """`value` as JSON for programs, or the renderables for people."""
        if self.as_json:
            click.echo(json.dumps(value, indent=2, ensure_ascii=False))
            return
        for part in for_people:
            self.console.print(part, soft_wrap=isinstance(part, str))

    def note(self, text: str) -> None:
        """Something a person should know beside the result, in rich's markup."""
        Console(stderr=True).print(text, soft_wrap=True, highlight=False)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table | str:
    """A table, cells as text that is not trusted. Ids fold rather than being cut: they are there to be copied."""
    if not rows:
        return "[dim]none[/dim]"
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(cell(value) for value in row))
    return made


def block(facts: Mapping[str, object]) -> Table:
    """Names and values, one a line."""
    made = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    made.add_column(style="dim", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in facts.items():
        made.add_row(name, cell(value))
    return made


def cell(value: object) -> str:
    """A value as a cell: lists with commas, nothing as a dash, and no character that a terminal would obey."""
    if value is None or value in ("", [], ()):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(cell(item) for item in value)
    return escape(harmless(str(value)))


def say_failed(message: str, remedy: str, request_id: str) -> None:
    """A failure on stderr: what, what would help, and how to find it in the audit trail."""
    click.echo(click.style("✗ ", fg="red", bold=True) + harmless(message), err=True)
    if remedy:
        click.echo(f"  {harmless(remedy)}", err=True)
    if request_id:
        click.echo(f"  request {harmless(request_id)}", err=True)


def harmless(text: str) -> str:
    """The text without characters that a terminal would obey."""
    return "".join(char if unicodedata.category(char)[0] != "C" else "�" for char in text)
