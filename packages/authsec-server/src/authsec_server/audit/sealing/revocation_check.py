"""Whether the table of revocations has the endings that the events say.

The attack: the story of a token says when it was revoked, and reads that in a table that no seal covers. Somebody who
writes to the database moves the time or deletes the row, and every event is still as it was sealed.

Servers forget rows after some days, the oldest first. A row from before the last drop is not compared.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from typing import Any, Final, Self

from sqlalchemy import Connection, inspect

from authsec_server.audit.model import LISTING_ENDED, EventKind
from authsec_server.audit.scratch_database import scratch_database
from authsec_server.audit.sealing.scan import REVOCATIONS, Scan
from authsec_server.settings import MAX_TOKEN_LIFETIME_CAP

MOST: Final = 10  # findings that are told one by one
KEPT_FOR: Final = timedelta(seconds=MAX_TOKEN_LIFETIME_CAP)  # servers keep rows for an hour more
_SCRATCH: Final = (
    "CREATE TABLE said (number INTEGER, kind TEXT, id TEXT, version INTEGER, at TEXT, is_end INTEGER, sealed INTEGER)",
    "CREATE TABLE signed (kid TEXT PRIMARY KEY, at TEXT)",
    "CREATE TABLE kept (sequence INTEGER, kind TEXT, id TEXT, version INTEGER, at TEXT)",
    "CREATE INDEX said_version ON said (version, kind)",
    "CREATE INDEX kept_version ON kept (version, kind)",
)
_SAME: Final = "k.version = s.version AND k.kind = s.kind AND k.at = s.at AND (s.id IS NULL OR k.id = s.id)"
_MISSING: Final = (
    "SELECT s.number, s.kind, s.id FROM said s WHERE s.is_end"  # noqa: S608 - constants
    " AND (s.at >= ? OR s.version > (SELECT min(version) FROM kept))"
    f" AND NOT EXISTS (SELECT 1 FROM kept k WHERE {_SAME}) ORDER BY s.number"
)
_ADDED: Final = (
    "SELECT k.sequence, k.kind, k.id, k.version FROM kept k WHERE k.at >= ?"  # noqa: S608 - constants
    f" AND NOT EXISTS (SELECT 1 FROM said s WHERE {_SAME} AND (s.sealed OR s.at >= ?)) ORDER BY k.sequence"
)
_CLIENT_ENDS: Final = {EventKind.CLIENT_DISABLED, EventKind.CLIENT_TOKENS_REVOKED, EventKind.CLIENT_DELETED}
_DELEGATION_ENDS: Final = {EventKind.DELEGATION_DISABLED, EventKind.DELEGATION_REVOKED}
_SOURCE_ENDS: Final = {EventKind.SOURCE_DISABLED, EventKind.SOURCE_DELETED}
_KEY: Final = "key"


class RevocationCheck:
    """One check, on one snapshot. First `add` each event, in any order; then ask for the `findings`."""

    def __init__(self, connection: Connection, scratch: sqlite3.Connection) -> None:
        self._connection = connection
        self._scratch = scratch
        self._last = ("", "")  # key and day of the last token

    @classmethod
    @contextmanager
    def opened(cls, connection: Connection) -> Iterator[Self]:
        """One for as long as this is open. Raises `sqlite3.Error` where the temporary folder is full."""
        with closing(scratch_database(*_SCRATCH)) as scratch:
            yield cls(connection, scratch)

    def add(self, number: int, event: Mapping[str, Any], is_sealed: Callable[[int], bool]) -> None:
        """Take in what the row of a valid event says of endings."""
        if event["kind"] == EventKind.TOKEN_ISSUED and self._last != (event["kid"], event["at"][:10]):
            self._last = (event["kid"], event["at"][:10])
            self._scratch.execute(
                "INSERT INTO signed VALUES (?, ?) ON CONFLICT (kid) DO UPDATE SET at = max(at, excluded.at)",
                (_plain(event["kid"]), event["at"][:10]),
            )
        if event["authority_version"] is None:
            return
        for kind, id_, is_end in _said(event):
            row = (number, kind, _plain(id_), event["authority_version"], event["at"], is_end, is_sealed(number))
            self._scratch.execute("INSERT INTO said VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def keep(self, scan: Scan) -> None:
        """Read the table. One that is missing is a finding of the schema."""
        if inspect(self._connection).has_table(REVOCATIONS.name):
            self._scratch.executemany(
                "INSERT INTO kept VALUES (?, ?, ?, ?, ?)",
                (
                    (sequence, _plain(kind), _plain(id_), version, at)
                    for sequence, kind, id_, version, at in scan.ends()
                ),
            )

    def findings(self, cut: datetime | None, now: datetime | None) -> Iterator[str]:
        """What is found, in sentences. Events before `cut` were dropped. Without `now` missing oldest rows are not."""
        more = 0
        for at, finding in enumerate(self._all(cut, now)):
            if at < MOST:
                yield finding
            else:
                more += 1
        if more:
            yield f"revocations differs from the events in {more:,} rows more."

    def _all(self, cut: datetime | None, now: datetime | None) -> Iterator[str]:
        execute = self._scratch.execute
        odd = "typeof(sequence) != 'integer' OR typeof(version) != 'integer' OR at IS NULL"
        for (sequence,) in execute(f"SELECT sequence FROM kept WHERE {odd}"):  # noqa: S608 - a constant
            yield f"The row {sequence!r} of revocations is none that a server writes."
        kept_since = "9999" if now is None else _iso(now - KEPT_FOR)
        for number, kind, id_ in execute(_MISSING, (kept_since,)):
            yield f"Event {number} ended the tokens of the {kind} {_shown(id_)}, and revocations has no such row."
        since = "" if cut is None else _iso(cut)
        for sequence, kind, id_ in self._added(since, ""):
            yield (
                f"The row {sequence} of revocations ended the tokens of the {kind} {_shown(id_)}, and no event says so."
            )
        newest = -1
        for sequence, version in execute("SELECT sequence, version FROM kept ORDER BY sequence"):
            if isinstance(version, int) and version < newest:
                yield f"The row {sequence} of revocations is not in the order of the changes."
            newest = max(newest, version if isinstance(version, int) else newest)

    def doubts(self, cut: datetime | None, sealed_before: str) -> Iterator[str]:
        """Rows that only an event without a seal explains, in sentences. A running server seals events of before then.

        The attack: an inserted row and an inserted event that says so, while no server runs.
        """
        since = "" if cut is None else _iso(cut)
        found = set(self._added(since, ""))
        for sequence, kind, id_ in self._added(since, sealed_before):
            if (sequence, kind, id_) not in found:
                yield (
                    f"Only an event without a seal says that the row {sequence} of revocations ended the tokens of the"
                    f" {kind} {_shown(id_)}."
                )

    def _added(self, since: str, sealed_before: str) -> Iterator[tuple[int, str, str]]:
        """The rows that no event explains. An event without a seal explains none if it is dated before that time."""
        for sequence, kind, id_, version in self._scratch.execute(_ADDED, (since, sealed_before)):
            if kind != _KEY or not self._says_again(id_, version, since, sealed_before):
                yield sequence, kind, id_

    def _says_again(self, kid: str, version: int, since: str, sealed_before: str) -> bool:
        """Whether a server wrote the row of a key again, later, or that of a key that a backup lacked.

        The event of that may be dropped. Then every token that the key signed was dropped as well.
        """
        said = (
            "SELECT 1 FROM said WHERE kind = 'key' AND (id = ? OR id IS NULL) AND version <= ? AND (sealed OR at >= ?)"
        )
        if self._scratch.execute(said, (kid, version, sealed_before)).fetchone():
            return True
        known = (
            "SELECT 1 FROM said WHERE kind = 'key' AND id = ? UNION ALL SELECT 1 FROM signed WHERE kid = ? AND at >= ?"
        )
        return bool(since) and not self._scratch.execute(known, (kid, kid, since[:10])).fetchone()


def _said(event: Mapping[str, Any]) -> Iterator[tuple[str, Any, bool]]:
    """The kind and the id of each thing that the event ended, None for any; and whether it certainly ended that."""
    kind, detail = event["kind"], event["detail"]
    if kind in LISTING_ENDED:
        yield from ((each["kind"], each["id"], True) for each in detail["ended"])
    elif kind in _CLIENT_ENDS:
        yield "client", event["client_id"], True
    elif kind in _DELEGATION_ENDS:
        yield "delegation", next((each["id"] for each in event["delegations"]), None), True
    elif kind in _SOURCE_ENDS:
        yield "source", event["subject_id"], True
    elif kind == EventKind.ROLE_DELETED:
        yield "role", detail.get("slug"), True
    elif kind == EventKind.KEY_REVOKED:
        yield _KEY, event["kid"], True
    elif kind == EventKind.AUTHORITY_RESTORED:
        yield _KEY, None, False  # of keys that the backup did not have
    elif kind == EventKind.TOKEN_REVOKED:
        yield "token", event["jti"], True


def _iso(at: datetime) -> str:
    return at.isoformat(timespec="microseconds")


def _plain(value: Any) -> str | None:
    """The text, in a form that SQLite takes; another type equals no text."""
    if value is None or (isinstance(value, str) and value.isascii()):
        return value
    return json.dumps(value) if isinstance(value, str) else f"\0{value!r}"


def _shown(id_: Any) -> str:
    shown = str(id_)
    return shown if shown.isascii() and shown.isprintable() and len(shown) <= 80 else json.dumps(shown[:80])
