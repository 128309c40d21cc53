"""What commands that list things have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from authsec_server.cli.output import Output

Command = TypeVar("Command", bound=Callable[..., Any])


def page_options(command: Command) -> Command:
    """Gives a command `--limit` and `--cursor`."""
    limit = click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="How many.")
    return limit(click.option("--cursor", help="Where the list before ended.")(command))


def note_more(output: Output, answer: Mapping[str, Any]) -> None:
    """Tell a person that the list goes on, and how to see it."""
    if answer["next"] and not output.as_json:
        output.note(f"There are more: --cursor {answer['next']}")
