"""Verify that the audit log in a database matches its seals. Needs the public keys, but no server and no secret.

Each leaf must be the hash of its event.
The tree of the leaves must have the root hash of each checkpoint, in the database or kept elsewhere.
Checkpoints kept elsewhere show that a log was cut, or rewritten by an attacker with the key.

First, `database_check` compares the schema with the result of the migrations and has the database check its own
indexes. Readers depend on the schema and the indexes.
Then `scan` reads each table once, as a whole, into a private database (`scratch`).
So the check trusts no index, no statistic and no count of the audited database.
Last, if nothing was found, `reader_check` asks the questions of readers, and compares the answers with these rows.

Findings about events and rows come first in the report, because readers look for these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, TypeAlias

from sqlalchemy.exc import DatabaseError

from authsec_server.audit.counting import hour_of
from authsec_server.audit.event_shape import is_event, is_number
from authsec_server.audit.model import EventKind
from authsec_server.audit.scratch_database import enough_room
from authsec_server.audit.sealing import ended_subjects, orphans, parties, store, table_writes, token_duplicates
from authsec_server.audit.sealing.checkpoints import Checkpoint, Keys, record_in
from authsec_server.audit.sealing.count_check import CountCheck, outcome_of
from authsec_server.audit.sealing.database_check import DatabaseCheck
from authsec_server.audit.sealing.dropped import NEVER_DROPPED, drops_in, valid_drops
from authsec_server.audit.sealing.given import KeptExport
from authsec_server.audit.sealing.head_key_check import HeadKeyCheck
from authsec_server.audit.sealing.last_use_check import LastUseCheck
from authsec_server.audit.sealing.leaf_walk import LeafWalk
from authsec_server.audit.sealing.log_check import MOST, LogCheck, Report
from authsec_server.audit.sealing.name_check import NameCheck
from authsec_server.audit.sealing.number_check import NumberCheck
from authsec_server.audit.sealing.reader_check import ReaderCheck
from authsec_server.audit.sealing.restores import restore_of, valid_restores
from authsec_server.audit.sealing.revocation_check import RevocationCheck
from authsec_server.audit.sealing.row_states import keep_row_states, row_state_findings
from authsec_server.audit.sealing.scan import Scan, ScannedEvent, octets_of
from authsec_server.audit.sealing.scratch import Scratch
from authsec_server.audit.sealing.succession import Succession, succession
from authsec_server.audit.sealing.table_check import TableCheck
from authsec_server.audit.sealing.uncounted import Uncounted
from authsec_server.audit.sealing.waiting import NEVER, ActsAhead, Waiting, is_of_server, with_advice
from authsec_server.db import Tx
from authsec_server.db.sqlite_reading import is_late, limited_steps
from authsec_server.db.text_check import cut_short

_BATCH = 1000  # links of events to delegations
_HASH_BYTES = 32
_RECORDS = frozenset({EventKind.EVENTS_DROPPED, EventKind.SEAL_KEY_REPLACED, EventKind.AUTHORITY_RESTORED})

# Checkpoints, or a function that reads checkpoints with all sealing keys of the log.
Kept: TypeAlias = Sequence[Checkpoint] | Callable[[Keys], Sequence[Checkpoint]]


def verify(
    tx: Tx,
    keys: Keys,
    kept: Kept = (),
    given: Sequence[KeptExport] = (),
    ends: Mapping[str, int] | None = None,
    *,
    now: datetime | None = None,
    counts: bool = True,
    deep: bool = False,
    sealed_only: bool = False,
    readers: bool = True,
    find_event_key: Callable[[Tx], bytes | None] = lambda tx: tx.event_key,
) -> Report:
    """Compare the audit log with its seals, and with the checkpoints in `kept`. Blocks its thread.

    - `kept` are checkpoints that were kept elsewhere.
    - `given` are exports with events that were dropped later. The counts of these events are compared, too.
    - `ends` has for each replaced key how many leaves its checkpoints may cover. A caller may omit `ends`, because the
      log contains these numbers as well.
    - Without `now`, a date in the future is not reported for a roll-up mark or a drop record.
    - Without `counts`, no stored count is compared. Without `readers`, no question of readers is asked.
    - A `deep` check of PostgreSQL follows every path through its indexes and blocks writers to the tables.
    - With `sealed_only`, no event without a seal is trusted, even if it is new.
    - `find_event_key` gets the key of the MACs of events. The key may depend on tables, so these are checked first.

    Raises `Unavailable` if the temporary folder is full.
    """
    store.allow_long_statements(tx.connection)
    database = DatabaseCheck(tx.connection, readers=readers)
    try:
        database.run(deep=deep)
        if not database.is_readable:
            return database.unreadable()
        with limited_steps(tx.connection):
            tx = replace(tx, event_key=find_event_key(tx))
            if callable(kept):
                kept = kept(keys_of(tx, keys))
            report = verify_log(
                tx, keys, kept, given, ends, now=now, counts=counts, sealed_only=sealed_only, may_ask=database.end
            )
    except DatabaseError as error:
        if not (database.explains_errors or is_late(error)) or error.connection_invalidated:
            raise
        return database.unreadable()
    except (TypeError, ValueError, AttributeError):  # the owner of a table can change the type of a column
        if not database.explains_errors:
            raise
        return database.unreadable()
    of_database, checked = database.findings, database.checked
    return replace(
        report,
        findings=(*report.findings, *of_database[:MOST]),  # findings about events come first
        more=report.more + len(of_database[MOST:]),
        unchecked=(*checked.skipped, *checked.not_checked, *report.unchecked),
        skipped=(*checked.skipped, *report.skipped),
    )


def verify_log(
    tx: Tx,
    keys: Keys,
    kept: Sequence[Checkpoint] = (),
    given: Sequence[KeptExport] = (),
    ends: Mapping[str, int] | None = None,
    *,
    now: datetime | None = None,
    counts: bool = True,
    sealed_only: bool = False,
    may_ask: Callable[[], bool] = lambda: True,
) -> Report:
    """Run `verify` without the checks of the database's indexes and schema.

    If `may_ask` is false after the tables were read, foreign code may answer the questions of readers: none is asked.
    """
    scan = Scan(tx.connection, tx.event_key)
    with (
        enough_room(),
        Scratch.opened() as scratch,
        CountCheck(scan, now=now) as count_check,
        NameCheck.opened() as name_check,
        RevocationCheck.opened() as revocation_check,
        TableCheck.opened() as table_check,
        LastUseCheck.opened() as last_use_check,
        HeadKeyCheck.opened() as head_key_check,
    ):
        read = _Read(
            scratch=scratch,
            count_check=count_check,
            name_check=name_check,
            revocation_check=revocation_check,
            table_check=table_check,
            last_use_check=last_use_check,
            head_key_check=head_key_check,
            uncounted=Uncounted(drops_in(tx.connection, keys_of(tx, keys))),
            ahead=ActsAhead(now=now),
        )
        with scan.sequential():
            read.all(scan)
        report, known_from = _compared(
            tx, read, scan, keys, kept, given, ends, now=now, counts=counts, sealed_only=sealed_only
        )
        if not may_ask() or report.findings:  # else each wrong row is reported again, for each of its lists
            return report
        asked = ReaderCheck(tx, scratch, known_from=known_from, now=now).findings(counts=counts)
        return replace(report, findings=tuple(asked))


def keys_of(tx: Tx, keys: Keys) -> Keys:
    """Return these keys and the keys that replaced them, as the records in this log say."""
    return store.succession_in(tx.connection, keys).keys if store.is_there(tx.connection) else keys


@dataclass(slots=True, kw_only=True)
class _Read:
    """The content of the tables, passed on to the single checks.

    `findings` are about rows that could not be stored for the comparison.
    """

    scratch: Scratch
    count_check: CountCheck
    name_check: NameCheck
    revocation_check: RevocationCheck
    table_check: TableCheck
    last_use_check: LastUseCheck
    head_key_check: HeadKeyCheck
    uncounted: Uncounted
    ahead: ActsAhead
    findings: list[str] = field(default_factory=list)
    orphans: Sequence[str] = ()

    def all(self, scan: Scan) -> None:
        """Read every table, and pass the rows on to the single checks."""
        self.scratch.keep_ranges(self._ranges(scan))
        self.scratch.keep_leaves(self._leaves(scan))
        self.scratch.keep_events(self._events(scan))
        self.scratch.keep_checkpoints(self._checkpoints(scan))
        self.scratch.keep_listed(self._listed(scan))
        self.name_check.keep(scan)
        self.table_check.keep(scan)
        self.last_use_check.keep(scan)
        self.head_key_check.keep(scan)
        self.scratch.keep_parties(parties.parties_in_table(scan))
        keep_row_states(self.scratch, scan)
        self.orphans = orphans.findings(scan)
        self.revocation_check.keep(scan)

    def _find(self, finding: str) -> None:
        if len(self.findings) < MOST:
            self.findings.append(finding)

    def _events(self, scan: Scan) -> Iterator[tuple[int, bytes | None, str | None, bool, bool, bool, bool]]:
        named: list[tuple[int, bytes]] = []
        for event in scan.events():
            self.count_check.add_number(event.number)
            named += [(event.number, octets_of(id_)) for id_ in event.delegation_ids]
            if len(named) >= _BATCH:
                self.scratch.keep_named(named)
                named.clear()
            if event.row is None:
                yield event.number, None, None, False, False, False, False
                continue
            valid = is_number(event.number) and is_event(event.row) and scan.has_form(event)
            valid = valid and (scan.may_be_genuine(event) or self.scratch.is_sealed(event.number))
            self._look_at(event, event.row, valid)
            if valid:
                self.scratch.keep_values(event.number, event.row)
            low, high = self.scratch.range_of(hour_of(event.at)) or (1, 0)
            stays, in_range = event.row["kind"] in NEVER_DROPPED, low <= event.number <= high
            yield event.number, event.leaf, event.row["at"], stays, in_range, valid, is_of_server(event.row)
        self.scratch.keep_named(named)

    def _look_at(self, event: ScannedEvent, row: Mapping[str, Any], valid: bool) -> None:
        if row["kind"] in _RECORDS and (signed := record_in(row, row["kind"])) and signed.isascii():
            self.scratch.keep_record(event.number, row["kind"], signed)
        if not valid:
            return
        self.head_key_check.add(event.number, row)
        self._count(event.number, row)
        if row["count_key"] is not None:  # a counted refusal explains no row
            return
        is_ahead = row["at"] > self.ahead.latest and not self.scratch.is_sealed(event.number)
        if is_ahead and not self.ahead.is_believed(event.number, row):
            return
        for check in (self.name_check, self.revocation_check, self.table_check):
            check.add(event.number, row, self.scratch.is_sealed, "" if is_ahead else row["at"])
        table_writes.keep_acts(self.scratch, event.number, row)
        self.last_use_check.add(event.number, row)

    def _count(self, number: int, event: Mapping[str, Any]) -> None:
        if event["decision"] is None:
            return
        at = event["at"]
        if not (self.uncounted.may_be(at) and self.uncounted.add(at, self.scratch.place_of(number))):
            self.count_check.add(number, outcome_of(event))

    def add_held(self, sealing_keys: Succession, place: int, event: Mapping[str, Any]) -> None:
        """Add a dropped event that a given export contains. The event matches the leaf at this place."""
        with suppress(ValueError, TypeError, KeyError, AttributeError):  # AuthSec did not write this event
            if not is_event(event):
                return
            self.name_check.add_dropped(event)
            self.revocation_check.add_dropped(event)
            self.revocation_check.add_restores(valid_restores([(place, restore_of(event))], sealing_keys))
            table_writes.keep_acts(self.scratch, event["id"], event)
            self.last_use_check.add(event["id"], event)
            self.head_key_check.add(event["id"], event)
            self._count(event["id"], event)

    def _leaves(self, scan: Scan) -> Iterator[tuple[int, int, bytes]]:
        for position, number, hash_ in scan.leaves():
            if not isinstance(position, int) or not isinstance(number, int):
                self._find(f"The seal at position {position!r} was changed: the seal belongs to no event.")
            elif not isinstance(hash_, bytes) or len(hash_) != _HASH_BYTES:
                self._find(f"The seal at position {position} was changed: the seal is not a hash.")
                yield position, number, b""
            else:
                yield position, number, hash_

    def _checkpoints(self, scan: Scan) -> Iterator[tuple[int, str | None, str]]:
        for size, at, signed in scan.checkpoints():
            if isinstance(size, int):
                yield size, at, signed if isinstance(signed, str) and signed.isascii() else ""
            else:
                self._find("A row of `checkpoints` was changed: the size is not a number.")

    def _listed(self, scan: Scan) -> Iterator[tuple[int, bytes]]:
        for number, delegation in scan.delegations():
            if isinstance(number, int):
                yield number, octets_of(delegation)
            else:
                self._find("A row of `event_delegations` was changed: the event number is not a number.")

    def _ranges(self, scan: Scan) -> Iterator[tuple[str, int, int]]:
        for hour, lowest, highest in scan.ranges():
            if hour is None or not isinstance(lowest, int) or not isinstance(highest, int):
                self._find("A row of `number_ranges` was changed: the row is not the range of an hour.")
            else:
                yield hour, lowest, highest


def _compared(
    tx: Tx,
    read: _Read,
    scan: Scan,
    keys: Keys,
    kept: Sequence[Checkpoint],
    given: Sequence[KeptExport],
    ends: Mapping[str, int] | None,
    *,
    now: datetime | None,
    counts: bool,
    sealed_only: bool,
) -> tuple[Report, datetime | None]:
    """Return the report on the tables, and the end of the months with dropped events, if there are any."""
    replaced = read.scratch.records(EventKind.SEAL_KEY_REPLACED)
    sealing_keys = succession(((place, signed) for place, signed in replaced if place is not None), keys, ends)
    records = valid_drops((signed for _, signed in read.scratch.records(EventKind.EVENTS_DROPPED)), sealing_keys.keys)
    restores = valid_restores(read.scratch.records(EventKind.AUTHORITY_RESTORED), sealing_keys)
    log_check = LogCheck(
        keys=sealing_keys,
        kept=kept,
        records=records,
        given=given,
        restores=restores,
        now=now,
        held=partial(read.add_held, sealing_keys),
    )
    for finding in read.findings:
        log_check.add_finding(finding)
    unsealed = Waiting(now=now)
    walk = LeafWalk(scratch=read.scratch, log_check=log_check, unsealed=unsealed)
    walk.run()
    not_yet, size = walk.end(), read.scratch.size()
    dropped = log_check.drops.newest()
    read.revocation_check.add_restores(restores)
    unknown_before = log_check.drops.unknown_before()
    known_from = max(filter(None, (dropped.cut if dropped else None, unknown_before)), default=None)
    last_dropped = walk.last_dropped()
    unknown_until = last_dropped if unknown_before else (0, 0)
    table_writes.leave_out_unproved(read.scratch, unknown_until[1])
    of_tables = (
        *read.name_check.findings(*last_dropped, all_known=not unknown_before),
        *ended_subjects.findings(read.scratch, *unknown_until),
        *row_state_findings(read.scratch, *unknown_until),
        *read.table_check.findings(*last_dropped, records),
        *read.last_use_check.findings(unknown_before),
        *read.head_key_check.findings(unknown_before),
        *parties.findings(read.scratch, unknown_until[1]),
        *token_duplicates.findings(read.scratch),
        *read.orphans,
    )
    read.revocation_check.add_drops(*last_dropped)
    of_revocations = read.revocation_check.findings(unknown_before, now, walk.deletable)
    numbers = NumberCheck.of(tx.connection)
    of_numbers = numbers.findings(read.scratch, walk.through)
    for finding in (*of_tables, *of_revocations, *of_numbers):
        log_check.add_finding(finding)
    if counts:
        of_counts = read.count_check.findings(dropped, unknown_before)
        for finding in (*of_counts, *read.uncounted.findings(log_check.drops.doubt)):
            log_check.add_finding(finding)
    for finding in map(cut_short, scan.cut_short):  # after the last check that reads a table
        log_check.add_finding(finding)
    if not size and not_yet and not log_check.findings:
        log_check.add_finding(f"None of the {not_yet:,} events is sealed, so none can be verified.")
    checkpoint_at = max((checkpoint.at for checkpoint in (log_check.last, *log_check.kept) if checkpoint), default=None)
    all_unproved = _unproved(read, log_check, NEVER if sealed_only else unsealed.sealed_before(checkpoint_at))
    unproved, more = tuple(islice(all_unproved, MOST)), sum(1 for _ in all_unproved)
    doubts = (
        *numbers.unchecked,
        *unsealed.doubts(checkpoint_at),
        *read.table_check.unchecked(log_check.last),
        *with_advice(unproved, more),
    )
    report = replace(
        log_check.report(size, not_yet),
        waiting_since=unsealed.since,
        late=tuple(walk.late.found),
        more_late=walk.late.more,
        unchecked=doubts,
        skipped=doubts,
        unproved=unproved,
        tables=read.table_check.digests,
    )
    return report, known_from


def _unproved(read: _Read, log_check: LogCheck, sealed_before: str) -> Iterator[str]:
    """Report facts that only events without a seal report, if these are older than `sealed_before` or of the future."""
    yield from read.ahead.doubts()
    yield from read.name_check.doubts(sealed_before)
    yield from read.table_check.doubts(sealed_before)
    yield from read.revocation_check.doubts(log_check.drops.unknown_before(), sealed_before)
