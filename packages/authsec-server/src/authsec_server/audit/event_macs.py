"""The MAC of an event: shows that a server or a command with the master key wrote the row. Pure.

The attack: raw SQL inserts events of the usual form, and the sealer seals them. Then very many planted events could
displace genuine ones wherever a reader has a limit. So the sealer seals only events with a valid MAC (HMAC-SHA-256, RFC
2104). The MAC covers all columns that a leaf covers, also the number, so no row can be used for another number.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any, Final

from authsec_server.audit.merkle_tree import event_text

_FORM: Final = b"authsec event mac 1\n"


def event_mac(key: bytes, row: Mapping[str, Any]) -> bytes:
    """Return the MAC of the event in this row. Instants may already be texts."""
    return text_mac(key, event_text(row))


def text_mac(key: bytes, text: str) -> bytes:
    """Return the MAC of an event from its JSON text (`merkle_tree.event_text`)."""
    return hmac.digest(key, _FORM + text.encode("ascii"), "sha256")


def has_mac(key: bytes, row: Mapping[str, Any]) -> bool:
    """Whether the MAC in the row is the event's."""
    return is_mac(row["mac"], event_mac(key, row))


def is_mac(stored: Any, mac: bytes) -> bool:
    """Whether the stored value is this MAC. A SQLite file can have any type in the column."""
    return isinstance(stored, bytes | memoryview) and hmac.compare_digest(bytes(stored), mac)
