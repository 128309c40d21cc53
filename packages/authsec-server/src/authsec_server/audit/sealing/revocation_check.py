"""Check whether the table of revocations matches the events.

The history of a token shows the time of its revocation from a table that no seal covers.
The attack: raw SQL changes the time or deletes the row, and every event still matches its seal.

Servers delete rows after some days, oldest first. The day counts on which a checkpoint had reached the row's version,
not only the row's time. The attack: the clock of a server is nine days behind as it disables an agent. Its row looks
old at once, so raw SQL could delete the row.
Servers never delete the newest row, nor the last row of a revoked signing key.

Normally each row needs a matching event. After a drop, a row needs no event under two conditions:

- The event may be among dropped events that no given export contains. No remaining event has the row's version.
- The row revokes no token of an event that still exists and that is newer than all dropped events. A server whose clock
  is ahead dates events into the next month, so a drop leaves older events: a dropped event may end their tokens.

Rows are numbered from 1 without a gap, and no two rows share an event.
Otherwise the revocation feed would skip the rows with numbers below 1.
With many copies of one row, a reader of the newest rows would see only the copies.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from authsec_server.audit.model import ALREADY, DIGESTS, EventKind
from authsec_server.audit.scratch_database import ScratchCheck
from authsec_server.audit.sealing.restores import Restore
from authsec_server.audit.sealing.revoked_subjects import act_of, revoked_by
from authsec_server.audit.sealing.scan import REVOCATIONS, Scan
from authsec_server.audit.sealing.version_order import SCRATCH, VersionOrder
from authsec_server.db.versions import MAX_VERSION
from authsec_server.settings import MAX_TOKEN_LIFETIME_CAP

MOST: Final = 10  # findings that are listed; further ones are only counted
KEPT_FOR: Final = timedelta(seconds=MAX_TOKEN_LIFETIME_CAP)  # servers keep rows for a day more: clocks differ
_SCRATCH: Final = (
    # `act` is a digest that is the same for the events of one act that names very many delegations.
    "CREATE TABLE said (number INTEGER, kind TEXT, id TEXT, version INTEGER, at TEXT, sealed INTEGER, since TEXT,"
    " act BLOB)",
    "CREATE TABLE signed (kid TEXT PRIMARY KEY, highest INTEGER)",  # the highest number of a token of the key
    "CREATE TABLE changed (version INTEGER PRIMARY KEY)",  # authority versions of changes with remaining events
    "CREATE TABLE revoked_key (kid TEXT PRIMARY KEY)",  # as the table of signing keys says
    # For each key, the first revocation that an event records, and whether the key was revoked already.
    "CREATE TABLE ended_key (kid TEXT, sealed INTEGER, version INTEGER, at TEXT, again INTEGER,"
    " since TEXT, PRIMARY KEY (kid, sealed))",
    "CREATE TABLE kept (sequence INTEGER, kind TEXT, id TEXT, version INTEGER, at TEXT)",
    "CREATE TABLE odd (sequence TEXT)",  # rows that no server writes
    SCRATCH,
    # All compared columns: otherwise the time of a check grows with the square of the number of inserted rows.
    "CREATE INDEX said_all ON said (version, kind, at, id, sealed, since)",
    "CREATE INDEX kept_all ON kept (version, kind, at, id)",
    "CREATE INDEX kept_of ON kept (kind, id)",
)
_SAME: Final = "k.version = s.version AND k.kind = s.kind AND k.at = s.at AND k.id = s.id"
_IS_KEPT: Final = (  # servers delete old rows, but never the newest row
    "(s.at >= ? OR s.version > ? OR s.version > (SELECT min(version) FROM kept)"
    " OR (NOT EXISTS (SELECT 1 FROM kept) AND s.version = (SELECT max(version) FROM said WHERE sealed)))"
)
_MISSING: Final = (
    f"SELECT s.number, s.kind, s.id FROM said s WHERE {_IS_KEPT}"  # noqa: S608 - constants
    f" AND NOT EXISTS (SELECT 1 FROM kept k WHERE {_SAME}) ORDER BY s.number"
)
_WITHOUT_ROW: Final = (  # revoked keys that `_MISSING` does not report
    "SELECT kid FROM (SELECT kid FROM ended_key UNION SELECT kid FROM revoked_key) e"  # noqa: S608 - constants
    " WHERE NOT EXISTS (SELECT 1 FROM kept k WHERE k.kind = 'key' AND k.id = e.kid)"
    f" AND NOT EXISTS (SELECT 1 FROM ended_key s WHERE s.kid = e.kid AND {_IS_KEPT}) ORDER BY kid"
)
_ADDED: Final = (
    "SELECT k.sequence, k.kind, k.id, k.version, k.at,"  # noqa: S608 - constants
    f" EXISTS (SELECT 1 FROM said s WHERE {_SAME}) FROM kept k"
    f" WHERE NOT EXISTS (SELECT 1 FROM said s WHERE {_SAME} AND s.sealed)"
    f" AND NOT EXISTS (SELECT 1 FROM said s WHERE {_SAME} AND s.sealed = 0 AND s.since >= ?) ORDER BY k.sequence"
)
_COPIED: Final = (  # each row needs its own act; `_ADDED` reports rows without any event
    "SELECT sequence, kind, id, copies, said, believed FROM (SELECT min(k.sequence) AS sequence, k.kind, k.id,"  # noqa: S608 - constants
    f" count(*) AS copies, (SELECT count(DISTINCT act) FROM said s WHERE {_SAME}) AS said,"
    f" (SELECT count(DISTINCT act) FROM said s WHERE {_SAME} AND (s.sealed OR s.since >= ?)) AS believed"
    " FROM kept k GROUP BY k.version, k.kind, k.at, k.id HAVING copies > 1)"
    " WHERE believed BETWEEN 1 AND copies - 1 ORDER BY sequence"
)
_KEY: Final = "key"
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC) + KEPT_FOR


class RevocationCheck(ScratchCheck):
    """A comparison of the table of revocations with the events, on one snapshot.

    First call `add` for each event, in any order. Then call `findings`.
    """

    create = _SCRATCH

    def __init__(self, scratch: sqlite3.Connection) -> None:
        super().__init__(scratch)
        self._order = VersionOrder(scratch)
        self._last_signed: tuple[str | None, int] = (None, 0)  # the `kid` of the last tokens, and their highest number
        self._last_dropped = (0, 0)  # the highest authority version and number that a dropped event can have
        self._restored: set[int] = set()  # the authority versions of recorded restores

    def add(self, number: int, event: Mapping[str, Any], is_sealed: Callable[[int], bool], waits_since: str) -> None:
        """Add the revocations that a valid event records. The event must still be in the database.

        For `waits_since`, see `NameCheck.add`.
        """
        version = event["authority_version"]
        is_token = event["kind"] == EventKind.TOKEN_ISSUED
        if is_token:
            self._add_signed(event["kid"], number)
        ends_something = self._add_said(number, event, sealed=is_sealed(number), since=waits_since)
        if ends_something or (DIGESTS in event["detail"] and event["kind"] != EventKind.EVENTS_DROPPED):
            self._scratch.execute("INSERT OR IGNORE INTO changed VALUES (?)", (version,))
            self._order.add(number, version, is_token=False)
        elif is_token:
            self._order.add(number, version, is_token=True)

    def _add_signed(self, kid: str | None, number: int) -> None:
        last, highest = self._last_signed
        if last == kid:
            if number > highest:
                self._last_signed = kid, number
            return
        self._keep_signed()
        self._last_signed = kid, number

    def _keep_signed(self) -> None:
        kid, number = self._last_signed
        if kid is not None:
            self._scratch.execute(
                "INSERT INTO signed VALUES (?, ?) ON CONFLICT (kid) DO UPDATE"
                " SET highest = max(highest, excluded.highest)",
                (_plain(kid), number),
            )

    def add_dropped(self, event: Mapping[str, Any]) -> None:
        """Add the revocations that a dropped event records. The event comes from an export and matches its seal."""
        self._add_said(event["id"], event, sealed=True, since=event["at"])

    def _add_said(self, number: int, event: Mapping[str, Any], *, sealed: bool, since: str) -> bool:
        said = list(revoked_by(event))
        version, at = event["authority_version"], event["at"]
        again = event["detail"].get(ALREADY) is True
        act = act_of(event) if said else b""
        for kind, id_ in said:
            self._keep_said(number, kind, id_, version, at, sealed=sealed, since=since, again=again, act=act)
        return bool(said)

    def keep(self, scan: Scan) -> None:
        """Read the table of revocations and the revoked signing keys.

        A missing table is not reported here: the schema check reports it.
        """
        self._keep_signed()
        if scan.columns("signing_keys"):
            self._scratch.executemany(
                "INSERT OR IGNORE INTO revoked_key VALUES (?)",
                ((_plain(kid),) for kid, state in scan.rows("signing_keys", "kid", "state") if state == "revoked"),
            )
        if scan.columns(REVOCATIONS.name):
            for sequence, kind, id_, version, at in scan.ends():
                is_comparable = isinstance(sequence, int) and isinstance(version, int) and at is not None
                if is_comparable:
                    row = (sequence, _plain(kind), _plain(id_), version, at)
                    self._scratch.execute("INSERT INTO kept VALUES (?, ?, ?, ?, ?)", row)
                if not (is_comparable and _is_number(sequence) and _is_number(version)):
                    self._scratch.execute("INSERT INTO odd VALUES (?)", (_shown(sequence),))

    def add_restores(self, restores: Iterable[Restore]) -> None:
        """Add the signing keys that these restore records revoke. The backup did not have these keys.

        The restore also revokes the keys of the backup. Events of the same change say so.
        """
        for restore in restores:
            self._restored.add(restore.authority_version)
            at = _iso(restore.at)
            ended = [(_KEY, kid) for kid in restore.revoked_keys]
            ended += [
                ("client", client) for client in restore.disabled_clients if not self._is_said(client, restore, at)
            ]
            for kind, id_ in ended:
                self._keep_said(None, kind, id_, restore.authority_version, at, sealed=True, since=at)

    def _is_said(self, client: str, restore: Restore, at: str) -> bool:
        """Whether an event says that the restore disabled the client. A second source would explain a copied row."""
        its = (restore.authority_version, at, _plain(client))
        said = "SELECT 1 FROM said WHERE version = ? AND kind = 'client' AND at = ? AND id = ?"
        return self._scratch.execute(said, its).fetchone() is not None

    def _keep_said(
        self,
        number: int | None,
        kind: str,
        id_: Any,
        version: int,
        at: str,
        *,
        sealed: bool,
        since: str,
        again: bool = False,
        act: bytes = b"",
    ) -> None:
        row = (number, kind, _plain(id_), version, at, sealed, since, act)
        self._scratch.execute("INSERT INTO said VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        if kind == _KEY:
            self._scratch.execute(
                "INSERT INTO ended_key VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (kid, sealed) DO UPDATE SET"
                " version = excluded.version, at = excluded.at, again = excluded.again, since = excluded.since"
                " WHERE excluded.version < version",
                (_plain(id_), sealed, version, at, again, since),
            )

    def add_drops(self, dropped_until: int, last_dropped: int) -> None:
        """Note that events up to this authority version and up to this number may have been dropped."""
        self._last_dropped = dropped_until, last_dropped

    def findings(self, cut: datetime | None, now: datetime | None, deletable: int | None) -> Iterator[str]:
        """Report the differences between table and events as sentences.

        Without `now`, a missing old row is reported in two cases only: it is of a signing key, or the table is empty.
        Servers delete no row above the authority version `deletable`, whatever the row's time; None if that is unknown.
        Events before `cut` were dropped, and the given exports do not contain all of them.
        If `cut` is None, all events are known.
        """
        yield from self._order.findings()
        more = 0
        for at, finding in enumerate(self._all(cut, now, deletable)):
            if at < MOST:
                yield finding
            else:
                more += 1
        if more:
            yield f"revocations differs from the events in {more:,} more rows."

    def _all(self, cut: datetime | None, now: datetime | None, deletable: int | None) -> Iterator[str]:
        execute = self._scratch.execute
        for (sequence,) in execute("SELECT sequence FROM odd"):
            yield f"The row {sequence} of revocations has a form that a server does not write."
        kept_since = "9999" if now is None else _iso(now - KEPT_FOR)
        kept = kept_since, MAX_VERSION if now is None or deletable is None else deletable
        for number, kind, id_ in execute(_MISSING, kept):
            what = "The record of a restore" if number is None else f"Event {number}"
            yield f"{what} revoked the tokens of the {kind} {_shown(id_)}, but revocations has no such row."
        for (kid,) in execute(_WITHOUT_ROW, kept):
            yield (
                f"The signing key {_shown(kid)} was revoked, but revocations has no row for the key. Servers keep a "
                "row for each revoked key."
            )
        for sequence, kind, id_, is_said in self._added(cut, ""):
            if not is_said:
                yield (
                    f"The row {sequence} of revocations revoked the tokens of the {kind} {_shown(id_)}, but no event "
                    "says so."
                )
        for sequence, kind, id_, copies, said, _ in execute(_COPIED, ("",)):
            yield (
                f"revocations has {copies:,} rows like row {sequence}, which revoked the tokens of the {kind} "
                f"{_shown(id_)}, but the events explain only {said:,} of them."
            )
        before, newest = None, 0
        for sequence, version in execute("SELECT sequence, version FROM kept ORDER BY sequence"):
            if before is not None and sequence != before + 1:
                yield f"The row {sequence} of revocations does not follow the previous row, {before}."
            if version < newest:
                yield f"The row {sequence} of revocations has a lower authority version than an earlier row."
            before, newest = sequence, max(newest, version)

    def doubts(self, cut: datetime | None, sealed_before: str) -> Iterator[str]:
        """Report rows that only an event without a seal explains, if the event is older than `sealed_before`.

        A running server would have sealed the event by now.
        The attack: while no server runs, raw SQL inserts a row and an event that explains the row.
        """
        for sequence, kind, id_, is_said in self._added(cut, sealed_before):
            if is_said:
                yield (
                    f"Only an event without a seal says that the row {sequence} of revocations revoked the tokens of "
                    f"the {kind} {_shown(id_)}."
                )
        for sequence, kind, id_, copies, said, _ in self._scratch.execute(_COPIED, (sealed_before,)):
            if copies <= said:
                yield (
                    f"Events without a seal explain a copy of the row {sequence} of revocations, which ended the tokens"
                    f" of the {kind} {_shown(id_)}."
                )

    def _added(self, cut: datetime | None, sealed_before: str) -> Iterator[tuple[int, str, str, bool]]:
        """Yield each row that neither a sealed event nor a new event explains.

        The last value says whether an older event without a seal explains the row. An event is new if its time is not
        before `sealed_before`.
        """
        newest, before = self._newest_dropped(), "" if cut is None else _iso(cut)
        for sequence, kind, id_, version, at, is_said in self._scratch.execute(_ADDED, (sealed_before,)):
            # The event of the row's change says what the change revoked. A restore has a further event for each key: a
            # drop removes these events, and keeps the event of the restore.
            is_left = self._is_left(version) and not (kind == _KEY and version in self._restored)
            may_be_dropped = cut is not None and not is_left and (kind != _KEY or self._may_be_revoked(id_))
            if may_be_dropped and at < before and version <= newest:
                continue
            if kind != _KEY or is_left:
                yield sequence, kind, id_, bool(is_said)
            elif not self._says_again(id_, version, at, sealed_before) and not (
                may_be_dropped and self._is_before_events(id_, version)
            ):
                yield sequence, kind, id_, bool(is_said) or self._says_again(id_, version, at, "")

    def _newest_dropped(self) -> int:
        """Return the highest authority version that a dropped event can have.

        The numbers of remaining events limit the version, not their times: clocks differ (see `version_order`).
        """
        last_version, last_number = self._last_dropped
        newer = "SELECT min(version) FROM numbers WHERE version >= ? OR highest > ?"
        (version,) = self._scratch.execute(newer, (last_version, last_number)).fetchone()
        return MAX_VERSION if version is None else int(version)

    def _is_left(self, version: int) -> bool:
        """Whether the event of the change with this version still exists. Each change has its own version."""
        return self._scratch.execute("SELECT 1 FROM changed WHERE version = ?", (version,)).fetchone() is not None

    def _says_again(self, kid: str, version: int, at: str, sealed_before: str) -> bool:
        """Whether the row may repeat an earlier revocation of the same signing key.

        A server repeats the row of a revoked key after all tokens of the key have expired.
        """
        latest = _iso(max(datetime.fromisoformat(at), _EARLIEST) - KEPT_FOR)
        first = "SELECT 1 FROM ended_key WHERE kid = ? AND version < ? AND at <= ? AND (sealed OR since >= ?)"
        return self._scratch.execute(first, (kid, version, latest, sealed_before)).fetchone() is not None

    def _may_be_revoked(self, kid: str) -> bool:
        """Whether the event that revoked the key may be among the dropped events.

        Possible only if the key signed no token with a higher number than all dropped events, and if the table of
        signing keys calls the key revoked: servers never delete a key there, and the table has a digest. The attack:
        raw SQL inserts the row of a key that never existed. As the newest row, it hides that the others were deleted.
        """
        revoked = (
            "SELECT 1 FROM revoked_key r WHERE r.kid = ?"
            " AND NOT EXISTS (SELECT 1 FROM signed s WHERE s.kid = r.kid AND s.highest > ?)"
        )
        return self._scratch.execute(revoked, (kid, self._last_dropped[1])).fetchone() is not None

    def _is_before_events(self, kid: str, version: int) -> bool:
        """Whether each remaining revocation of the key comes after the row and says that the key was revoked before."""
        others = "SELECT 1 FROM ended_key WHERE kid = ? AND (version <= ? OR NOT again)"
        return self._scratch.execute(others, (kid, version)).fetchone() is None


def _is_number(value: int) -> bool:
    """Whether the value can be the number or the version of a row. Readers of the feed accept no other value."""
    return 1 <= value <= MAX_VERSION


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")


def _plain(value: Any) -> str | None:
    """Return the text in a form that SQLite accepts.

    None stays None. A value of another type becomes a text that equals no stored text.
    """
    if value is None or (isinstance(value, str) and value.isascii()):
        return value
    return json.dumps(value) if isinstance(value, str) else f"\0{value!r}"


def _shown(id_: Any) -> str:
    shown = str(id_)
    return shown if shown.isascii() and shown.isprintable() and len(shown) <= 80 else json.dumps(shown[:80])
