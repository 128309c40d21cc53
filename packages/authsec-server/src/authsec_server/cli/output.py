"""The output of commands: tables and blocks for people, JSON for programs. Data on stdout, messages on stderr."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import click
from authsec.terminal import failed, runnable
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

NOTHING = "-"  # text of an empty cell
_PIPED_WIDTH = 10_000  # no wrapped lines in a pipe, for `grep` and `awk`
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@dataclass(frozen=True, slots=True)
class Output:
    """The printer for the result of a command, as JSON or as text for people."""

    console: Console
    as_json: bool

    def result(self, value: Any, *for_people: Table | Text | str) -> None:
        """Print `value` as JSON for programs, or `for_people` as text: tables, styled text, sentences."""
        if self.as_json:
            click.echo(json.dumps(value, indent=2))  # escapes all characters outside ASCII, for a safe terminal
            return
        for part in for_people:
            shown = Text(harmless(runnable(part))) if isinstance(part, str) else part
            self.console.print(shown, soft_wrap=isinstance(shown, Text))

    def note(self, text: str) -> None:
        """Print a message on stderr, separate from the result."""
        click.echo(harmless(runnable(text)), err=True)


def open_output(*, as_json: bool) -> Output:
    """Return the output of this process, as wide as its terminal. Output to a pipe has no maximum width."""
    return Output(Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH), as_json)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, whole: Collection[str] = ()) -> Table | Text:
    """Return a table. Long text wraps between words and is never cut; columns in `whole` stay on one line."""
    if not rows:
        return Text("none", style="dim")
    made = FittedTable()
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=column in whole)
    for row in rows:
        made.add_row(*map(cell, row))
    return made


Column = str | Callable[[Mapping[str, Any]], object]
"""The cells of a column: the name of a field, or a function of the item."""


def item_table(items: Sequence[Mapping[str, Any]], columns: Mapping[str, Column], *, whole: str) -> Table | Text:
    """Return a table with a row for each item. `columns` maps headings to cells; `whole` is the heading of an id."""
    rows = [[item[each] if isinstance(each, str) else each(item) for each in columns.values()] for item in items]
    return table([*columns], rows, whole=(whole,))


def time_of(name: str) -> Callable[[Mapping[str, Any]], str]:
    """Return a function that formats the time in the field `name`, for a column of a table."""
    return lambda item: when(item[name])


def block(facts: Mapping[str, object]) -> Text:
    """Render names and values, one pair on each line.

    Long values are not wrapped here. The terminal wraps them, so a person can copy a long value whole.
    """
    width = max(map(len, facts)) + 2
    lines = []
    for name, value in facts.items():
        head = Text(name.ljust(width), style="dim")
        for line in cell(value).split("\n"):
            lines.append(Text.assemble(head, line))
            head = Text(" " * width)
    return Text("\n").join(lines)


def cell(value: object) -> Text:
    """Convert a value to a cell. A list becomes text with commas, an empty value a dash. Styled text stays as it is."""
    return value if isinstance(value, Text) else Text(harmless(_plain(value)))


def styled(value: object, style: str) -> Text:
    """Return the value as a cell with a style."""
    return Text(harmless(_plain(value)), style=style)


def warned(answer: Mapping[str, Any]) -> list[Text | str]:
    """Render the warnings in the API's answer, one on each line. A warning about an unattested agent is red."""
    lines: list[Text | str] = [
        styled("! ", "bold red" if warning["code"] == "client_unattested" else "yellow").append(
            cell(warning["message"])
        )
        for warning in answer.get("warnings", ())
    ]
    return ["", *lines] if lines else []


def when(instant: str | None) -> str:
    """Format an RFC 3339 time in UTC for people. The column's heading says UTC."""
    return NOTHING if instant is None else instant.replace("T", " ").removesuffix("Z")


def often(count: int) -> str:
    """Format a count as a phrase: "once" or "3 times"."""
    return "once" if count == 1 else f"{count} times"


def harmless(text: str) -> str:
    """Replace control characters and invisible characters, so that text cannot control or mislead a terminal."""
    spaced = text.replace("\r\n", " ").replace("\n", " ").replace("\t", " ")
    return "".join("�" if unicodedata.category(char) in _UNSEEN else char for char in spaced)


def say_failed(message: str, remedy: str = "", request_id: str = "") -> None:
    """Print an error on stderr: the message, the remedy and the request id for the audit log."""
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


_GAP: Final = 2  # between columns


class FittedTable(Table):
    """A table that never breaks words. A table that is too wide becomes blocks. Cells and headings are `Text`."""

    def __init__(self) -> None:
        super().__init__(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        least = [max(map(_longest, [str(column.header), *column.cells])) for column in self.columns]
        whole = [max(_width(cell) for cell in column.cells) if column.no_wrap else 0 for column in self.columns]
        widths = [max(pair) for pair in zip(least, whole, strict=True)]
        if sum(widths) + _GAP * len(widths) > options.max_width:  # rich adds a gap after the last column, too
            yield from self._blocks()
            return
        natural = [max(map(_width, [str(column.header), *column.cells])) for column in self.columns]
        room = options.max_width - _GAP * len(widths)
        for column, width in zip(self.columns, _shared(widths, natural, room), strict=True):
            column.width = width  # without a set width, rich makes a column narrower than its longest word
        yield from super().__rich_console__(console, options)

    def _blocks(self) -> RenderResult:
        """Yield each row as a block: the first cell, and below it the other cells with their headings.

        Empty cells are left out.
        """
        heads = [str(column.header).lower().replace("(utc)", "(UTC)") for column in self.columns]
        width = max(map(len, heads[1:]), default=0) + _GAP
        for number, cells in enumerate(zip(*(column.cells for column in self.columns), strict=True)):
            if number:
                yield Text()
            first, *others = cells
            yield _bold(first)
            for head, cell in zip(heads[1:], others, strict=True):
                lines = cell.split("\n") if isinstance(cell, Text) else [Text(str(cell))]
                for line in lines if str(cell) != "-" else []:
                    yield Text.assemble((f"  {head.ljust(width)}", "dim"), line, overflow="fold")
                    head = ""


def _shared(least: list[int], natural: list[int], room: int) -> list[int]:
    """Divide the available width between the columns.

    Each column first gets its minimum width. The columns that lack most of their natural width then share the
    remaining width.
    """
    widths = list(least)
    for _ in range(room - sum(least)):
        lack, column = max(
            (wanted - has, -column) for column, (wanted, has) in enumerate(zip(natural, widths, strict=True))
        )
        if lack <= 0:
            break
        widths[-column] += 1
    return widths


def _bold(cell: object) -> Text:
    shown = cell.copy() if isinstance(cell, Text) else Text(str(cell))
    shown.stylize("bold")
    return shown


def _longest(cell: object) -> int:
    """Return the width of the longest word in the cell."""
    return max((Text(word).cell_len for word in str(cell).split()), default=0)


def _width(cell: object) -> int:
    return max((Text(line).cell_len for line in str(cell).splitlines()), default=0)
