"""What commands print: tables and blocks for people, JSON for programs. Data on stdout, messages on stderr.

Names come from whoever was allowed to type them, so nothing here is printed as it came: characters that a terminal
would obey are replaced, and no markup is read. What stands out is `styled`.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click
from authsec.terminal import failed, runnable
from rich.console import Console
from rich.table import Table
from rich.text import Text

from authsec_server.cli.listing import Listing

NOTHING = "-"  # how a cell without a value looks
_PIPED_WIDTH = 10_000  # a pipe has no edge: nothing is folded for `grep` and `awk`
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@dataclass(frozen=True, slots=True)
class Output:
    """Prints one result, in the form that was asked for."""

    console: Console
    as_json: bool

    def result(self, value: Any, *for_people: Table | Text | str) -> None:
        """`value` as JSON for programs, or the parts for people: tables, styled text, plain sentences."""
        if self.as_json:
            click.echo(json.dumps(value, indent=2))  # everything beyond ASCII escaped: safe on a terminal too
            return
        for part in for_people:
            shown = Text(harmless(runnable(part))) if isinstance(part, str) else part
            self.console.print(shown, soft_wrap=isinstance(shown, Text))

    def note(self, text: str) -> None:
        """Something a person should know beside the result."""
        click.echo(harmless(runnable(text)), err=True)


def open_output(*, as_json: bool) -> Output:
    """The output of this process, as wide as its terminal."""
    return Output(Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH), as_json)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, whole: Collection[str] = ()) -> Table | Text:
    """A table. What does not fit is folded between words, never cut; the columns in `whole` stay on one line."""
    if not rows:
        return Text("none", style="dim")
    made = Listing()
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=column in whole)
    for row in rows:
        made.add_row(*map(cell, row))
    return made


def block(facts: Mapping[str, object]) -> Text:
    """Names and values, one a line. Nothing is folded: what the terminal itself wraps is copied whole."""
    width = max(map(len, facts)) + 2
    lines = []
    for name, value in facts.items():
        head = Text(name.ljust(width), style="dim")
        for line in cell(value).split("\n"):
            lines.append(Text.assemble(head, line))
            head = Text(" " * width)
    return Text("\n").join(lines)


def cell(value: object) -> Text:
    """A value as a cell: lists with commas, nothing as a dash. Text that is styled already stays so."""
    return value if isinstance(value, Text) else Text(harmless(_plain(value)))


def styled(value: object, style: str) -> Text:
    """A cell that stands out."""
    return Text(harmless(_plain(value)), style=style)


def when(instant: str | None) -> str:
    """An instant of the API (RFC 3339 in UTC) as people read it; the column's head says UTC."""
    return NOTHING if instant is None else instant.replace("T", " ").removesuffix("Z")


def often(count: int) -> str:
    """How many times something happened, as people say it."""
    return "once" if count == 1 else f"{count} times"


def harmless(text: str) -> str:
    """The text with nothing in it that a terminal would obey, or that would show it otherwise than it is."""
    spaced = text.replace("\r\n", " ").replace("\n", " ").replace("\t", " ")
    return "".join("�" if unicodedata.category(char) in _UNSEEN else char for char in spaced)


def say_failed(message: str, remedy: str = "", request_id: str = "") -> None:
    """A failure on stderr: what, what would help, and how to find it in the audit trail."""
    lines = [message, remedy, f"request id  {request_id}" if request_id else ""]
    click.echo(failed("\n".join(f"  {harmless(line)}" for line in lines if line)), err=True)


def _plain(value: object) -> str:
    if value is None or value in ("", [], ()):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return str(value)
