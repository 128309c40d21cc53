"""Check whether the tables with a digest match the events. `db.table_digests` describes the attack.

Each event of a change has the digests of the changed tables, before and after the change.
So the events of one table form a chain, in the order of the authority versions.
The last digest in the chain must be the digest of the current table.

A drop removes events, so the chain may then have gaps.
No gap may come after the authority version at which the last dropped event was sealed, nor after a change with a higher
number than all dropped events. The attack: raw SQL sets the version back while an operator revokes something. Then it
undoes the change of the row, and restores the version. The event of the revocation has a version of dropped events.

The event that records the drop has the digests of all tables, at the version of the check before the drop. A change
during the drop has a higher version than the check, and a lower number than this event. The next drop may remove the
change. So a gap may come after the event of a drop, but only if a dropped event has a higher number than all events of
that drop. The attack: raw SQL raises the version while the last event of the month is sealed, and lowers it for the
check. Then the version of the drop is below that of the last dropped event. Raw SQL cannot change the numbers of the
dropped events, because the signed record has them.

Times are not compared, because clocks differ and the clock of a server may be a month behind.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import closing
from typing import Any, Final

from authsec_server.audit.model import DIGESTS, EventKind
from authsec_server.audit.scratch_database import ScratchCheck, scratch_database
from authsec_server.audit.sealing.checkpoints import Checkpoint, record_in
from authsec_server.audit.sealing.dropped import DropRecord
from authsec_server.audit.sealing.scan import Scan
from authsec_server.db.schema import canonical_json
from authsec_server.db.table_digests import (
    DIGESTED,
    LONGEST,
    Digested,
    digest,
    hashes_of_rows,
    product_of_groups,
    product_of_rows,
    stored_digest,
)
from authsec_server.db.versions import MAX_VERSION

_ADDRESS: Final = re.compile(r"[!-~]{1,200}")
_MAC: Final = re.compile(r"[0-9a-f]{64}")  # of a MAC by HMAC-SHA-256
NO_MAC: Final = (
    "The address of the server in the database has no valid MAC by the master key, so commands print no link to it and "
    "sign nothing under it. Either no server of this version has started yet, or somebody changed authority.issuer or "
    "authority.issuer_mac: start the server again."
)
MOST: Final = 5  # findings of one table that are listed; further ones are only counted
_SCRATCH: Final = (
    "CREATE TABLE told (name TEXT, version INTEGER, number INTEGER, before TEXT, after TEXT, since TEXT,"
    " sealed INTEGER, forged INTEGER, PRIMARY KEY (name, version, number)) WITHOUT ROWID",
    "CREATE TABLE drops (number INTEGER PRIMARY KEY, record TEXT, version INTEGER, digests TEXT)",
    "CREATE TABLE signed (record TEXT PRIMARY KEY, last INTEGER)",  # of a drop, and its highest event number
    "CREATE TABLE left_out (name TEXT, version INTEGER, number INTEGER)",  # digests that events of drops lack
)


class TableCheck(ScratchCheck):
    """A comparison of tables with the digests in events, on one snapshot.

    First call `add` for each event, in any order, and `keep` once. Then call `findings`.
    """

    create = _SCRATCH

    def __init__(self, scratch: sqlite3.Connection) -> None:
        super().__init__(scratch)
        self._highest = (0, 0)  # authority version and number of an event
        self._computed: Mapping[str, str] = {}
        self._kept: Mapping[str, str] = {}
        self._of_no_table = 0  # rows of `table_digests`
        self._too_long: Set[str] = frozenset()
        self._version: Any = None
        self._issuer: Any = None
        self._mac: Any = None
        self._master_key: Any = ""
        self._told_key = (0, 0, "")  # the version, the number and the master key of the last event of a change
        self._authorities = 0  # rows of `authority`; there must be one

    def add(self, number: int, event: Mapping[str, Any], is_sealed: Callable[[int], bool], waits_since: str) -> None:
        """Add the table digests and the authority version of a valid event. For `waits_since`, see `NameCheck.add`."""
        version = event["authority_version"]
        self._highest = max(self._highest, (version, number))
        if event["kind"] == EventKind.MASTER_KEY_CHANGED:
            self._told_key = max(self._told_key, (version, number, event["subject_id"] or ""))
        digests = event["detail"].get(DIGESTS, {})
        if event["kind"] == EventKind.EVENTS_DROPPED:
            left_out = ((name, version, number) for name in DIGESTED.keys() - digests.keys())
            self._scratch.executemany("INSERT INTO left_out VALUES (?, ?, ?)", left_out)
            said = canonical_json({name: both for name, both in digests.items() if name in DIGESTED})
            its = (number, record_in(event, EventKind.EVENTS_DROPPED), version, said)
            self._scratch.execute("INSERT OR IGNORE INTO drops VALUES (?, ?, ?, ?)", its)
        for name, (before, after) in digests.items():
            if name not in DIGESTED:
                continue  # raw SQL wrote this text
            forged = event["kind"] == EventKind.EVENTS_DROPPED and before != after
            row = (name, version, number, before, after, waits_since, is_sealed(number), forged)
            self._scratch.execute("INSERT OR IGNORE INTO told VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def keep(self, scan: Scan) -> None:
        """Compute the digests of the tables. A missing table is not reported here: the schema check reports it."""
        self._computed = digests_of_rows(scan)
        self._too_long = scan.too_long
        self._kept, self._of_no_table = kept_digests(scan)
        for version, issuer, mac, master_key in scan.authorities():
            self._authorities += 1
            if self._authorities == 1:
                self._version, self._issuer, self._mac, self._master_key = version, issuer, mac, master_key

    @property
    def digests(self) -> Mapping[str, str]:
        """Return the digests that `keep` computed."""
        return self._computed

    def findings(self, dropped_until: int, last_dropped: int, records: Sequence[DropRecord]) -> Iterator[str]:
        """Report each difference in a sentence.

        Events up to the authority version `dropped_until` and up to the number `last_dropped` may have been dropped.
        `records` are the drop records that a sealing key signed.
        """
        yield from self._not_signed({each.signed: each for each in records})
        self._scratch.executemany(
            "INSERT INTO signed VALUES (?, ?)", ((each.signed, each.numbers[1]) for each in records)
        )
        for name, computed in self._computed.items() if self._is_told() else ():
            yield from self._of_table(name, computed, dropped_until, last_dropped)
        for name in sorted(self._too_long):
            yield f"Rows of {name} have a value of more than {LONGEST:,} characters, which no server writes."
        if self._of_no_table:
            yield f"table_digests has {self._of_no_table:,} rows of no table: raw SQL inserted them."
        yield from self._changed_by_none()
        yield from self._below_a_drop()
        if self._authorities > 1:
            yield f"The table authority has {self._authorities:,} rows; it must have one."
        if self._master_key != self._told_key[2]:
            last = self._told_key[2]
            told = f"the last event of a change names the key {last}" if last else "no event says so"
            yield f"The database has the id of another master key in authority.master_key_id, but {told}."
        version = self._version
        if type(version) is not int or version > MAX_VERSION:
            yield f"The authority has version {version!r}, which no server assigns."
        elif version < self._highest[0]:
            yield (
                f"The authority has version {version}, but event {self._highest[1]} was recorded at version"
                f" {self._highest[0]}: revoked tokens would be shown as live."
            )

    def doubts(self, sealed_before: str) -> Iterator[str]:
        """Report changes that are only in an event without a seal, if the event is older than `sealed_before`.

        A running server would have sealed the event by now.
        The attack: while no server runs, raw SQL changes a row and inserts an event that reports the change.
        """
        for number, names in self._scratch.execute(
            "SELECT number, group_concat(name, ', ') FROM told WHERE NOT sealed AND since < ? GROUP BY number",
            (sealed_before,),
        ):
            yield f"Only event {number}, which has no seal, says that {names} were changed."

    def unchecked(self, last: Checkpoint | None) -> Iterator[str]:
        """Report rows that no event can confirm. `last` is the last checkpoint in the database.

        The attack: raw SQL writes another address into `authority`. No event has the issuer, but each checkpoint does.
        An address that is longer than a server writes is read as an empty value, and NULL is the value before the
        first start of a server. Without the master key, only the form of the address's MAC is checked.
        """
        if self._highest[0] > 0 and not self._is_told():
            yield "No event records the digests of the tables, so their rows were not compared with events."
        if (self._issuer, self._mac) != (None, None) and not _is_mac(self._mac, of=self._issuer):
            yield NO_MAC
        if self._issuer is not None and last is not None and self._issuer != last.issuer:
            yield (
                f"The database has the address {shown_address(self._issuer)}, but the server at "
                f"{shown_address(last.issuer)} signed the last checkpoint. Either a server started with another "
                "address within the last minute, or somebody changed authority.issuer: start the server again."
            )

    def _is_told(self) -> bool:
        return self._scratch.execute("SELECT 1 FROM told LIMIT 1").fetchone() is not None

    def _of_table(self, name: str, computed: str, dropped_until: int, last_dropped: int) -> Iterator[str]:
        last: tuple[int, int, str] | None = None
        found = reached = 0  # an event between the last one and the next has a higher number than `reached`
        for number, version, before, after, its_last in self._scratch.execute(
            "SELECT number, version, before, after, coalesce((SELECT s.last FROM drops d JOIN signed s"
            " ON s.record = d.record WHERE d.number = t.number), number) FROM told t WHERE name = ?"
            " ORDER BY version, number",
            (name,),
        ):
            if last and before != last[2] and (last[1] >= dropped_until or reached >= last_dropped):
                found += 1
                if found <= MOST:
                    yield (
                        f"Rows of {name} were changed in the database between event {last[0]} and event {number},"
                        " and no event says so."
                    )
            last, reached = (number, version, after), max(reached, its_last)
        if found > MOST:
            yield f"Rows of {name} were changed {found - MOST:,} more times."
        if last is None:
            yield f"No event records the digest of {name}."
        elif last[2] != computed:
            yield f"Rows of {name} were changed in the database after event {last[0]}, but no event says so."
        elif self._kept.get(name, computed) != computed:
            yield f"table_digests does not match the rows of {name}: raw SQL wrote it."
        yield from self._left_out(name)

    def _below_a_drop(self) -> Iterator[str]:
        """Report changes after a drop at a version below it. Versions and numbers only ascend.

        The attack: raw SQL sets the version back below the drop while an operator deletes something. The event of the
        deletion would be the first in the chain, where no earlier digest contradicts it.
        """
        found, highest, drop = 0, -1, 0  # the highest version of the drops before, and the event of that drop
        for number, version, is_drop in self._scratch.execute(
            "SELECT number, version, 1 FROM drops UNION ALL SELECT DISTINCT number, version, 0 FROM told"
            " WHERE number NOT IN (SELECT number FROM drops) ORDER BY number"
        ):
            if is_drop:
                highest, drop = max((highest, drop), (version, number))
            elif version <= highest and found < MOST:
                found += 1
                yield (
                    f"Event {number} changed the authority at version {version}, although event {drop} recorded a drop"
                    f" at version {highest}: somebody set the version back."
                )

    def _left_out(self, name: str) -> Iterator[str]:
        """Report events that record a drop without the digest of this table. Later checks depend on these digests."""
        for (number,) in self._scratch.execute(
            "SELECT number FROM left_out o WHERE name = ? AND EXISTS"
            " (SELECT 1 FROM told t WHERE t.name = o.name AND t.version <= o.version) ORDER BY number LIMIT ?",
            (name, MOST),
        ):
            yield (
                f"Event {number} of a drop records no digest of {name}: later changes of the table's rows may be "
                "undetected."
            )

    def _not_signed(self, records: Mapping[str, DropRecord]) -> Iterator[str]:
        """Report events that record a drop and have other digests than the signed drop record.

        The attack: while a drop is recorded, a database trigger replaces a digest in the event.
        The drop then removes the events that have the right digest.
        """
        found = 0
        for number, signed, version, digests in self._scratch.execute(
            "SELECT number, record, version, digests FROM drops ORDER BY number"
        ):
            record = records.get(signed or "")
            if record is None and digests == "{}":
                continue  # of no effect: neither a digest nor a drop
            its = {} if record is None else {name: [one, one] for name, one in record.tables.items()}
            if record is None or record.version != version or canonical_json(its) != digests:
                found += 1
                if found <= MOST:
                    yield f"Event {number} of a drop has digests that no signed drop record has."
        if found > MOST:
            yield f"{found - MOST:,} more events of drops have this fault."

    def _changed_by_none(self) -> Iterator[str]:
        """Report drop events that claim a change of a table. A drop changes no table with a digest."""
        found = 0
        for number, names in self._scratch.execute(
            "SELECT number, group_concat(name, ', ') FROM told WHERE forged GROUP BY number"
        ):
            found += 1
            if found <= MOST:
                yield (
                    f"Event {number} was inserted: the event says that {names} changed, but events of this kind "
                    "change no table."
                )
        if found > MOST:
            yield f"{found - MOST:,} more events of this kind were inserted."


def _is_mac(mac: Any, *, of: Any) -> bool:
    return of is not None and isinstance(mac, str) and _MAC.fullmatch(mac) is not None


def shown_address(issuer: Any) -> str:
    """Return the address as it is written in findings and messages. Raw SQL may have written any text."""
    return issuer if isinstance(issuer, str) and _ADDRESS.fullmatch(issuer) else json.dumps(str(issuer)[:200])


def kept_digests(scan: Scan) -> tuple[Mapping[str, str], int]:
    """Return the stored digest of each table after the last change, and the number of rows of other names.

    There is no digest before the first change. Callers must not trust these digests, because raw SQL may have changed
    the rows of `table_digests`. The digest of a malformed row is an empty text.
    """
    rows = scan.rows("table_digests", "name", "product") if scan.columns("table_digests") else ()
    kept, others = dict[str, str](), 0
    for name, product in rows:
        if name in DIGESTED:
            kept[name] = stored_digest(product)
        else:
            others += 1
    return kept, others


def digests_of_rows(scan: Scan) -> Mapping[str, str]:
    """Compute the digest of each table from its rows."""
    there = {name: its for name, its in DIGESTED.items() if scan.columns(name)}
    return {name: digest(_product(name, its, scan)) for name, its in there.items()}


def _product(name: str, its: Digested, scan: Scan) -> int:
    """Compute the product of a table. Rows that have one number together are sorted on the disk, not in memory."""
    rows = scan.digested(name, its)
    if not its.is_grouped:
        return product_of_rows(name, rows)
    with closing(scratch_database("CREATE TABLE hashes (its TEXT, hash BLOB)")) as scratch:
        scratch.executemany("INSERT INTO hashes VALUES (?, ?)", hashes_of_rows(name, rows))
        return product_of_groups(scratch.execute("SELECT its, hash FROM hashes ORDER BY its, hash"))
