"""The lines of a sealed export, one for each leaf and one for each checkpoint: how they are written and read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from authsec_server.audit.sealing import store

_LEAF: Final = {"event", "hash", "number", "place"}


class NotAnExport(Exception):
    """The first line is not a line of an export: the file is something else."""


def leaf_line(*, event: Mapping[str, Any] | None, hash_: bytes, number: int, place: int) -> str:
    """Return the line of a leaf. `event` is None if only the leaf remains."""
    return _line({"event": event, "hash": hash_.hex(), "number": number, "place": place})


def checkpoint_line(signed: str) -> str:
    """Return the line of a checkpoint."""
    return _line({"checkpoint": signed})


def read_line(line: str) -> Mapping[str, Any] | None:
    """Parse the line; None if an export cannot contain it in exactly this form.

    The attack: a line that another parser reads differently.
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
        return None  # no line that was exported: whoever asked says so


def exact(content: Mapping[str, Any]) -> str:
    """Return the JSON in the one form that is hashed and exported."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def _line(content: Mapping[str, Any]) -> str:
    return exact(content) + "\n"
