"""Lists in pages: `limit` and `cursor` come in, `items` and `next` go out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from starlette.requests import Request
from typing_extensions import TypedDict  # pydantic takes no other below Python 3.12

from authsec_server.failures import Invalid
from authsec_server.web.bodies import query_int, query_value
from authsec_server.web.operations import Parameter

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
T = TypeVar("T")


PAGING = (
    Parameter(
        name="limit",
        description="So many at most.",
        schema={"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    ),
    Parameter(name="cursor", description="`next` of the page before."),
)


class Page(TypedDict, Generic[T]):
    """A page of a list; `next` is the cursor of the page behind it, null on the last."""

    items: list[T]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """The page that is asked for: what comes behind `after`; empty means the first."""

    after: str
    limit: int


def read_page(request: Request, fits: Callable[[str], bool]) -> PageRequest:
    """The query's `limit` and `cursor`. Raises `Invalid` unless the cursor `fits` what `next` would have held."""
    limit = query_int(request, "limit", default=DEFAULT_LIMIT) or 0
    if not 1 <= limit <= MAX_LIMIT:
        raise Invalid("limit", f"limit must be 1 to {MAX_LIMIT}.")
    cursor = query_value(request, "cursor") or ""
    if cursor and not fits(cursor):
        raise Invalid("cursor", "This cursor is not one that a list gave out.", "Use `next` of the page before.")
    return PageRequest(after=cursor, limit=limit)


def page_of(everything: Sequence[T], asked: PageRequest, *, by: Callable[[T], str]) -> tuple[list[T], str | None]:
    """The page of a list that is read whole, since it is short; `by` is what its cursors are. Raises `Invalid`."""
    start = 0
    if asked.after:
        names = [by(each) for each in everything]
        if asked.after not in names:
            raise Invalid("cursor", "What this cursor stood at is gone.", "Begin at the first page.")
        start = names.index(asked.after) + 1
    found = list(everything[start : start + asked.limit])
    return found, by(found[-1]) if start + len(found) < len(everything) else None
