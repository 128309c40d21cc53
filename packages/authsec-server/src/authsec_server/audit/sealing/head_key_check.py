"""Check whether the keys that sign heads of the feed and checkpoints match the events about these keys.

No digest covers `feed_keys` and `sealing_keys`, because servers write them without a change of authority. The attack:
raw SQL inserts the row of a stolen feed key again after an operator has replaced the key. Every server publishes the
key, and later signs with it.

The events of sealing keys are never dropped. A feed key from dropped months needs no event, unless exports contain all
dropped events.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final

from authsec_server.audit.model import EventKind
from authsec_server.audit.scratch_database import ScratchCheck
from authsec_server.audit.sealing.scan import Scan, octets_of

MOST: Final = 10  # findings of one table that are listed; further ones are only counted
_LONGEST: Final = 80  # characters of a key's name in a finding
FEED_KEYS: Final = "feed_keys"
SEALING_KEYS: Final = "sealing_keys"
_MADE: Final = {
    EventKind.FEED_KEY_CREATED: FEED_KEYS,
    EventKind.SEAL_KEY_CREATED: SEALING_KEYS,
    EventKind.SEAL_KEY_REPLACED: SEALING_KEYS,
}
_GONE: Final = {EventKind.FEED_KEY_GONE: FEED_KEYS}
_SCRATCH: Final = (
    "CREATE TABLE said (name TEXT, kid BLOB, gone INTEGER, at TEXT, number INTEGER, PRIMARY KEY (name, kid, gone, at))"
    " WITHOUT ROWID",
    "CREATE TABLE kept (name TEXT, kid BLOB, at TEXT)",
)
_DIFFERENCES: Final = (  # one search for each row: raw SQL may insert very many rows and events of one key
    "SELECT kid, at, number FROM (SELECT k.kid, k.at, (SELECT g.number FROM said g"
    " WHERE g.name = k.name AND g.kid = k.kid AND g.gone = 1 ORDER BY g.at LIMIT 1) AS number,"
    " EXISTS (SELECT 1 FROM said m WHERE m.name = k.name AND m.kid = k.kid AND m.gone = 0 AND m.at = k.at) AS is_made"
    " FROM kept k WHERE k.name = ?1)"
    " WHERE at = '' OR number IS NOT NULL OR (at >= ?2 AND NOT is_made) ORDER BY kid"
)


class HeadKeyCheck(ScratchCheck):
    """A comparison of these keys with their events, on one snapshot.

    First call `add` for each event, in any order, and `keep` once. Then call `findings`.
    """

    create = _SCRATCH

    def add(self, number: int, event: Mapping[str, Any]) -> None:
        """Add the event if it says that a key was made or is gone. The event is valid, and may come from an export."""
        kind = event["kind"]
        if (name := _MADE.get(kind) or _GONE.get(kind)) and event["kid"]:
            row = (name, octets_of(event["kid"]), kind in _GONE, event["at"], number)
            self._scratch.execute("INSERT OR IGNORE INTO said VALUES (?, ?, ?, ?, ?)", row)

    def keep(self, scan: Scan) -> None:
        """Read the stored keys. A missing table is not reported here: the schema check reports it."""
        for name in (FEED_KEYS, SEALING_KEYS):
            if scan.columns(name):
                rows = ((name, octets_of(kid), at or "") for kid, at in scan.instants(name, "kid", "created_at"))
                self._scratch.executemany("INSERT INTO kept VALUES (?, ?, ?)", rows)

    def findings(self, cut: datetime | None) -> Iterator[str]:
        """Report each difference in a sentence.

        The events before `cut` were dropped, and no given export contains them.
        """
        since = "" if cut is None else cut.isoformat(timespec="microseconds")
        for name, earliest in ((FEED_KEYS, since), (SEALING_KEYS, "")):
            found = self._scratch.execute(_DIFFERENCES, (name, earliest))
            for kid, at, gone in islice(found, MOST):
                yield f"{name} has the key {_shown(kid)}, {_reason(at, gone)}"
            if more := sum(1 for _ in found):
                yield f"{name} differs from the events in {more:,} more rows."


def _reason(at: str, gone: int | None) -> str:
    if not at:
        return "whose time no server writes."
    if gone is not None:
        return f"but event {gone} says that this key is gone."
    return f"but no event says that this key was made at {at}."


def _shown(kid: bytes) -> str:
    text = kid.decode(errors="backslashreplace")
    return text if text.isprintable() and len(text) <= _LONGEST else repr(text[:_LONGEST])
