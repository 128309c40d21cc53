"""The seal on the audit log: the tree, what is sealed when, and by whom; the same on both databases."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256

import pytest
from authsec_server.audit import service as audit
from authsec_server.audit.merkle_tree import COVERED, Tree, leaf_hash, node_hash
from authsec_server.audit.model import Event, EventKind, Refusal, Tally
from authsec_server.audit.sealing import store, unsealed
from authsec_server.audit.sealing.checkpoints import CheckpointRefused, Keys, read_checkpoint
from authsec_server.audit.sealing.log_check import Report
from authsec_server.audit.sealing.sealer import LogBroken, Sealer
from authsec_server.audit.sealing.service import following, oldest_unsealed_at
from authsec_server.audit.sealing.store import checkpoints
from authsec_server.audit.sealing.unsealed import BATCH
from authsec_server.audit.sealing.verifying import verify, verify_log
from authsec_server.audit.store import events, sealed_events
from authsec_server.db import Database, Tx
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.principal import Principal, PrincipalKind, Role
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Executable, delete, select, text, update

NOW = datetime.fromisoformat("2026-11-25T12:00:00+00:00")
MASTER = MasterKey(bytes(32))
READER = Principal(kind=PrincipalKind.ADMIN_KEY, id="key_reader", name="reader", role=Role.VIEWER)


class AuditLog:
    """An audit log with a sealer and a clock of its own."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = NOW
        self.keys = SealingKeys(database, MASTER, token_bytes=secrets.token_bytes)
        self.sealer = self.another_sealer()

    def another_sealer(self) -> Sealer:
        """As another process has it."""
        keys = SealingKeys(self.database, MASTER, token_bytes=secrets.token_bytes)
        keys.keep(self.now)
        return Sealer(
            self.database,
            issuer="https://authsec.example.com",
            signing_key=keys.signing_key,
            keys=keys.by_kid,
            now=lambda: self.now,
        )

    def record(self, number: int = 1) -> None:
        for _ in range(number):
            event = Event(at=self.now, kind=EventKind.ROLE_CREATED, request_id="req_00000000000000000000test")
            self.database.append(partial(audit.record, event=event))

    def refuse(self, at: datetime) -> None:
        """Count a refusal."""
        tallies = {
            Refusal(address="192.0.2.1", reason="rate_limited"): Tally(
                count=1, request_id="req_00000000000000000000test"
            )
        }
        self.database.append(lambda tx: audit.count_refusals(tx, tallies, at))

    def verify(self, how: Callable[[Tx, Keys], Report] = verify_log) -> Report:
        return self.database.read(lambda tx: how(tx, self.keys.by_kid()))


@pytest.fixture
def audit_log(database: Database) -> AuditLog:
    """An empty audit log, once per kind of database."""
    return AuditLog(database)


