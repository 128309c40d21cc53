"""Lists in pages: `limit` and `cursor` come in, `items` and `next` go out."""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Generic, TypeVar

from starlette.requests import Request
from typing_extensions import TypedDict  # pydantic takes no other below Python 3.12

from authsec_server.failures import Invalid
from authsec_server.web.bodies import query_int, query_value
from authsec_server.web.operations import Parameter

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
_CHECKSUM = 6  # bytes
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
    """The page of the list `of` that is asked for: what comes behind `after`; empty means the first."""

    of: str
    after: str
    limit: int

    def following(self, last: str | None) -> str | None:
        """`next`, for a page that ends there; None where it is the last one."""
        return None if last is None else _cursor(self.of, last)


def read_page(request: Request, fits: Callable[[str], bool]) -> PageRequest:
    """The query's `limit` and `cursor`. Raises `Invalid` unless this list can have given the cursor out.

    It tells by a checksum: a damaged cursor would else be a place behind which there is nothing, and look like the end.
    `fits` says of what is in it whether it can be where a page ends, since whoever wants to can make a checksum.
    """
    of = request.url.path.rpartition("/")[2]
    cursor = query_value(request, "cursor") or ""
    after = _read(of, cursor) if cursor else ""
    if after is None or (after and not fits(after)):
        raise _not_given_out()
    return PageRequest(of=of, after=after, limit=_limit(request))


def read_numbered_page(request: Request, numbers: re.Pattern[str]) -> tuple[int | None, int]:
    """The same of a list whose cursors are numbers of what is in it, so that a caller may begin where it likes."""
    cursor = query_value(request, "cursor") or ""
    if cursor and numbers.fullmatch(cursor) is None:
        raise _not_given_out()
    return int(cursor) if cursor else None, _limit(request)


def _limit(request: Request) -> int:
    limit = query_int(request, "limit", default=DEFAULT_LIMIT) or 0
    if not 1 <= limit <= MAX_LIMIT:
        raise Invalid("limit", f"limit must be 1 to {MAX_LIMIT}.")
    return limit


def _not_given_out() -> Invalid:
    return Invalid("cursor", "This cursor is not one that this list gave out.", "Use `next` of the page before, whole.")


def _cursor(of: str, last: str) -> str:
    named = last.encode()
    return urlsafe_b64encode(sha256(f"{of}\n".encode() + named).digest()[:_CHECKSUM] + named).decode().rstrip("=")


def _read(of: str, cursor: str) -> str | None:
    try:
        last = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))[_CHECKSUM:].decode()
    except (binascii.Error, ValueError):  # no list gave it out, and whoever asked says so
        return None
    return last if _cursor(of, last) == cursor else None


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
