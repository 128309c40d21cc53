"""The lines of a sealed export: one for each leaf, one for each head; how they are written, and read again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from authsec_server.audit.sealing import store

_LEAF: Final = {"event", "hash", "number", "place"}


class NotAnExport(Exception):
    """The first line is none of an export: the file is something else."""


def leaf_line(*, event: Mapping[str, Any] | None, hash_: bytes, number: int, place: int) -> str:
    """The line of a leaf; `event` is None where only the leaf is left."""
    return _line({"event": event, "hash": hash_.hex(), "number": number, "place": place})


def head_line(signed: str) -> str:
    """The line of a head."""
    return _line({"head": signed})


def read_line(line: str) -> Mapping[str, Any] | None:
    """What the line says; None for one that no export has: another parser might read it otherwise."""
    try:
        read = json.loads(line)
        if not isinstance(read, dict) or _line(read) != line:
            return None
        if read.keys() == {"head"}:
            return read if isinstance(read["head"], str) else None
        if read.keys() != _LEAF or not isinstance(read["event"], dict | None):
            return None
        numbers = all(type(read[name]) is int and 0 <= read[name] < store.MAX_SIZE for name in ("number", "place"))
        return read if numbers and len(bytes.fromhex(read["hash"])) == 32 else None
    except (ValueError, TypeError, RecursionError):
        return None  # no line that was exported: whoever asked says so


def exact(content: Mapping[str, Any]) -> str:
    """JSON in the one form that is hashed and exported."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def _line(content: Mapping[str, Any]) -> str:
    return exact(content) + "\n"