def naive_root(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, word by word."""
    if not leaves:
        return sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return node_hash(naive_root(leaves[:half]), naive_root(leaves[half:]))


@given(contents=st.lists(st.binary(max_size=4), max_size=70), cut=st.integers(0, 70))
def test_the_tree_is_that_of_the_rfc_however_it_was_grown(contents: list[bytes], cut: int) -> None:
    leaves = [leaf_hash(content) for content in contents]
    grown = Tree().with_leaves(leaves[:cut]).with_leaves(leaves[cut:])
    assert grown.root == naive_root(leaves)
    assert grown == Tree().with_leaves(leaves)
    assert Tree().with_leaves(leaves[:cut]).root == naive_root(leaves[:cut])  # an older checkpoint, of fewer leaves


def test_the_hashes_of_the_rfc() -> None:
    """Known answers: those that Certificate Transparency's implementations share."""
    assert Tree().root.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"


def test_a_column_that_comes_later_needs_another_form() -> None:
    assert {column.name for column in events.columns} == {*COVERED, "mac"}


@pytest.mark.sqlite_suffices
def test_what_is_committed_is_sealed_and_nothing_else_changes(audit_log: AuditLog) -> None:
    audit_log.record(3)
    assert audit_log.sealer.seal() is False
    report = audit_log.verify()
    assert (report.sealed, report.not_yet, report.findings, report.as_sealed) == (4, 0, (), True)  # and its key's event
    audit_log.record()
    assert audit_log.verify().not_yet == 1
    assert audit_log.verify().as_sealed
    checkpoint = audit_log.verify().last
    audit_log.sealer.seal()
    audit_log.sealer.seal()  # nothing new: no further checkpoint
    after = audit_log.verify(verify)
    assert (after.sealed, after.not_yet, after.as_sealed) == (5, 0, True)
    assert after.last is not None
    assert after.last != checkpoint


@pytest.mark.sqlite_suffices
def test_a_long_audit_log_is_sealed_in_batches_and_a_checkpoint_is_fresh(audit_log: AuditLog) -> None:
    at = {
        "at": NOW,
        "kind": "role.created",
        "authority_version": 0,
        "request_id": "",
        "delegations": [],
        "roles": [],
        "reason": "",
    }
    row = at | {"address": "", "jti": "", "kid": "", "token_sha256": "", "detail": {}, "occurrences": 1}
    # Each at a time of its own: of one time, which event is told as its last is the database's choice.
    rows = [row | {"at": NOW + timedelta(microseconds=number)} for number in range(BATCH + 1)]
    audit_log.database.append(lambda tx: tx.connection.execute(events.insert(), rows))
    assert audit_log.sealer.seal() is True
    assert audit_log.sealer.seal() is False
    assert audit_log.verify().sealed == BATCH + 2
    audit_log.now += timedelta(minutes=10)
    audit_log.sealer.seal()
    last = audit_log.verify().last
    assert last is not None
    assert (last.at, last.through) == (audit_log.now, BATCH + 2)


@pytest.mark.sqlite_suffices
def test_of_each_minute_the_last_checkpoint_stays_and_a_clock_put_back_takes_no_more_than_one(
    audit_log: AuditLog,
) -> None:
    def seal_at(seconds: int) -> list[int]:
        audit_log.now = NOW + timedelta(seconds=seconds)
        audit_log.record()
        audit_log.sealer.seal()
        kept = select(store.checkpoints.c.size).order_by(store.checkpoints.c.size)
        return audit_log.database.read(lambda tx: list(tx.connection.execute(kept).scalars()))

    assert [len(seal_at(second)) for second in (0, 20, 59, 60, 61, 120, 180)] == [1, 1, 1, 2, 2, 3, 4]
    before = seal_at(181)
    assert seal_at(30) == [*before[:-1], before[-1] + 1]


def test_rows_that_are_no_events_hold_up_nothing_behind_them(
    audit_log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    if audit_log.database.dialect == "postgresql":
        pytest.skip("PostgreSQL takes no such rows")
    monkeypatch.setattr(unsealed, "BATCH", 2)
    audit_log.record(4)
    spoil = update(events).where(events.c.id.between(2, 4)).values(kid=text("CAST(x'ff' AS TEXT)"), detail=text("'{'"))
    audit_log.database.append(lambda tx: tx.connection.execute(spoil))
    for _ in range(6):
        audit_log.sealer.seal()
    assert audit_log.verify().sealed == 2  # the key's making, and the last one: those between say nothing
    audit_log.now += timedelta(minutes=10)
    audit_log.sealer.seal()
    assert [finding for finding in audit_log.verify().findings if "Event 3 has no seal" in finding]


@pytest.mark.sqlite_suffices
def test_findings_about_events_come_before_those_about_the_schema(audit_log: AuditLog) -> None:
    """Many objects are not in the way of the one event that matters."""
    audit_log.record(3)
    audit_log.sealer.seal()
    audit_log.database.append(lambda tx: tx.connection.execute(text("UPDATE events SET reason = 'x' WHERE id = 2")))
    for number in range(120):
        made = text(f"CREATE VIEW another_{number} AS SELECT 1 AS one")
        audit_log.database.append(lambda tx, made=made: tx.connection.execute(made))
    report = audit_log.verify(verify)
    assert report.findings[0] == "Event 2 was changed: the event differs from its seal."
    *schema, others = report.findings[1:]
    assert all("another_" in each for each in schema)
    assert (len(schema), others, report.more) == (50, "And 70 others are unknown to AuthSec.", 0)


@pytest.mark.sqlite_suffices
def test_a_refusal_is_not_counted_into_a_row_that_a_fast_clock_has_sealed(audit_log: AuditLog) -> None:
    """The row would change after its seal, and `verify` would report a change that nobody made."""
    audit_log.refuse(NOW)
    audit_log.now = NOW + timedelta(hours=3)
    audit_log.sealer.seal()
    audit_log.now = NOW
    for _ in range(3):
        audit_log.refuse(NOW)
    counted = select(events.c.occurrences).where(events.c.count_key.is_not(None)).order_by(events.c.id)
    assert audit_log.database.read(lambda tx: list(tx.connection.execute(counted).scalars())) == [1, 3]
    assert audit_log.verify().findings == ()


@pytest.mark.sqlite_suffices
def test_a_counted_refusal_is_sealed_once_it_grows_no_more(audit_log: AuditLog) -> None:
    audit_log.refuse(NOW)
    audit_log.sealer.seal()
    audit_log.record()
    audit_log.refuse(NOW + timedelta(seconds=59))
    audit_log.sealer.seal()
    assert (audit_log.verify().not_yet, audit_log.verify().findings) == (1, ())
    audit_log.now += timedelta(minutes=6)
    audit_log.sealer.seal()
    assert (audit_log.verify().not_yet, audit_log.verify().as_sealed) == (0, True)


@pytest.mark.soak
def test_an_event_that_was_committed_late_is_sealed_as_well(audit_log: AuditLog) -> None:
    """On PostgreSQL a number is given before the commit: here the row is held back, then there with its old number."""
    audit_log.record(3)
    row = audit_log.database.read(lambda tx: tx.connection.execute(select(events).where(events.c.id == 2)).one())
    audit_log.database.append(lambda tx: tx.connection.execute(delete(events).where(events.c.id == 2)))
    audit_log.sealer.seal()
    audit_log.now += timedelta(minutes=1)
    audit_log.sealer.seal()
    audit_log.record()
    audit_log.sealer.seal()
    audit_log.database.append(lambda tx: tx.connection.execute(events.insert().values(**row._asdict())))
    audit_log.sealer.seal()
    assert audit_log.verify().not_yet == 1
    audit_log.now += timedelta(seconds=10)
    audit_log.sealer.seal()
    assert (audit_log.verify().not_yet, audit_log.verify().as_sealed) == (0, True)


@pytest.mark.postgresql_suffices
def test_several_sealers_take_turns_and_one_that_is_gone_is_missed_by_nobody(audit_log: AuditLog) -> None:
    others = [audit_log.another_sealer() for _ in range(2)]
    for turn in range(6):
        audit_log.record()
        sealer = [audit_log.sealer, *others][turn % 3]
        while sealer.seal():
            pass
        assert audit_log.verify().not_yet == 0
    assert audit_log.verify().as_sealed
    assert audit_log.database.read(lambda tx: store.size(tx.connection)) == 7


def test_nobody_seals_while_another_has_the_turn(audit_log: AuditLog) -> None:
    audit_log.record()
    audit_log.sealer.seal()
    if audit_log.database.dialect == "sqlite":
        return  # it has one writer at a time anyway
    audit_log.record()

    def meanwhile(tx: Tx) -> bool:
        assert store.lock_sealing(tx.connection)
        return audit_log.sealer.seal()

    audit_log.database.append(meanwhile)
    assert audit_log.verify().not_yet == 1
    audit_log.sealer.seal()
    assert audit_log.verify().not_yet == 0


@pytest.mark.sqlite_suffices
def test_whoever_reads_an_event_is_told_whether_it_is_what_was_sealed(audit_log: AuditLog) -> None:
    """Alone, on a page and in the order of sealing: by the hash of its row as it stands."""
    audit_log.record(2)  # behind the key's making
    audit_log.sealer.seal()
    audit_log.record()
    changed = update(events).where(events.c.id == 2).values(address="192.0.2.1")
    audit_log.database.append(lambda tx: tx.connection.execute(changed))
    numbers = range(1, 5)
    alone = audit_log.database.read(lambda tx: [audit.event(tx, READER, number) for number in numbers])
    page = audit_log.database.read(lambda tx: audit.page(tx, READER, after=0)).items
    followed = audit_log.database.read(lambda tx: following(tx, READER, after=-1, limit=9)).events
    assert [each.as_sealed for each in alone] == [True, False, True, None]
    assert [each.as_sealed for each in page] == [True, False, True, None]
    assert [each.as_sealed for each in followed] == [True, False, True]


SPOILED: dict[str, Executable] = {
    "a hash": update(sealed_events).where(sealed_events.c.position == 1).values(hash=bytes(32)),
    "a leaf less": delete(sealed_events).where(sealed_events.c.position == 3),
    "a foreign checkpoint": update(checkpoints).values(signed="e30.e30.AAAA"),
    # What the next two are on SQLite, PostgreSQL does not take: there they are another hash, and a foreign checkpoint.
    "a hash that is none": text("UPDATE sealed_events SET hash = 'text' WHERE position = 1"),
    "a checkpoint that is no text": text("UPDATE checkpoints SET signed = CAST(X'ff' AS TEXT)"),
}


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("what", SPOILED)
def test_nothing_is_signed_over_a_log_that_is_broken(audit_log: AuditLog, what: str) -> None:
    """A sealer that begins reads the leaves; whether an event's row is what was sealed is for `verify` to say."""
    audit_log.record(3)
    audit_log.sealer.seal()
    audit_log.database.append(lambda tx: tx.connection.execute(SPOILED[what]))
    audit_log.record()
    with pytest.raises(LogBroken):
        audit_log.another_sealer().seal()
    assert audit_log.verify().findings
    assert audit_log.verify().not_yet >= 1


def test_a_log_that_goes_back_while_it_is_sealed_is_continued_by_nobody(audit_log: AuditLog) -> None:
    audit_log.record(3)
    audit_log.sealer.seal()
    before = audit_log.database.read(lambda tx: store.last_signed(tx.connection))
    audit_log.now += timedelta(minutes=1)
    audit_log.record()
    audit_log.sealer.seal()
    audit_log.database.append(
        lambda tx: tx.connection.execute(delete(checkpoints).where(checkpoints.c.signed != before))
    )
    with pytest.raises(LogBroken, match="shorter than before"):
        audit_log.sealer.seal()
    audit_log.database.append(lambda tx: tx.connection.execute(delete(checkpoints)))
    with pytest.raises(LogBroken, match="missing"):
        audit_log.sealer.seal()


def test_a_checkpoint_says_nothing_to_whoever_has_another_key(audit_log: AuditLog) -> None:
    audit_log.record()
    audit_log.sealer.seal()
    last = audit_log.verify().last
    assert last is not None
    with pytest.raises(CheckpointRefused, match="that was not given"):
        read_checkpoint(last.signed, {})
    assert read_checkpoint(last.signed, audit_log.keys.by_kid()) == last
    assert last.signed not in repr(last)


def test_metrics_get_the_time_of_the_oldest_event_without_a_seal(audit_log: AuditLog) -> None:
    """A refusal is counted for minutes before its seal, so it is late only after ten minutes."""

    def oldest() -> datetime | None:
        return audit_log.database.read(lambda tx: oldest_unsealed_at(tx, audit_log.now))

    audit_log.record()
    audit_log.sealer.seal()
    assert oldest() is None
    audit_log.now += timedelta(seconds=1)
    audit_log.refuse(audit_log.now)
    assert oldest() is None
    refused_at = audit_log.now.replace(second=0)
    audit_log.now += timedelta(minutes=2)
    recorded_at = audit_log.now
    audit_log.record(2)
    assert oldest() == recorded_at
    audit_log.now += timedelta(minutes=9)
    assert oldest() == refused_at
    while audit_log.sealer.seal():
        pass
    assert oldest() is None
