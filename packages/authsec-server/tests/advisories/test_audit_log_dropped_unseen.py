"""Old months are dropped from the audit log, and somebody who administers the database hides behind that.

They can write every table, and have no master key. What is missing counts as dropped by right only where a record of
it, signed by the sealing key, was sealed before; and rows are dropped only if an export has every one of them, as it
was sealed. Dropping itself can be killed at any time, asked for twice, or meet an event that comes late.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from authsec.jose import PrivateKey
from authsec_server.audit import partitions as audit_partitions
from authsec_server.audit import service as audit
from authsec_server.audit.count_rows import TABLES
from authsec_server.audit.merkle_tree import COVERED, Tree
from authsec_server.audit.model import Decision, Event, EventKind, Named
from authsec_server.audit.rollup import roll_up
from authsec_server.audit.sealing.checkpoints import Checkpoint, CheckpointRefused, sign_checkpoint
from authsec_server.audit.sealing.count_rebuild import rebuild_counts
from authsec_server.audit.sealing.dropped import DropRecord, read_drop, runs, sign_drop, valid_drops
from authsec_server.audit.sealing.exporting import export, verify_export
from authsec_server.audit.sealing.given import KeptExport
from authsec_server.audit.sealing.lines import NotAnExport
from authsec_server.audit.sealing.log_check import LogCheck, Report
from authsec_server.audit.sealing.retention import Dropper
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.succession import succession
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.audit.store import checkpoints, events, hourly_counts, sealed_events
from authsec_server.db import Database, Tx
from authsec_server.failures import Conflict, Invalid
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.principal import LOCAL_OPERATOR, Act
from databases import FilledOnce, raise_version_to
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, delete, func, insert, select, update

pytestmark = pytest.mark.sqlite_suffices

JUNE = datetime.fromisoformat("2026-06-10T12:00:00+00:00")
AUGUST = datetime.fromisoformat("2026-08-01T00:00:00+00:00")
NOVEMBER = datetime.fromisoformat("2026-11-25T12:00:00+00:00")
NO_COUNTS = dict.fromkeys((table.name for table in TABLES), "00" * 32)  # digests of none
UNSAID: dict[str, Any] = {"counts": NO_COUNTS, "tables": {}, "authority_version": 1}


_old: FilledOnce[tuple[datetime, list[str], list[str], Checkpoint | None]] = FilledOnce()


class Old:
    """An audit log with events of June, July and November, all of them sealed, and an export of it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        database.append(lambda tx: audit_partitions.prepare_months(tx.connection, JUNE))
        keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
        sealer = Sealer(
            database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: self.now
        )
        self.sealer = sealer
        self.dropper = Dropper(database=database, sealer=sealer, issuer="https://a", keys=keys.by_kid)
        self.now, early, lines, self.kept = _old.fill(database, lambda: self._fill(keys))
        self.early, self.lines = [*early], [*lines]
        self.key, self.keys = keys.signing_key(), keys.by_kid()

    def _fill(self, keys: SealingKeys) -> tuple[datetime, list[str], list[str], Checkpoint | None]:
        keys.keep(JUNE)
        raise_version_to(self.database, 10)
        early: list[str] = []
        for at in (JUNE, JUNE + timedelta(days=30), NOVEMBER):
            self.now = at
            for number in range(4):
                self.record(at + timedelta(seconds=number))
            self.settle()
            early = early or list(export(self.database))
        last = self.database.read(lambda tx: verify_log(tx, keys.by_kid())).last
        return self.now, early, list(export(self.database)), last

    def record(self, at: datetime, kind: EventKind = EventKind.TOKEN_ISSUED, **what: Any) -> int:
        client = Named(id="c1", name="Agent")
        usual: dict[str, Any] = {"client": client, "decision": Decision.GRANTED, "expires_at": at + timedelta(hours=1)}
        what = usual | what
        event = Event(at=at, kind=kind, request_id=f"req_{secrets.token_hex(12)}", **what)
        return self.database.append(lambda tx: audit.record(tx, event))

    def settle(self) -> None:
        self.now += timedelta(minutes=10)
        while self.sealer.seal():
            pass
        roll_up(self.database, self.now)

    def settle_late(self) -> None:
        """Seal an event that is dated months back. On PostgreSQL, it waits until a later event has settled."""
        self.record(self.now)
        self.settle()
        self.settle()

    def act(self) -> Act:
        return Act(principal=LOCAL_OPERATOR, now=self.now, request_id="", address="", token_bytes=secrets.token_bytes)

    def drop(self, lines: list[str] | None = None, before: datetime = AUGUST) -> DropRecord:
        lines = self.lines if lines is None else lines
        return self.dropper.drop(self.act(), before, lines, sha256("".join(lines).encode()).hexdigest())

    def report(self, *lines: list[str]) -> Report:
        files = [KeptExport("old.jsonl", each) for each in lines]
        kept = [self.kept] if self.kept else []
        return self.database.read(lambda tx: verify_log(tx, self.keys, kept, files))

    def numbers(self) -> list[int]:
        return self.database.read(lambda tx: list(tx.connection.execute(select(events.c.id).order_by("id")).scalars()))

    def run(self, *statements: Any) -> None:
        self.database.append(lambda tx: [tx.connection.execute(each) for each in statements] and None)

    def findings_after(self, *statements: Any) -> str:
        """What is found once somebody has done that; afterwards all is as it was."""
        found: list[Report] = []

        def attempt(tx: Tx) -> None:
            for each in statements:
                tx.connection.execute(each)
            found.append(verify_log(tx, self.keys, counts=False))  # the counts have tests of their own
            raise Undone

        with pytest.raises(Undone):
            self.database.append(attempt)
        return "\n".join(found[0].findings)


