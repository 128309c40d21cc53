"""Print the demo: numbered steps, aligned facts and lines of conversation.

The output is readable at 80 columns, and in a pipe.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from authsec.safe_text import plain
from authsec.terminal import runnable
from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDEST: Final = 100
_NARROWEST: Final = 20
_INDENT: Final = 3
_MARK: Final = 3
_LABEL: Final = 14
_LONGEST_TEXT: Final = 600


class StepFailed(Exception):
    """A step failed. `expected` is the correct result, `came` is the actual result."""

    def __init__(self, *, expected: str, came: str) -> None:
        super().__init__(f"expected {expected}; got {came}")
        self.expected = expected
        self.came = came


class StoryEnded(Exception):
    """The demo stops because a step failed. `Stage` has already printed the failure."""


def check(holds: bool, *, expected: str, came: str) -> None:
    """Raise `StepFailed` if `holds` is false."""
    if not holds:
        raise StepFailed(expected=expected, came=came)


class Stage:
    """The output of the demo. The class prints to a console and numbers the steps."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, emoji=False, markup=False)
        self._console.width = min(self._console.width, _WIDEST)
        self._number = 0
        unicode = self._console.encoding.lower().startswith("utf")
        self._good, self._bad = ("✓", "✗") if unicode else ("ok", "NO")

    @contextmanager
    def step(self, title: str, why: str) -> Iterator[None]:
        """Run one step of the demo in a `with` block. Raises `StoryEnded` if the block raises an exception.

        The method prints the exception as the failure of the step.
        """
        self._number += 1
        self._console.print()
        self._console.print(Text(f"{self._number:2} {title}", style="bold"))
        self.note(why)
        try:
            yield
        except StepFailed as failure:
            self._failed(failure.expected, failure.came)
            raise StoryEnded from None
        except Exception as error:
            self._failed(f"to do this: {title}", f"{type(error).__name__}: {error}")
            raise StoryEnded from error

    def note(self, text: str) -> None:
        """Print an explanation of the current step."""
        for line in self._wrapped(text, _INDENT):
            self._print(Text(" " * _INDENT + line, style="dim"))

    def fact(self, label: str, text: str) -> None:
        """Print a result that was checked and is correct."""
        self._row(Text(self._good, style="green"), Text(label), text)

    def warning(self, label: str, text: str) -> None:
        """Print a warning.

        The method removes control characters and tokens from the text, because the text may quote a server.
        """
        self._row(Text("!" if label else "", style="yellow"), Text(label), plain(text, _LONGEST_TEXT))

    def said(self, who: str, text: str) -> None:
        """Print a line of the conversation. `who` is the speaker. A command starts with `uv run`, if the demo did.

        The method removes control characters and tokens, because a model or a server may have written the text.
        """
        self._row(Text(), Text(who, style="cyan"), plain(runnable(text), _LONGEST_TEXT))

    def show(self, table: Table) -> None:
        """Print a table, indented like all other output."""
        room = self._console.options.update_width(self._console.width - _INDENT)
        for segments in self._console.render_lines(table, room, pad=False):
            cells = ((segment.text, segment.style or "") for segment in segments)
            self._print(Text.assemble(" " * _INDENT, *cells))

    def line(self, text: str = "", *, style: str = "") -> None:
        """Print a line without indentation."""
        self._print(Text(text, style=style))

    def copyable(self, line: str) -> None:
        """Print a line that the user can copy. The line never wraps, even if it is wider than the console."""
        self._print(Text(" " * _INDENT + line))

    def _failed(self, expected: str, came: str) -> None:
        self._row(Text(self._bad, style="bold red"), Text("expected", style="red"), plain(expected, _LONGEST_TEXT))
        self._row(Text(), Text("came", style="red"), plain(came, _LONGEST_TEXT))

    def _row(self, mark: Text, label: Text, text: str) -> None:
        """Print the mark, the label and the text in columns.

        The method wraps the text without `rich`, because `rich` pads each line to the full width.
        """
        mark.pad_right(_MARK - len(mark))
        label.pad_right(_LABEL - len(label))
        column = _INDENT + _MARK + _LABEL
        first, *others = self._wrapped(text, column) or [""]
        self._print(Text.assemble(" " * _INDENT, mark, label, first))
        for line in others:
            self._print(Text(" " * column + line))

    def _wrapped(self, text: str, column: int) -> list[str]:
        width = max(self._console.width - column, _NARROWEST)
        # A URL is not broken, so that a user can copy it.
        return textwrap.wrap(text, width, break_on_hyphens=False, break_long_words=False)

    def _print(self, text: Text) -> None:
        text.rstrip()
        self._console.print(text, soft_wrap=True)
