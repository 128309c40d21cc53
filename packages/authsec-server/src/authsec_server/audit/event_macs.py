"""The MAC of an event: shows that a server or a command with the master key wrote the row. Pure.

The attack: raw SQL inserts events of the usual form, and the sealer seals them. Then very many planted events could
displace genuine ones wherever a reader has a limit. So the sealer seals only events with a valid MAC.

The MAC is HMAC-SHA-256 (RFC 2104) over three parts: `authsec event mac 1\\n`; the SHA-256 of a JSON object with the
columns that an agent's tokens share; and a JSON array of the other columns, in the order of `VARYING`. Together these
are all columns that a leaf covers, so no row can be used under another number or at another time. The SHA-256 is
computed once for thousands of tokens.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from authsec_server.audit.merkle_tree import COVERED, json_text

VARYING: Final = (
    "address",
    "at",
    "authority_version",
    "expires_at",
    "id",
    "jti",
    "kid",
    "request_id",
    "token_sha256",
)
_SHARED: Final = tuple(sorted(set(COVERED) - set(VARYING)))
MAC_BYTES: Final = 32
_FORM: Final = b"authsec event mac 1\n"


def event_mac(key: bytes, row: Mapping[str, Any]) -> bytes:
    """Return the MAC of the event in this row. Instants may already be texts."""
    return mac_of(key, shared_digest(row), json_text([row[name] for name in VARYING]))


def shared_digest(row: Mapping[str, Any]) -> bytes:
    """Return the SHA-256 of the columns that are not in `VARYING`. The JSON columns must be parsed already."""
    return sha256(json_text({name: row[name] for name in _SHARED}).encode("ascii")).digest()


def mac_of(key: bytes, digest: bytes, varying: str) -> bytes:
    """Return the MAC from the result of `shared_digest` and the JSON array of the other columns."""
    return hmac.digest(key, _FORM + digest + varying.encode("ascii"), "sha256")


def is_mac(stored: Any, mac: bytes) -> bool:
    """Whether the stored value is this MAC. A SQLite file can have any type in the column."""
    return isinstance(stored, bytes | memoryview) and hmac.compare_digest(bytes(stored), mac)


def has_mac(key: bytes, row: Mapping[str, Any]) -> bool:
    """Whether the row has the MAC of its event."""
    return is_mac(row["mac"], event_mac(key, row))
