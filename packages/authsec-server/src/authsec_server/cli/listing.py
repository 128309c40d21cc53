"""Tables for terminals of any width: where one is too narrow for a table's words, each row becomes a block."""

from __future__ import annotations

from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

_GAP: Final = 2  # between columns


class Listing(Table):
    """A table whose words are never broken to make it fit. The cells and heads are `Text`."""

    def __init__(self) -> None:
        super().__init__(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        least = [max(map(_longest, [str(column.header), *column.cells])) for column in self.columns]
        whole = [max(_width(cell) for cell in column.cells) if column.no_wrap else 0 for column in self.columns]
        widths = [max(pair) for pair in zip(least, whole, strict=True)]
        if sum(widths) + _GAP * len(widths) > options.max_width:  # rich leaves a gap behind the last one, too
            yield from self._blocks()
            return
        natural = [max(map(_width, [str(column.header), *column.cells])) for column in self.columns]
        room = options.max_width - _GAP * len(widths)
        for column, width in zip(self.columns, _shared(widths, natural, room), strict=True):
            column.width = width  # left to itself, rich goes below what a column has as its least
        yield from super().__rich_console__(console, options)

    def _blocks(self) -> RenderResult:
        """The first cell, and below it the others that hold something, each with its head."""
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
    """The room between columns: each has its least, and what is left goes to those that lack most."""
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
    """The width of its longest word."""
    return max((Text(word).cell_len for word in str(cell).split()), default=0)


def _width(cell: object) -> int:
    return max((Text(line).cell_len for line in str(cell).splitlines()), default=0)