class Undone(Exception):
    """Rolls a transaction back."""


@pytest.fixture
def old(database: Database) -> Old:
    made = Old(database)
    assert made.report().as_sealed
    return made


@pytest.mark.soak
def test_what_was_dropped_after_an_export_is_missing_by_right_and_the_rest_is_as_sealed(old: Old) -> None:
    counted = old.database.read(lambda tx: tx.connection.execute(select(hourly_counts)).all())
    record = old.drop()
    assert (record.before, record.events, record.by) == ("2026-08", 8, "local operator")
    assert old.numbers() == [1, *range(10, 15)]  # the making of the key stays, and the record has come
    old.settle()
    report = old.report()
    assert (report.findings, report.sealed, report.last is not None) == ((), 14, True)
    ((what),) = report.dropped
    assert (what.missing, what.sealed, what.record.export_sha256) == (
        8,
        True,
        sha256("".join(old.lines).encode()).hexdigest(),
    )
    assert old.report(old.lines).dropped[0].given == 8
    after = list(export(old.database))
    exported = verify_export(after, old.keys, [old.kept] if old.kept else [], [KeptExport("old.jsonl", old.lines)])
    assert (exported.findings, exported.dropped[0].missing, exported.dropped[0].given) == ((), 8, 8)
    assert old.database.read(lambda tx: tx.connection.execute(select(hourly_counts)).all()) == counted
    with pytest.raises(Conflict, match="nothing to drop"):
        old.drop(after)
    with pytest.raises(Conflict, match="nothing to drop"):
        old.drop(after, before=AUGUST - timedelta(days=31))


@pytest.mark.soak
def test_a_later_dropping_keeps_the_records_of_those_before(old: Old) -> None:
    first = old.drop(before=AUGUST - timedelta(days=31))
    assert (first.before, first.events) == ("2026-07", 4)
    old.settle()
    old.now += timedelta(days=40)
    old.settle()
    second = old.drop(
        list(export(old.database)), before=old.now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    )
    assert second.events == 8
    old.settle()
    report = old.report()
    assert (report.findings, [each.missing for each in report.dropped]) == ((), [4, 8])


