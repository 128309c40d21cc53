"""Shorten the detail of an event that would exceed the length limit of events. Pure.

Otherwise a valid change could record an event that is too long for readers and for the sealer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from itertools import islice
from typing import Any, Final

from authsec_server.audit.event_shape import MAX_LISTED
from authsec_server.audit.model import DIGESTS, SHORTENED
from authsec_server.db.schema import LONGEST_JSON, canonical_json
from authsec_server.failures import Conflict

# Characters of JSON. The rest of the limit is for the digests and for the member `shortened`.
LONGEST_DETAIL: Final = LONGEST_JSON - 2**14
_WHOLE: Final = frozenset({"record", "ended", DIGESTS})  # never cut: `verify` needs the complete values
_OF_AN_EDIT: Final = ("before", "after")


def shortened(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Return the detail with its longest members cut, so that the event fits into the length limit.

    A list or an object keeps its first entries, and a text keeps its first characters. Each member of `before` and
    `after` is cut separately. The member `shortened` contains, for each cut value, the original length and the SHA-256
    (hex) of the original canonical JSON.

    Raises `Conflict` if a member that must not be cut is too long.
    """
    whole = canonical_json(detail)
    if len(whole) <= LONGEST_DETAIL and not any(_has_many(value) for _, value in _members(detail)):
        return dict(detail)
    lengths = {path: len(canonical_json(value)) for path, value in _members(detail)}
    fixed = len(whole) - sum(lengths.values())  # names, and the members that are never cut
    longest = _share(lengths.values(), LONGEST_DETAIL - fixed)
    cut: dict[tuple[str, ...], Any] = {}
    for path, value in _members(detail):
        if lengths[path] > longest or _has_many(value):
            cut[path] = _cut(value, longest)
    result = _with(detail, cut)
    result[SHORTENED] = {".".join(path): _whole_of(value) for path, value in _members(detail) if path in cut}
    if len(canonical_json(result)) > LONGEST_JSON - 2**13:
        raise Conflict("The event of this change would be too long for the audit log.", "Make several smaller changes.")
    return result


def _members(detail: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and the value of each member that may be cut."""
    for name, value in detail.items():
        if name in _OF_AN_EDIT and isinstance(value, Mapping):
            yield from (((name, field), each) for field, each in value.items())
        elif name not in _WHOLE:
            yield (name,), value


def _with(detail: Mapping[str, Any], values: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    result = {name: dict(value) if name in _OF_AN_EDIT else value for name, value in detail.items()}
    for (*outer, name), value in values.items():
        (result[outer[0]] if outer else result)[name] = value
    return result


def _share(lengths: Iterable[int], room: int) -> int:
    """Return the maximum length for each value, so that all values together fit into `room`."""
    remaining = sorted(lengths)
    while remaining and remaining[0] * len(remaining) <= room:
        room -= remaining.pop(0)
    return room // len(remaining) if remaining else LONGEST_JSON


def _has_many(value: Any) -> bool:
    return isinstance(value, list | tuple | Mapping) and len(value) > MAX_LISTED


def _cut(value: Any, longest: int) -> Any:
    """Return as many of the first entries or characters as fit into `longest` characters of canonical JSON."""
    if isinstance(value, str):
        return value[: _fitting((canonical_json(each) for each in value), longest - 2, extra=-2)]
    if isinstance(value, Mapping):
        names = sorted(value)[:MAX_LISTED]
        pairs = (f"{canonical_json(name)}:{canonical_json(value[name])}" for name in names)
        return {name: value[name] for name in names[: _fitting(pairs, longest - 2, extra=1)]}
    if isinstance(value, list | tuple):
        entries = (canonical_json(each) for each in islice(value, MAX_LISTED))
        return list(value[: _fitting(entries, longest - 2, extra=1)])
    return value


def _fitting(texts: Iterable[str], room: int, *, extra: int) -> int:
    """Return how many of the first texts fit into `room`. Each text needs `extra` more characters than its length."""
    fits = 0
    for text in texts:
        room -= len(text) + extra
        if room < 0:
            break
        fits += 1
    return fits


def _whole_of(value: Any) -> dict[str, Any]:
    return {"length": len(value), "sha256": sha256(canonical_json(value).encode()).hexdigest()}
