"""Drop old months of the audit log.

An event is dropped only if an export contains the event as it was sealed.
The first event is dropped only after a record of the drop is sealed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from sqlalchemy import ColumnElement, Connection, Select, and_, delete, exists, or_, select
from sqlalchemy.exc import DataError, NoResultFound

from authsec_server.audit import partitions
from authsec_server.audit import service as audit
from authsec_server.audit.model import DIGESTS, EventKind
from authsec_server.audit.recount import dropped_counts
from authsec_server.audit.rollup import Progress, close_months, progress_of, roll_up
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import Keys
from authsec_server.audit.sealing.drop_times import check_quiet, check_time
from authsec_server.audit.sealing.dropped import NEVER_DROPPED, DropRecord, Run, runs, sign_drop, valid_drops
from authsec_server.audit.sealing.exporting import verify_export
from authsec_server.audit.sealing.given import KeptExport
from authsec_server.audit.sealing.log_check import Report
from authsec_server.audit.sealing.sealer import LogBroken, Sealer
from authsec_server.audit.sealing.store import allow_long_statements
from authsec_server.audit.sealing.whole_changes import size_before
from authsec_server.audit.store import events, sealed_events
from authsec_server.db import Database, Tx
from authsec_server.failures import Conflict
from authsec_server.principal import Act, Role

BATCH = 500  # events; on SQLite, token requests wait while a batch is deleted


@dataclass(slots=True, kw_only=True)
class EventsToDrop:
    """The events to drop: how many, their lowest and highest number, and their `places` in the sealed log.

    `lacking` is the number of these events that the export does not contain as they were sealed.
    """

    events: int = 0
    numbers: Run = (0, 0)
    places: tuple[Run, ...] = ()
    lacking: int = 0

    def add(self, number: int, held: bool) -> None:
        """Add an event. `held` says whether the export contains the event as it was sealed."""
        low, high = self.numbers if self.events else (number, number)
        self.events += 1
        self.numbers = (min(low, number), max(high, number))
        self.lacking += not held


def events_to_drop(tx: Tx, *, before: datetime, export: KeptExport) -> EventsToDrop:
    """Return the events to drop: events with a time before `before` that were also sealed before `before`.

    An event was sealed before that time if a checkpoint signed before that time covers the event. A change of which
    only some events were sealed before that time is left out.
    Events of the kinds in `NEVER_DROPPED` are never dropped.
    Call this on the snapshot that `verify` has checked.
    The attack: raw SQL changes the kind of a recorded restore after the check, so that the drop record lists the event.
    A SQLite file can even be overwritten within the snapshot. So the kind and the time in the export decide, if the
    export's event matches the leaf.
    The rows are streamed, so memory use does not depend on their number.
    """
    allow_long_statements(tx.connection)
    seals = sealed_events.c
    which = and_(
        events.c.at < before,
        events.c.kind.not_in(sorted(NEVER_DROPPED)),
        seals.position < size_before(tx.connection, before),
    )
    statement = select(seals.position, seals.hash, seals.event_id).join(events, events.c.id == seals.event_id)
    in_order = statement.where(which).order_by(seals.position).execution_options(yield_per=BATCH)
    found, end = EventsToDrop(), before.isoformat(timespec="microseconds")

    def places() -> Iterator[int]:
        for row in tx.connection.execute(in_order):
            held = export.event_at(row.position)
            is_proved = held is not None and held.leaf == bytes(row.hash)
            if held is not None and is_proved and not (held.is_droppable and held.at < end):
                continue
            found.add(row.event_id, is_proved)
            yield row.position

    found.places = runs(places())
    return found


def some_left(connection: Connection, record: DropRecord) -> bool:
    """Whether the row of an event that the drop record lists still exists."""
    return connection.execute(_left(record).limit(1)).first() is not None


def delete_some(connection: Connection, record: DropRecord) -> int:
    """Delete a batch of the rows that the drop record lists. Return their number; 0 if no row is left."""
    numbers = list(connection.execute(_left(record).limit(BATCH)).scalars())
    return connection.execute(delete(events).where(events.c.id.in_(numbers))).rowcount if numbers else 0


def beside(record: DropRecord) -> ColumnElement[bool]:
    """Return the SQL condition for events that the drop record does not list.

    These are events that came late, and events of kinds that are never dropped.
    """
    return ~exists().where(sealed_events.c.event_id == events.c.id, _named(record))


def _left(record: DropRecord) -> Select[tuple[int]]:
    low, high = record.numbers
    seals = sealed_events.c
    statement = select(events.c.id).join(sealed_events, seals.event_id == events.c.id)
    return statement.where(events.c.id.between(low, high), _named(record)).order_by(events.c.id)


def _named(record: DropRecord) -> ColumnElement[bool]:
    return or_(*(sealed_events.c.position.between(first, last) for first, last in record.places))


TURNS = 10_000  # passes of the sealer to seal the record; each pass seals a batch of events


@dataclass(frozen=True, slots=True, kw_only=True)
class _Confirmed:
    """The events to drop, and digests that match the events, all on one snapshot. The drop record has them.

    `counts` are the digests of the stored counts before the cut. `tables` are the digests of the tables' rows.
    `version` is the authority version of the snapshot. `progress` is the progress of the roll-up.
    """

    wanted: EventsToDrop
    counts: Mapping[str, str]
    tables: Mapping[str, str]
    version: int
    progress: Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class DropPreview:
    """The result of a dry run: how many events a drop removes, with their lowest and highest number."""

    before: str
    events: int
    numbers: tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropper:
    """Drops old months from one database. `keys` returns the public keys that verify checkpoints."""

    database: Database
    sealer: Sealer
    issuer: str
    keys: Callable[[], Keys]

    def drop(
        self,
        act: Act,
        before: datetime,
        export: Iterable[str],
        export_sha256: str,
        *,
        check_export: Callable[[], None] = lambda: None,
    ) -> DropRecord:
        """Drop all events of the months before `before`. Blocks its thread until all rows are deleted.

        `export` is read several times. `Invalid` or `Conflict` is raised before anything is dropped.
        `check_export` is called right before the record is written. It raises an error if the export was changed.
        If an earlier drop was interrupted, finish that drop and return its record instead.
        """
        act.principal.require(Role.ADMIN)
        if begun := self.finish(act):
            return begun
        keys = self.keys()
        confirmed = self._checked(act, before, export, keys, sealing=True)
        self.sealer.key()  # reads all leaves now: on SQLite, tokens wait during the next transaction
        check_export()
        number = self.database.append(
            partial(self._record, act=act, confirmed=confirmed, before=before, sha256=export_sha256)
        )
        self._seal(number)
        record = self.database.read(partial(_begun, keys=keys))
        if record is None:
            raise Conflict(
                "The record of the drop is not in the sealed log.", "To see the findings: authsec audit verify"
            )
        self._remove(record)
        return record

    def finish(self, act: Act) -> DropRecord | None:
        """Finish a drop that was interrupted after its record was sealed. Return the record, or None."""
        act.principal.require(Role.ADMIN)
        begun = self.database.read(partial(_begun, keys=self.keys()))
        if begun:
            self._remove(begun)
        return begun

    def is_begun(self) -> bool:
        """Whether a drop was interrupted after its record was sealed. `finish` finishes the drop."""
        return self.database.read(partial(_begun, keys=self.keys())) is not None

    def rehearse(self, act: Act, before: datetime, export: Iterable[str]) -> DropPreview:
        """Dry run of `drop`: run all checks and return the result without a change. Raises the same errors."""
        act.principal.require(Role.ADMIN)
        keys = self.keys()
        if begun := self.database.read(partial(_begun, keys=keys)):
            return DropPreview(before=begun.before, events=begun.events, numbers=begun.numbers)
        wanted = self._checked(act, before, export, keys, sealing=False).wanted
        return DropPreview(before=f"{before:%Y-%m}", events=wanted.events, numbers=wanted.numbers)

    def _checked(self, act: Act, before: datetime, export: Iterable[str], keys: Keys, *, sealing: bool) -> _Confirmed:
        """Return the events to drop, and the digests for the drop record. Raises `Invalid` or `Conflict`.

        First count the events that no server has counted yet. With `sealing`, also seal all events that wait for their
        seal, and then trust no event without a seal.
        A record that this machine dates ahead of the server's next checkpoint would be a finding for ever.
        """
        try:
            roll_up(self.database, act.now)
        except (DataError, NoResultFound):
            raise Conflict("The events cannot be counted.", "To see the findings: authsec audit verify") from None
        if self.sealer.is_clock_wrong():
            raise Conflict(
                "The clock of this machine differs from the database's clock by more than 30 seconds. Nothing was "
                "dropped.",
                "Correct the clock of this machine, and try again.",
            )
        self.database.read(partial(check_time, before=before, now=act.now))
        if sealing:
            self._seal_all()
        confirmed = self._check_seals(act, before, export, keys, sealed_only=sealing)
        _check_held(confirmed.wanted)
        return confirmed

    def _check_seals(
        self, act: Act, before: datetime, export: Iterable[str], keys: Keys, *, sealed_only: bool
    ) -> _Confirmed:
        """Verify that the audit log and the export match their seals. Return the events to drop, and the digests.

        A drop must not remove evidence of tampering. Raises `Conflict`.
        The events are listed on the verified snapshot. Raw SQL may change or copy an event after the check.
        The returned digests come from the check itself, because a second read of a SQLite file may give other rows.
        The attack: raw SQL changes rows and inserts an event without a seal that reports the change.
        The drop would sign the new digests and then delete that event.
        So events without a seal are not trusted here.
        """

        from authsec_server.audit.sealing.verifying import verify  # thirty modules, which only a drop needs

        def confirmed(tx: Tx) -> tuple[Report, _Confirmed]:
            check_time(tx, before=before, now=act.now)  # again: newer events are not in the digests, or have no seal
            report, wanted = verify(tx, keys, now=act.now, sealed_only=sealed_only), EventsToDrop()
            if report.as_sealed:
                wanted = events_to_drop(tx, before=before, export=KeptExport("export", export))
            return report, _Confirmed(
                wanted=wanted,
                counts=dropped_counts(tx.connection, before),
                tables=report.tables,
                version=tx.version,
                progress=progress_of(tx.connection),
            )

        report, found = self.database.read(confirmed)
        report.require_checked()
        if not report.as_sealed:
            raise Conflict(
                "The audit log was changed after it was sealed. Events are evidence of the change, so no event was "
                "dropped.",
                "To see the findings: authsec audit verify",
            )
        if report.unproved:
            raise Conflict(
                f"The audit log is not sealed to its end, so nothing is dropped. {report.unproved[0]}",
                "Wait some seconds until a server has sealed the log, and try again.",
            )
        if not verify_export(export, keys, now=act.now).as_sealed:
            raise Conflict(
                "The export differs from the seals.",
                "To see what is wrong: authsec audit verify-export. To make a new export: authsec audit export-sealed",
            )
        return found

    def _record(self, tx: Tx, *, act: Act, confirmed: _Confirmed, before: datetime, sha256: str) -> int:
        close_months(tx.connection, before)  # from here on, the signed counts of these months are final
        newest = store.last_signed(tx.connection)  # first: an event that the next check misses gets a later seal
        check_quiet(tx, before, confirmed.progress)
        record = {
            "before": f"{before:%Y-%m}",
            "events": confirmed.wanted.events,
            "numbers": confirmed.wanted.numbers,
            "places": confirmed.wanted.places,
            "export_sha256": sha256,
            "by": act.principal.name,
            "checkpoint": newest,
            "counts": confirmed.counts,
            "tables": confirmed.tables,
            "authority_version": confirmed.version,
        }
        signed = sign_drop(record, at=act.now, issuer=self.issuer, key=self.sealer.key())
        told = {name: record[name] for name in ("before", "events", "numbers", "export_sha256")}
        # The drop may delete the events with these digests. A later change has a higher version and its own event.
        digests = {name: [digest, digest] for name, digest in confirmed.tables.items()}
        detail = {**told, "record": signed, DIGESTS: digests}
        return audit.record_act(replace(tx, version=confirmed.version), act, EventKind.EVENTS_DROPPED, detail=detail)

    def _seal_all(self) -> None:
        """Seal all events that wait for their seal, because perhaps no server runs.

        A broken log is not reported here: the check after this call reports it.
        """
        with suppress(LogBroken):
            for _ in range(TURNS):
                if not self.sealer.seal():
                    return

    def _seal(self, number: int) -> None:
        """Seal events until the event with this number is sealed, by this process or a server.

        The event has the drop record.
        """
        for _ in range(TURNS):
            self.sealer.seal()
            if self.database.read(lambda tx: store.is_sealed(tx.connection, number)):
                return

    def _remove(self, record: DropRecord) -> None:
        """Delete the rows that the record lists: first whole partitions, then the other rows in batches."""
        while self.database.append(lambda tx: partitions.drop_partition(tx.connection, record.before, beside(record))):
            pass
        while self.database.append(lambda tx: delete_some(tx.connection, record)):
            pass


def _begun(tx: Tx, keys: Keys) -> DropRecord | None:
    """Return the sealed record of an interrupted drop; None if there is none.

    A drop was interrupted if some rows that its record lists still exist.
    """
    store.allow_long_statements(tx.connection)
    signed = (signed for place, signed in store.records(tx.connection, EventKind.EVENTS_DROPPED) if place is not None)
    return next((record for record in valid_drops(signed, keys) if some_left(tx.connection, record)), None)


def _check_held(wanted: EventsToDrop) -> None:
    """Refuse the drop if there are no events to drop, or if one of them is missing from the export or differs there.

    Raises `Conflict`.
    """
    if not wanted.events:
        raise Conflict("There is nothing to drop: the audit log has no events of those months.")
    if wanted.lacking:
        raise Conflict(
            f"The export lacks {wanted.lacking:,} of the {wanted.events:,} events that would be dropped.",
            "Make a new export, and keep it: authsec audit export-sealed",
        )
