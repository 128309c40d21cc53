"""Write and read the lines of a sealed export: one line for each leaf and one for each checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from authsec_server.audit.sealing import store

_LEAF: Final = {"event", "hash", "number", "place"}


class NotAnExport(Exception):
    """The file is not an export: its first line does not have the form of an export's line."""


def leaf_line(*, event: Mapping[str, Any] | None, hash_: bytes, number: int, place: int) -> str:
    """Return the export's line for a leaf. `event` is None if the event was dropped and only its leaf remains."""
    return _line({"event": event, "hash": hash_.hex(), "number": number, "place": place})


def checkpoint_line(signed: str) -> str:
    """Return the export's line for a checkpoint."""
    return _line({"checkpoint": signed})


def read_line(line: str) -> Mapping[str, Any] | None:
    """Parse a line of an export; None if the line is not exactly in the form of an export.

    The attack: somebody writes a line that another JSON parser reads differently.
    """
    try:
        read = json.loads(line)
        if not isinstance(read, dict) or _line(read) != line:
            return None
        if read.keys() == {"checkpoint"}:
            return read if isinstance(read["checkpoint"], str) else None
        if read.keys() != _LEAF or not isinstance(read["event"], dict | None):
            return None
        numbers = all(type(read[name]) is int and 0 <= read[name] < store.MAX_SIZE for name in ("number", "place"))
        return read if numbers and len(bytes.fromhex(read["hash"])) == 32 else None
    except (ValueError, TypeError, RecursionError):
        return None  # not a line of an export: the caller reports this


def exact(content: Mapping[str, Any]) -> str:
    """Return the content as JSON, in the only form that is hashed and exported."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def _line(content: Mapping[str, Any]) -> str:
    return exact(content) + "\n"
