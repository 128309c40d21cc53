"""The filters, the order and the cursor of a list of clients. Pure."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from authsec_server import naming
from authsec_server.clients.model import Client, ClientKind, Platform
from authsec_server.failures import Invalid

MAX_COUNTED = 10_000  # beyond it a number tells people nothing, and costs time


class Attention(StrEnum):
    """Reasons why an administrator should look at a client."""

    CANNOT_PROVE = "cannot_prove"  # holds nothing that can be checked, so it gets no token
    UNATTESTED = "unattested"  # anybody who knows its client_id gets its tokens
    SECRET = "secret"  # noqa: S105 - whoever reads its secret once has it until it is rotated
    ENROLLED = "enrolled"  # a machine that somebody enrolled holds a key of it for some hours


class ClientSort(StrEnum):
    """The order of a list of clients."""

    NAME = "name"
    CREATED = "created"
    OWNER = "owner"  # and each owner's by name


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientFilters:
    """Filters for clients. A client must match every filter; an empty filter or None matches all clients.

    `text` matches a part of the name or slug, or the beginning of the client_id. `owner` is the whole name of
    the owner. `text` and `owner` ignore case. `label` is `name=value`, or a name alone for any value.
    """

    text: str = ""
    kind: ClientKind | None = None
    platform: Platform | None = None
    enabled: bool | None = None
    owner: str = ""
    label: str = ""
    attention: Attention | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """A number of clients. `capped` says that there are more clients than `number`."""

    number: int
    capped: bool

    def __str__(self) -> str:
        return f"{self.number:,}{'+' if self.capped else ''}"


Position = tuple[str | datetime, ...]
"""The position of a client in a sorted list: the value that sorts, and the id for clients with equal values."""


def position(client: Client, sort: ClientSort) -> Position:
    """Return the client's position in this order: the values at which a page can begin."""
    name, owner = naming.folded(client.name), naming.folded(client.owner)
    by: dict[ClientSort, Position] = {
        ClientSort.NAME: (name,),
        ClientSort.CREATED: (client.created_at,),
        ClientSort.OWNER: (owner, name),
    }
    return (*by[sort], client.id)


def write_cursor(sort: ClientSort, last: Position) -> str:
    """Encode a position for a URL. Line breaks separate the parts, because no name contains a line break."""
    parts = [part.isoformat() if isinstance(part, datetime) else part for part in last]
    return urlsafe_b64encode("\n".join([sort, *parts]).encode()).decode().rstrip("=")


def read_cursor(sort: ClientSort, cursor: str) -> Position:
    """Decode the caller's cursor. Raises `Invalid` if the cursor does not come from a list in this order."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        kind, *parts = urlsafe_b64decode(padded.encode("ascii")).decode().split("\n")
        after: Position = (datetime.fromisoformat(parts[0]), *parts[1:]) if sort is ClientSort.CREATED else tuple(parts)
    except (binascii.Error, ValueError, IndexError):
        raise _no_cursor() from None
    length = 3 if sort is ClientSort.OWNER else 2
    fits = kind == sort and len(after) == length and naming.is_uuid(parts[-1]) and "\0" not in "".join(parts)
    if not fits or (isinstance(after[0], datetime) and after[0].tzinfo is None):
        raise _no_cursor()
    return after


def _no_cursor() -> Invalid:
    return Invalid("cursor", "This cursor does not come from a list in this order.", "Start at the first page.")
