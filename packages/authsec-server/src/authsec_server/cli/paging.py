"""Paging for commands that list things: one page or all pages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final

import click

from authsec_server.cli.caller import Caller
from authsec_server.cli.output import Output

_MOST: Final = 200  # of a page of the API


@dataclass(frozen=True, slots=True, kw_only=True)
class Paged:
    """The requested part of a list: one page, or all pages."""

    limit: int
    cursor: str | None
    everything: bool

    def of(self, caller: Caller, path: str, **filters: object) -> Mapping[str, Any]:
        """Read the requested part of the list at `path`, without the filters that are None."""
        if not self.everything:
            page: Mapping[str, Any] = caller.get(path, limit=self.limit, cursor=self.cursor, **filters)
            return page
        items: list[Any] = []
        cursor = self.cursor
        with caller.session() as its:
            while True:
                page = its.get(path, limit=_MOST, cursor=cursor, **filters)
                items, cursor = [*items, *page["items"]], page["next"]
                if cursor is None:
                    return {"items": items, "next": None}


def page_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--limit`, `--cursor` and `--all` to a command. The command receives them as `paged`."""

    @click.option(
        "--limit", type=click.IntRange(1, _MOST), default=50, show_default=True, help="Number of entries on a page."
    )
    @click.option("--cursor", help="The cursor that the previous page printed.")
    @click.option("--all", "everything", is_flag=True, help="All entries, without pages.")
    @wraps(command)
    def run(*arguments: Any, limit: int, cursor: str | None, everything: bool, **options: Any) -> None:
        command(*arguments, paged=Paged(limit=limit, cursor=cursor, everything=everything), **options)

    return run


def note_more(output: Output, answer: Mapping[str, Any]) -> None:
    """Note that the list has more entries, and how to read them."""
    if answer["next"] and not output.as_json:
        output.note(f"There are more entries: --cursor {answer['next']}, or --all")
