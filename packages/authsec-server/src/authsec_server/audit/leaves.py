"""The leaf of an event: the hash over every column of its row. Pure.

The hashed text is the line `authsec event 1` and the JSON object of all columns: names sorted, no spaces, everything
beyond ASCII escaped, instants in UTC to the microsecond. The form has a number, since a later column is not in the
seals that are there. A column has one spelling in the database (`db.schema`), so the leaf covers the stored bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from authsec_server.audit.tree import leaf_hash

FORM: Final = b"authsec event 1\n"
COVERED: Final = (
    *("id", "at", "kind", "request_id", "principal_kind", "principal_id", "principal_name", "principal_role"),
    *(
        "client_id",
        "client_name",
        "delegations",
        "roles",
        "subject_id",
        "subject_name",
        "decision",
        "reason",
        "address",
    ),
    *("authority_version", "jti", "kid", "token_sha256", "expires_at", "detail", "occurrences", "count_key"),
)


def event_hash(row: Mapping[str, Any]) -> bytes:
    """The leaf of the event in this row."""
    return text_hash(event_text(row))


def event_text(row: Mapping[str, Any]) -> str:
    """The event in this row as it is hashed: JSON. An instant may be the text already that it becomes here."""
    return _ENCODER.encode({name: row[name] for name in COVERED})


def text_hash(text: str) -> bytes:
    """The leaf of the event with this text."""
    return leaf_hash(FORM + text.encode("ascii"))


def _beyond_json(value: Any) -> object:
    """An instant; or octets, which no event has: SQLite lets whoever writes by hand put them into any column."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return {"octets": bytes(value).hex()}


_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_beyond_json)
