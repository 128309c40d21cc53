"""Insert the events of many token requests with one statement of the driver.

SQLAlchemy would need more time for a statement than the database itself. `store.add` writes the same form of rows.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final, Self

from sqlalchemy import Connection, String

from authsec_server.audit.event_macs import mac_of, shared_digest
from authsec_server.audit.event_numbers import next_numbers
from authsec_server.audit.event_shape import is_event
from authsec_server.audit.merkle_tree import instant_text
from authsec_server.audit.model import Event
from authsec_server.audit.store import SEE_WHAT_ELSE, delegation_ids, event_delegations, events, row_of
from authsec_server.db.driver import insert_rows
from authsec_server.db.interference import refuse_foreign_schema
from authsec_server.db.schema import CanonicalJson, as_stored, canonical_json
from authsec_server.failures import Unavailable

_COLUMNS: Final = tuple(each.name for each in events.columns if each.name != "count_key")
_HOLES: Final = ("id", "at", "request_id", "address", "jti", "kid", "token_sha256", "expires_at", "authority_version")
_PLACES: Final = tuple(map(_COLUMNS.index, _HOLES))
_LINKS: Final = ("delegation_id", "event_id")
_MAC: Final = _COLUMNS.index("mac")


@dataclass(frozen=True, slots=True)
class EventTemplate:
    """The column values that are equal in the events of many tokens, in the form in which the database stores them.

    `row` has None for each value that differs: the number, the times, the ids of the request and the token, the
    authority version and the MAC. `digest` is the part of the MAC that is equal (`event_macs.shared_digest`).
    """

    row: tuple[Any, ...]
    digest: bytes
    delegation_ids: tuple[str, ...]

    @classmethod
    def of(cls, event: Event, *, is_kept: bool = True) -> Self:
        """Return the template with the values of this event. A template that is kept shares its texts with others.

        Raises `Unavailable` if the event would not be valid. The attack: raw SQL gives a role a very long name for a
        moment. No server would seal the event of a token, so the event could be deleted at any time without a trace.
        """
        row = {**row_of(event), "occurrences": 1, "id": None, "mac": None}
        whole = {**row, "authority_version": 0, "count_key": None}
        if not is_event(whole):
            raise Unavailable("A row of this agent has a form that no server writes: no token was made.", SEE_WHAT_ELSE)
        return cls(
            tuple(None if name in _HOLES else _stored(name, row[name], is_kept=is_kept) for name in _COLUMNS),
            shared_digest(whole),
            tuple(delegation_ids(event)),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEvent:
    """The event of one token: a template, and the values that replace None in the template."""

    template: EventTemplate
    at: datetime
    request_id: str
    address: str
    jti: str
    kid: str
    token_sha256: str
    expires_at: datetime
    authority_version: int


def add_all(connection: Connection, batch: Sequence[TokenEvent], key: bytes | None) -> None:
    """Insert these events, with ascending numbers and their MACs by this key.

    Raises `Unavailable` if a trigger or a rule interferes.
    """
    dialect = connection.dialect.name
    numbers = next_numbers(connection, len(batch), batch[0].at)
    rows = [_row(number, event, dialect, key) for number, event in zip(numbers, batch, strict=True)]
    links = [
        (id_, number) for number, event in zip(numbers, batch, strict=True) for id_ in event.template.delegation_ids
    ]
    insert_rows(connection, events.name, _COLUMNS, rows)
    insert_rows(connection, event_delegations.name, _LINKS, links, keep=True)  # raw SQL may have added the row
    refuse_foreign_schema(connection)


def _row(number: int, event: TokenEvent, dialect: str, key: bytes | None) -> tuple[Any, ...]:
    row = list(event.template.row)
    filling = (
        number,
        as_stored(event.at, dialect),
        event.request_id,
        event.address,
        event.jti,
        event.kid,
        event.token_sha256,
        as_stored(event.expires_at, dialect),
        event.authority_version,
    )
    for place, value in zip(_PLACES, filling, strict=True):
        row[place] = value
    if key is not None:
        row[_MAC] = mac_of(key, event.template.digest, _varying(number, event))
    return tuple(row)


def _varying(number: int, event: TokenEvent) -> str:
    """Return the JSON array of the columns `event_macs.VARYING`."""
    return (
        f'[{quoted(event.address)},"{instant_text(event.at)}",{event.authority_version},'
        f'"{instant_text(event.expires_at)}",{number},{quoted(event.jti)},{quoted(event.kid)},'
        f"{quoted(event.request_id)},{quoted(event.token_sha256)}]"
    )


def _stored(name: str, value: Any, *, is_kept: bool) -> Any:
    kind = events.c[name].type
    if isinstance(kind, CanonicalJson):
        text = canonical_json(value)
    elif isinstance(kind, String) and value is not None:
        text = str(value)  # an enum is its text
    else:
        return value
    return sys.intern(text) if is_kept else text  # thousands of templates have the same roles