def test_nothing_is_dropped_unless_the_export_has_every_row_as_it_was_sealed(old: Old) -> None:
    before = old.numbers()
    place = next(at for at, line in enumerate(old.lines) if '"number":3,' in line)
    spoiled = {
        "a row less": [*old.lines[:place], *old.lines[place + 1 :]],
        "a row emptied": [
            *old.lines[:place],
            old.lines[place].replace(old.lines[place][len('{"event":') : old.lines[place].index(',"hash"')], "null"),
            *old.lines[place + 1 :],
        ],
        "a row changed": [*old.lines[:place], old.lines[place].replace("req_", "req-"), *old.lines[place + 1 :]],
        "cut off": old.lines[:3],
    }
    for what, lines in spoiled.items():
        with pytest.raises(Conflict, match="export"):
            old.drop(lines)
        assert old.numbers() == before, what


def test_an_export_from_before_the_last_of_those_events_is_not_enough(old: Old) -> None:
    with pytest.raises(Conflict, match="lacks 4 of the 8"):
        old.drop(old.early)


@pytest.mark.soak  # test_event_that_is_dated_back.py has such events
def test_an_event_that_was_sealed_after_the_cut_stays_though_it_is_dated_before(old: Old) -> None:
    """Else nobody could tell it from an event of yesterday that the holder of the key has dated back."""
    late = old.record(JUNE + timedelta(days=31))
    old.settle_late()
    rebuild_counts(old.database, old.act(), old.keys)  # its time is long counted
    assert old.drop(list(export(old.database))).events == 8
    assert late in old.numbers()
    assert old.report().findings == ()


def test_what_is_not_over_alive_not_sealed_or_not_counted_stays(old: Old) -> None:
    with pytest.raises(Invalid, match="before it is over"):
        old.drop(before=datetime.fromisoformat("2026-12-01T00:00:00+00:00"))
    end = datetime.fromisoformat("2026-12-01T00:00:00+00:00")
    old.now = end - timedelta(minutes=1)
    alive = old.record(old.now, expires_at=end + timedelta(days=6))
    old.settle()
    with pytest.raises(Conflict, match="still valid"):
        old.drop(list(export(old.database)), before=end)
    old.now += timedelta(days=8)
    old.settle()
    late = old.record(JUNE)  # neither counted nor sealed
    with pytest.raises(Conflict, match="Not all events are"):
        old.drop()
    assert {alive, late} <= set(old.numbers())
    old.settle_late()
    lines = list(export(old.database))
    old.run(update(events).where(events.c.id == 12).values(client_name="Somebody else"))  # of November, which stays
    with pytest.raises(Conflict, match="The audit log was changed after it was sealed"):
        old.drop(lines)
    assert len(old.numbers()) == 16


def test_an_export_that_cannot_be_checked_itself_is_not_enough(old: Old) -> None:
    """It has each of those events; but later nobody could show by it that it was whole."""
    november = next(at for at, line in enumerate(old.lines) if '"number":12,' in line)
    for lines in (old.lines[:-1], [*old.lines[:november], *old.lines[november + 1 :]]):
        with pytest.raises(Conflict, match="The export differs from the seals"):
            old.drop(lines)


def test_a_record_of_another_log_excuses_nothing_unseen(old: Old) -> None:
    """Signed by the very key, over a copy of the database that went its own way."""
    assert old.kept is not None
    elsewhere = Tree().with_leaves(bytes(32) for _ in range(old.kept.size))
    checkpoint = sign_checkpoint(elsewhere, through=0, at=old.now, issuer="https://a", key=old.key)
    old.record(NOVEMBER, EventKind.EVENTS_DROPPED, detail=forged(old, old.key, checkpoint=checkpoint.signed))
    old.settle()
    assert "do not match the checkpoint" in old.findings_after(delete(events).where(events.c.id == 3))


