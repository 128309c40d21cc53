"""Check whether the last-use times of administrators and admin keys match the events of their sign-ins.

The lists of administrators and admin keys show these times, so that people notice accounts in use.
The time columns are not in a table digest, because servers write them without a change of authority.
The first attack: raw SQL sets a time to NULL, so that a stolen key seems unused.
The second attack: raw SQL inserts a sign-in event with an earlier time, to explain a forged time.

Servers never set a stored time back, even if their clocks go back.
So each stored time must be the time of the latest sign-in event, or up to one minute earlier.
The latest event is the one with the latest time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from authsec_server.audit.model import EventKind
from authsec_server.audit.scratch_database import ScratchCheck
from authsec_server.audit.sealing.checkpoints import shown_time
from authsec_server.audit.sealing.scan import Scan
from authsec_server.principal import PrincipalKind

MOST: Final = 10  # findings that are listed; further ones are only counted
_BEHIND: Final = timedelta(minutes=1)  # the last use of an admin key is written once a minute
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC) + _BEHIND
_LONGEST: Final = 80
_COLUMNS: Final = {
    PrincipalKind.ADMINISTRATOR: ("administrators", "last_sign_in_at"),
    PrincipalKind.ADMIN_KEY: ("admin_keys", "last_used_at"),
}
_SCRATCH: Final = (
    "CREATE TABLE came (kind TEXT, id TEXT, at TEXT, number INTEGER, PRIMARY KEY (kind, id, at)) WITHOUT ROWID",
    "CREATE TABLE kept (kind TEXT, id TEXT, at TEXT)",
)
_LAST: Final = (  # by time: an inserted event may have a higher number and an earlier time
    "SELECT k.kind, k.id, k.at, c.at, c.number FROM kept k JOIN came c ON c.kind = k.kind AND c.id = k.id"
    " AND c.at = (SELECT max(m.at) FROM came m WHERE m.kind = k.kind AND m.id = k.id)"
    " WHERE k.at IS NOT '' ORDER BY k.kind, k.id"
)
_UNEXPLAINED: Final = (
    "SELECT kind, id, at FROM kept k WHERE at >= ? AND at <> '' AND NOT EXISTS"
    " (SELECT 1 FROM came c WHERE c.kind = k.kind AND c.id = k.id AND c.at = k.at) ORDER BY kind, id"
)


class LastUseCheck(ScratchCheck):
    """A comparison of last-use times with sign-in events, on one snapshot.

    First call `add` for each event, in any order, and `keep` once. Then call `findings`.
    """

    create = _SCRATCH

    def add(self, number: int, event: Mapping[str, Any]) -> None:
        """Add the event if it records a sign-in. The event must be valid, and may come from an export."""
        if event["kind"] == EventKind.ADMIN_SIGN_IN and event["principal_kind"] in _COLUMNS:
            row = (event["principal_kind"], event["principal_id"], event["at"], number)
            self._scratch.execute("INSERT OR IGNORE INTO came VALUES (?, ?, ?, ?)", row)

    def keep(self, scan: Scan) -> None:
        """Read the stored last-use times. A missing table is not reported here: the schema check reports it."""
        for kind, (name, column) in _COLUMNS.items():
            if scan.columns(name):
                rows = (
                    (kind, id_, at)
                    for id_, at in scan.instants(name, "id", column)
                    if isinstance(id_, str) and id_.isascii()
                )
                self._scratch.executemany("INSERT INTO kept VALUES (?, ?, ?)", rows)

    def findings(self, cut: datetime | None) -> Iterator[str]:
        """Report each difference in a sentence.

        A time before `cut` needs no matching event: events before `cut` were dropped, and no given export has them.
        """
        more = 0
        for at, finding in enumerate(self._all("" if cut is None else _iso(cut))):
            if at < MOST:
                yield finding
            else:
                more += 1
        if more:
            yield f"{more:,} more last-use times differ from the events."

    def _all(self, since: str) -> Iterator[str]:
        for kind, id_ in self._scratch.execute("SELECT kind, id FROM kept WHERE at = '' ORDER BY kind, id"):
            yield f"{_cell(kind, id_)} is not a time that a server writes."
        for kind, id_, at, last, number in self._scratch.execute(_LAST):
            if at is None or at < _iso(max(datetime.fromisoformat(last), _EARLIEST) - _BEHIND):
                said = "empty" if at is None else _shown(at)
                yield f"Event {number} is a sign-in at {_shown(last)}, and {_cell(kind, id_)} is {said}."
        for kind, id_, at in self._scratch.execute(_UNEXPLAINED, (since,)):
            yield f"{_cell(kind, id_)} is {_shown(at)}, but no event is a sign-in at that time."


def _cell(kind: str, id_: str) -> str:
    name, column = _COLUMNS[PrincipalKind(kind)]
    shown = id_ if id_.isprintable() and len(id_) <= _LONGEST else repr(id_[:_LONGEST])
    return f"{name}.{column} of {shown}"


def _shown(at: str) -> str:
    return shown_time(datetime.fromisoformat(at))


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")
