"""The Merkle tree over the audit log (RFC 9162 section 2.1.1). Pure.

Each leaf of the tree is one event. The hash of the leaf covers all columns of the event's row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import reduce
from hashlib import sha256
from typing import Any, Final

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
    """Return the leaf hash of the event in this row."""
    return text_hash(event_text(row))


def event_text(row: Mapping[str, Any]) -> str:
    """Return the event in this row as JSON. The hash of this text is the leaf hash. Instants may already be texts."""
    return json_text({name: row[name] for name in COVERED})


def json_text(value: Any) -> str:
    """Return the value as JSON in the form of `event_text`: sorted names, no spaces, ASCII only."""
    return _ENCODER.encode(value)


def instant_text(at: datetime) -> str:
    """Return the instant as it is in `event_text`."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def text_hash(text: str) -> bytes:
    """Return the leaf hash of an event from its JSON text."""
    return leaf_hash(FORM + text.encode("ascii"))


def _beyond_json(value: Any) -> object:
    """Convert an instant or bytes to a JSON value.

    No event has bytes, but raw SQL can put bytes into any SQLite column.
    """
    if isinstance(value, datetime):
        return instant_text(value)
    return {"octets": bytes(value).hex()}


_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_beyond_json)


def leaf_hash(content: bytes) -> bytes:
    """Return the hash of a leaf with this content.

    Leaves and inner nodes are hashed with different prefixes, so that no inner node can pass as a leaf.
    """
    return sha256(b"\x00" + content).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node from the hashes of its two children."""
    return sha256(b"\x01" + left + right).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A Merkle tree of `size` leaves. `peaks` are the roots of its full subtrees, largest first."""

    size: int = 0
    peaks: tuple[bytes, ...] = ()

    def with_leaves(self, hashes: Iterable[bytes]) -> Tree:
        """Return the tree with these leaves appended."""
        peaks, size = list(self.peaks), self.size
        for each in hashes:
            top, full = each, size
            while full & 1:  # each full subtree of that height becomes the left half of one twice as large
                top = node_hash(peaks.pop(), top)
                full >>= 1
            peaks.append(top)
            size += 1
        return Tree(size=size, peaks=tuple(peaks))

    @property
    def root(self) -> bytes:
        """Return the root hash; for an empty tree, the hash of the empty string."""
        if not self.peaks:
            return sha256().digest()
        return reduce(lambda right, left: node_hash(left, right), reversed(self.peaks))
