"""Lists in pages: `limit` and `cursor` come in, `items` and `next` go out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from authsec_server.failures import Invalid
from authsec_server.web.bodies import query_int, query_value

DEFAULT_LIMIT = 50
MAX_LIMIT = 200


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


def page_answer(items: Iterable[Any], following: str | None) -> JSONResponse:
    """A page; `next` is the cursor of the page behind it, null on the last."""
    return JSONResponse({"items": list(items), "next": following})