@pytest.mark.parametrize("database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.soak)], indirect=True)
def test_an_event_that_comes_while_its_month_is_dropped_is_neither_dropped_nor_lost(
    old: Old, monkeypatch: pytest.MonkeyPatch
) -> None:
    came: list[int] = []
    genuine = old.dropper._remove

    def late(_: Dropper, record: DropRecord) -> None:
        came.append(old.record(JUNE))
        genuine(record)

    monkeypatch.setattr(Dropper, "_remove", late)
    old.drop()
    assert came[0] in old.numbers()
    old.settle()
    assert old.report().findings == ()


@pytest.mark.parametrize("database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.soak)], indirect=True)
def test_a_dropping_that_was_killed_is_finished_by_the_next(old: Old, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Dropper, "_remove", lambda *_: None)
        first = old.drop()
    old.run(delete(events).where(events.c.id == 4))  # as far as it had come
    (unfinished,) = old.report().findings
    assert "7 events that the record names are still there. To finish a drop that was interrupted" in unfinished
    assert old.drop([]) == first
    assert (old.report().findings, old.report().dropped[0].missing) == ((), 8)


def forged(old: Old, key: PrivateKey, **changes: Any) -> dict[str, Any]:
    """A record of June's second event, as whoever has that key would write it."""
    assert old.kept is not None
    record: dict[str, Any] = {"before": "2026-08", "events": 1, "numbers": [3, 3], "places": [[2, 2]], "by": "ann"}
    record |= {"export_sha256": "00" * 32, "checkpoint": old.kept.signed} | UNSAID | changes
    return {"record": sign_drop(record, at=old.now, issuer="https://a", key=key)}


def test_a_record_that_the_sealing_key_did_not_sign_excuses_nothing(old: Old) -> None:
    gone = delete(events).where(events.c.id == 3)
    for detail in (forged(old, PrivateKey.generate_ed25519()), {"record": "e30.e30.AAAA"}, {"record": 7}, {}):
        old.record(NOVEMBER, EventKind.EVENTS_DROPPED, detail=detail)
        old.settle()  # sealed, as all that is inserted
        assert old.findings_after(gone) == "Event 3 was dropped: only its seal is left."


def test_copies_of_a_record_are_read_once(old: Old) -> None:
    record = old.drop()
    assert len(valid_drops([record.signed] * 1000, old.keys)) == 1


def test_only_what_the_record_names_is_excused_and_only_once_the_record_is_sealed(old: Old) -> None:
    record = old.drop()
    old.settle()
    assert "Event 10 was dropped" in old.findings_after(delete(events).where(events.c.id == 10))
    number = old.numbers()[-1]
    assert "the record of the drop is not sealed" in old.findings_after(
        update(events).where(events.c.id == number).values(request_id="req_0000000000000000000other")
    )
    row = old.database.read(lambda tx: tx.connection.execute(select(events).where(events.c.id == number)).one())
    again = insert(events).values(row._asdict() | {"id": 1000})
    told = old.findings_after(delete(events).where(events.c.id == number), again)
    assert "the record of the drop is not sealed" in told
    assert f"Event {number} was dropped" in told
    more = {**row.detail, "record": forged(old, PrivateKey.generate_ed25519())["record"]}
    assert "Event 3 was dropped" in old.findings_after(update(events).where(events.c.id == number).values(detail=more))
    assert record.covers(2)
    assert not record.covers(0)


@pytest.mark.soak  # test_audit_log_rewritten.py changes every column of an event in every run
def test_every_change_of_the_record_is_found(old: Old) -> None:
    old.drop()
    old.settle()
    number = old.numbers()[-1]
    row = old.database.read(lambda tx: tx.connection.execute(select(events).where(events.c.id == number)).one())
    for name in COVERED:
        value = row._mapping[name]
        other: Any = "other"
        if isinstance(value, datetime) or name == "expires_at":
            other = NOVEMBER - timedelta(days=1)
        elif isinstance(value, int) or name == "authority_version":
            other = 4711
        elif isinstance(value, list):
            other = [{"id": "x", "name": "x"}]
        elif isinstance(value, dict):
            other = value | {"events": 9}
        assert old.findings_after(update(events).where(events.c.id == number).values({name: other})), name


def test_a_row_that_is_put_back_changed_is_found_as_changed(old: Old) -> None:
    row = old.database.read(lambda tx: tx.connection.execute(select(events).where(events.c.id == 3)).one())
    old.drop()
    old.settle()
    assert "1 events that the record names are still there" in old.findings_after(insert(events).values(row._asdict()))
    told = old.findings_after(insert(events).values(row._asdict() | {"client_name": "Somebody else"}))
    assert "Event 3 was changed: the event differs from its seal." in told
    moved = update(sealed_events).where(sealed_events.c.event_id == 3).values(event_id=1003)
    assert old.findings_after(moved, insert(events).values(row._asdict())) != ""  # under a number that has no seal


def test_a_file_that_has_only_some_of_it_is_not_enough_and_one_that_has_it_changed_is_found(old: Old) -> None:
    old.drop()
    old.settle()
    place = next(at for at, line in enumerate(old.lines) if '"number":3,' in line)
    some = old.report([*old.lines[:place], *old.lines[place + 1 :]])
    assert (some.findings, some.not_checkable) == ((), 1)
    changed = [*old.lines[:place], old.lines[place].replace("req_", "req-"), *old.lines[place + 1 :]]
    assert "Event 3 in old.jsonl differs from its seal." in old.report(changed).findings
    with pytest.raises(NotAnExport):
        old.report(["something else\n"])


def test_what_two_files_hold_is_there_once(old: Old) -> None:
    """Each export holds all that there was then, so later ones hold again what is in those before."""
    old.drop()
    old.settle()
    report = old.report(old.lines, old.lines)
    assert (report.findings, report.dropped[0].given) == ((), 8)
    halves = old.report(old.lines[:5], old.lines[3:])
    assert (halves.findings, halves.dropped[0].given) == ((), 8)


def test_a_record_that_does_not_hold_together_is_none(old: Old) -> None:
    """The authority signs none such; but what is not understood must excuse nothing."""
    wrong: list[dict[str, Any]] = [
        {"places": []},
        {"places": [[2, 2], [2, 2]]},
        {"places": [[3, 2]]},
        {"places": [[2, 3]]},
        {"places": [[True, 2]]},
        {"places": [[999, 999]]},
        {"places": "22"},
        {"events": 2},
        {"export_sha256": "x"},
        {"checkpoint": "e30.e30.AAAA"},
        {"numbers": [5]},
    ]
    assert read_drop(forged(old, old.key)["record"], old.keys).events == 1
    for changes in wrong:
        with pytest.raises(CheckpointRefused):
            read_drop(forged(old, old.key, **changes)["record"], old.keys)


@given(places=st.sets(st.integers(0, 60)))
def test_runs_cover_what_they_were_made_of_and_nothing_else(places: set[int]) -> None:
    nothing = Checkpoint(size=0, root="", through=0, at=NOVEMBER, signed="")
    its: dict[str, Any] = {
        "before": "",
        "events": 0,
        "numbers": (0, 0),
        "export_sha256": "",
        "by": "",
        "at": NOVEMBER,
        "signed": "",
        "counts": NO_COUNTS,
        "tables": {},
        "version": 1,
    }
    made = DropRecord(**its, places=runs(sorted(places)), checkpoint=nothing)
    assert {place for place in range(62) if made.covers(place)} == places


@pytest.mark.soak
@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_whole_partitions_go_and_what_stays_of_them_is_kept(old: Old) -> None:
    if old.database.dialect == "sqlite":
        return
    old.drop()

    def partitions(connection: Connection) -> set[str]:
        named = select(
            func.to_regclass("events_2026_06"), func.to_regclass("events_2026_07"), func.to_regclass("events_2026_08")
        )
        return {name for name in connection.execute(named).one() if name}

    assert old.database.read(lambda tx: partitions(tx.connection)) == {"events_2026_08"}


@pytest.mark.parametrize("before", ["2026-08", "2026-11"])
def test_the_sealing_key_excuses_no_deletion_of_what_was_sealed_after_the_cut(old: Old, before: str) -> None:
    """The thief of the key drops the events of this month by a record that says they were older."""
    detail = forged(old, old.key, before=before, events=4, numbers=[10, 13], places=[[9, 12]])
    old.record(old.now, EventKind.EVENTS_DROPPED, detail=detail)
    old.settle()
    told = old.findings_after(delete(events).where(events.c.id.between(10, 13)))
    assert f"with the months before {before}, but sealed only after the drop of these months" in told


def test_a_record_with_a_cut_after_its_own_time_is_none(old: Old) -> None:
    signed = forged(old, old.key, before="2026-12")["record"]
    with pytest.raises(CheckpointRefused, match="not a record of dropped events"):
        read_drop(signed, old.keys)


def test_checkpoints_that_the_key_has_dated_back_are_found_by_a_checkpoint_that_was_kept(old: Old) -> None:
    """They would show that what is dropped had been sealed before the cut."""
    assert old.kept is not None
    victim = old.record(old.now)
    old.settle()
    place = old.kept.size
    forged_record = forged(old, old.key, events=1, numbers=[victim, victim], places=[[place, place]], before="2026-11")
    old.record(old.now, EventKind.EVENTS_DROPPED, detail=forged_record)
    old.settle()

    def attack(tx: Tx) -> Report:
        hashes = tx.connection.execute(select(sealed_events.c.hash).order_by(sealed_events.c.position)).scalars().all()
        then = datetime.fromisoformat("2026-10-20T00:00:00+00:00")
        tx.connection.execute(delete(checkpoints).where(checkpoints.c.at > then))
        for size in (place + 1, len(hashes)):
            tree = Tree().with_leaves(bytes(each) for each in hashes[:size])
            checkpoint = sign_checkpoint(tree, through=victim, at=then, issuer="https://a", key=old.key)
            tx.connection.execute(insert(checkpoints).values(size=size, at=then, signed=checkpoint.signed))
        tx.connection.execute(delete(events).where(events.c.id == victim))
        found.append(verify_log(tx, old.keys, [each for each in [old.kept] if each]))
        raise Undone

    found: list[Report] = []
    with pytest.raises(Undone):
        old.database.append(attack)
    assert "before the checkpoint of" in "\n".join(found[0].findings)


def test_dropped_events_of_another_time_are_found_in_the_export_that_is_given(old: Old) -> None:
    """A record whose cut is later than the event's month would pass else, where no checkpoint of that time was kept."""
    record = old.drop(before=AUGUST - timedelta(days=31))
    july = next(place for place, line in enumerate(old.lines) if '"at":"2026-07' in line and '"event"' in line)
    read = json.loads(old.lines[july])
    wide = dataclasses.replace(record, places=((0, 20),), events=21)
    log_check = LogCheck(
        keys=succession((), old.keys), kept=(), records=[wide], given=[KeptExport("old.jsonl", old.lines)]
    )
    log_check.report_missing_event(read["place"], read["number"], bytes.fromhex(read["hash"]))
    assert "is from 2026-07-10, but was dropped with the months before that date" in log_check.findings[0]


def test_what_was_dropped_and_is_not_given_is_counted_as_not_checkable(old: Old) -> None:
    old.drop()
    assert (old.report().not_checkable, old.report(old.lines).not_checkable) == (8, 0)
