"""Lists: requests have filters, `limit` and `cursor`, answers have `items` and `next`."""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from enum import StrEnum
from hashlib import sha256
from typing import Any, Generic, Protocol, TypeVar

from starlette.requests import Request
from typing_extensions import TypedDict  # required by pydantic before Python 3.12

from authsec_server.db import Tx
from authsec_server.failures import Invalid
from authsec_server.naming import quoted
from authsec_server.principal import Act
from authsec_server.web.bodies import query_int, query_value
from authsec_server.web.operations import Call, Parameter

DEFAULT_LIMIT = 50
MAX_LIMIT = 200
_CHECKSUM = 6  # bytes
T = TypeVar("T")
Read = TypeVar("Read", covariant=True)
Shown = TypeVar("Shown")


PAGING = (
    Parameter(
        name="limit",
        description="The largest number of entries.",
        schema={"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    ),
    Parameter(name="cursor", description="`next` of the previous page."),
)


class Page(TypedDict, Generic[T]):
    """One page of a list. `next` is the cursor of the next page, or null on the last page."""

    items: list[T]
    next: str | None


class Load(Protocol[Read]):
    """A function that loads at most `limit` items after the position `after`.

    `after` is empty for the first page. The function also returns `after` for the next page, or None on the last
    page.
    """

    def __call__(self, tx: Tx, act: Act, /, *, after: str, limit: int) -> tuple[Sequence[Read], str | None]: ...


async def paged(call: Call[Any], fits: Callable[[str], bool], load: Load[T], show: Callable[[T], Shown]) -> Page[Shown]:
    """Return the page that `limit` and `cursor` in the query select. `show` converts each item for the response.

    Raises `Invalid` for a cursor that does not come from this list. Two checks find such a cursor:

    - A checksum. Without it, a damaged cursor could name a position after the last item, and look like the end of
      the list.
    - `fits`. The checksum has no secret, so anybody can make a valid one. `fits` returns whether the position in
      the cursor has the right format.
    """
    of, cursor = call.request.url.path.rpartition("/")[2], call.query("cursor") or ""
    after, limit = _read(of, cursor) if cursor else "", _limit(call.request)
    if after is None or (after and not fits(after)):
        raise _not_given_out()
    found, last = await call.read(lambda tx, act: load(tx, act, after=after, limit=limit))
    return {"items": [show(each) for each in found], "next": None if last is None else _cursor(of, last)}


def whole(read: Callable[[Tx, Act], Sequence[T]], by: Callable[[T], str]) -> Load[T]:
    """Return a `Load` for a short list that `read` returns completely. `by` returns the cursor position of an item.

    The returned function raises `Invalid` if the item at the cursor was deleted.
    """

    def load(tx: Tx, act: Act, /, *, after: str, limit: int) -> tuple[Sequence[T], str | None]:
        everything, start = read(tx, act), 0
        if after:
            names = [by(each) for each in everything]
            if after not in names:
                raise Invalid("cursor", "The entry of this cursor no longer exists.", "Start at the first page.")
            start = names.index(after) + 1
        found = everything[start : start + limit]
        return found, by(found[-1]) if start + len(found) < len(everything) else None

    return load


def read_numbered_page(request: Request, numbers: re.Pattern[str]) -> tuple[int | None, int]:
    """Read `cursor` and `limit` for a list with numbered items. Raises `Invalid`.

    The cursor is the number of an item, so a caller may begin at any item. `numbers` is the pattern of a valid
    number.
    """
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
    return Invalid(
        "cursor", "This cursor does not come from this list.", "Use the complete `next` of the previous page."
    )


def _cursor(of: str, last: str) -> str:
    named = last.encode()
    return urlsafe_b64encode(sha256(f"{of}\n".encode() + named).digest()[:_CHECKSUM] + named).decode().rstrip("=")


def _read(of: str, cursor: str) -> str | None:
    try:
        last = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))[_CHECKSUM:].decode()
    except (binascii.Error, ValueError):  # no list made this cursor; the caller raises the error
        return None
    return last if _cursor(of, last) == cursor else None


W = TypeVar("W", bound=StrEnum)
_ANSWERS = {"true": True, "false": False}


def one_of(name: str, description: str, words: type[StrEnum]) -> Parameter:
    """Declare a parameter with one of these words as its value."""
    return Parameter(name=name, description=description, schema={"type": "string", "enum": list(map(str, words))})


def yes_or_no(name: str, description: str) -> Parameter:
    """Declare a parameter with the value `true` or `false`."""
    return Parameter(name=name, description=description, schema={"type": "string", "enum": list(_ANSWERS)})


def read_one_of(request: Request, name: str, words: type[W]) -> W | None:
    """Return the word of the parameter, or None if the parameter is missing.

    Raises `Invalid` for another word. The remedy lists all valid words.
    """
    value = query_value(request, name)
    try:
        return None if value is None else words(value)
    except ValueError:
        raise Invalid(name, f"{name} must not be {quoted(value or '')}.", f"One of: {', '.join(words)}") from None


def read_yes_or_no(request: Request, name: str) -> bool | None:
    """Return the parameter as a boolean, or None if the parameter is missing.

    Raises `Invalid` for a value other than `true` or `false`.
    """
    value = query_value(request, name)
    if value is not None and value not in _ANSWERS:
        raise Invalid(name, f"{name} must not be {quoted(value)}.", f"One of: {', '.join(_ANSWERS)}")
    return None if value is None else _ANSWERS[value]
