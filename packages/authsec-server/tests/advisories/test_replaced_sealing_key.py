"""The key of the seals was stolen, and is replaced. The thief writes to the database as well.

What the old key had sealed by then counts as before. But the checkpoint that covers the record of the replacement is
its last: it extends the log no further, names no other successor, and excuses nothing that was dropped.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from authsec.jose import PrivateKey
from authsec_server.audit import service as audit
from authsec_server.audit.count_rows import TABLES
from authsec_server.audit.merkle_tree import COVERED, Tree, event_hash
from authsec_server.audit.model import Event, EventKind
from authsec_server.audit.sealing import service
from authsec_server.audit.sealing.checkpoints import Checkpoint, Keys, sign_checkpoint
from authsec_server.audit.sealing.dropped import sign_drop
from authsec_server.audit.sealing.exporting import export, verify_export
from authsec_server.audit.sealing.log_check import Report
from authsec_server.audit.sealing.sealer import LogBroken, Sealer
from authsec_server.audit.sealing.store import checkpoints
from authsec_server.audit.sealing.succession import sign_replacement, succession
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.audit.store import events, sealed_events
from authsec_server.db import Database, Tx
from authsec_server.failures import Conflict, RoleTooSmall
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.keys.store import sealing_keys
from authsec_server.principal import LOCAL_OPERATOR, Act, Principal, PrincipalKind, Role
from sqlalchemy import delete, insert, select, update

pytestmark = pytest.mark.sqlite_suffices

NOW = datetime.fromisoformat("2026-11-25T12:00:00+00:00")
ISSUER = "https://authsec.example.com"


class Replaced:
    """An audit log whose key was replaced in the middle, and what an outsider and a thief have of it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = NOW
        self.signed: list[Checkpoint] = []
        self.held, self.sealer = self.server()
        self.record(3)
        self.old, self.before = self.held.signing_key(), self.held.by_kid()
        self.kid, self.was = self.replace()
        self.end = (
            self.size() + 1
        )  # seals, once the record has its own; what comes in the same moment is not the old key's
        self.record(2, sealing=False)
        self.record()
        self.now += timedelta(minutes=10)
        self.seal()
        self.keys = self.held.by_kid()

    def server(self) -> tuple[SealingKeys, Sealer]:
        """One process."""
        held = SealingKeys(self.database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
        held.keep(NOW)
        return held, Sealer(
            self.database,
            issuer=ISSUER,
            signing_key=held.signing_key,
            keys=held.by_kid,
            now=lambda: self.now,
            give=self.signed.append,
        )

    def record(
        self, times: int = 1, kind: EventKind = EventKind.ROLE_CREATED, *, sealing: bool = True, **what: Any
    ) -> None:
        for _ in range(times):
            event = Event(at=self.now, kind=kind, request_id="req_000000000000000000000001", **what)
            self.database.append(partial(audit.record, event=event))
            if sealing:
                self.seal()

    def seal(self) -> None:
        self.now += timedelta(seconds=1)
        while self.sealer.seal():
            pass

    def replace(self, principal: Principal = LOCAL_OPERATOR) -> tuple[str, str]:
        act = Act(principal=principal, now=self.now, request_id="", address="", token_bytes=secrets.token_bytes)
        return self.database.change(lambda tx: self.held.replace(tx, act, issuer=ISSUER))

    def size(self) -> int:
        return len(self.database.read(lambda tx: tx.connection.execute(select(sealed_events)).all()))

    def checkpoints(self) -> list[str]:
        return self.database.read(
            lambda tx: list(tx.connection.execute(select(checkpoints.c.signed).order_by(checkpoints.c.size)).scalars())
        )

    def report(self, keys: Keys | None = None, ends: dict[str, int] | None = None) -> Report:
        return self.database.read(lambda tx: verify_log(tx, keys or self.keys, ends=ends))

    def findings_after(self, *statements: Any, ends: dict[str, int] | None = None, keys: Keys | None = None) -> str:
        """What is found once somebody has done that; afterwards all is as it was."""
        found: list[Report] = []

        def attempt(tx: Tx) -> None:
            for each in statements:
                tx.connection.execute(each)
            found.append(verify_log(tx, keys or self.keys, ends=ends))
            raise Undone

        with pytest.raises(Undone):
            self.database.append(attempt)
        return "\n".join(found[0].findings)

    def forged_checkpoint(self, key: PrivateKey, leaves: int) -> Any:
        """The statement that puts a checkpoint of the first leaves there, signed by whoever has that key."""
        rows = self.database.read(
            lambda tx: tx.connection.execute(select(sealed_events).order_by(sealed_events.c.position)).all()
        )
        tree = Tree().with_leaves(bytes(row.hash) for row in rows[:leaves])
        checkpoint = sign_checkpoint(tree, through=0, at=self.now + timedelta(minutes=1), issuer=ISSUER, key=key)
        return insert(checkpoints).values(size=checkpoint.size, at=checkpoint.at, signed=checkpoint.signed)


class Undone(Exception):
    """Rolls a transaction back."""


@pytest.fixture
def replaced(database: Database) -> Replaced:
    return Replaced(database)


def test_the_new_key_signs_and_who_has_either_checks_across_the_change(replaced: Replaced) -> None:
    last = replaced.report().last
    assert last is not None
    assert (last.kid, replaced.was) == (replaced.kid, replaced.old.public.thumbprint())
    by_old = [head.size for head in replaced.signed if head.kid == replaced.was]
    assert max(by_old) == replaced.end  # the very seal of the record is its last
    for keys in (replaced.keys, replaced.before):  # who kept the first key only learns the second of the log
        report = replaced.report(keys)
        assert (report.findings, report.not_yet, report.sealed) == ((), 0, 8)
        assert verify_export(list(export(replaced.database)), keys).findings == ()
    assert replaced.database.read(lambda tx: service.ends(tx, replaced.keys)) == {replaced.was: replaced.end}
    published = {each["kid"]: each for each in replaced.held.published()}
    assert published[replaced.was]["checkpoints_up_to"] == replaced.end
    assert "checkpoints_up_to" not in published[replaced.kid]
    assert all(each["created_at"].startswith("20") for each in published.values())


def test_another_server_goes_on_with_it_and_it_can_be_replaced_again(replaced: Replaced) -> None:
    with pytest.raises(RoleTooSmall):
        replaced.replace(Principal(kind=PrincipalKind.ADMIN_KEY, id="1", name="ops", role=Role.OPERATOR))
    _, other = replaced.server()
    third, second = replaced.replace()
    assert second == replaced.kid
    with pytest.raises(Conflict, match="already under way"):
        replaced.replace()
    replaced.now += timedelta(seconds=1)
    while other.seal():
        pass
    replaced.record()
    other.seal()
    replaced.now += timedelta(minutes=2)
    other.seal()
    report = replaced.report(replaced.before)
    assert report.last is not None
    assert (report.findings, report.last.kid, report.not_yet) == ((), third, 0)


def test_a_thief_of_the_old_key_extends_nothing(replaced: Replaced) -> None:
    size = replaced.size()
    replaced.record()
    newest = checkpoints.c.size > size
    longer = replaced.forged_checkpoint(replaced.old, size + 1)
    told = replaced.findings_after(delete(checkpoints).where(newest), longer)
    assert f"is signed by a key that was replaced after {replaced.end}" in told
    replaced.database.append(
        lambda tx: [tx.connection.execute(each) for each in (delete(checkpoints).where(newest), longer)] and None
    )
    for sealer in (replaced.sealer, replaced.server()[1]):
        with pytest.raises(LogBroken, match="a key that was replaced"):
            sealer.seal()


def test_a_log_that_is_put_back_and_extended_by_the_old_key_does_not_fit_the_published_keys(replaced: Replaced) -> None:
    """Without the record the log itself does not say that the key ended; the keys that were taken since do."""
    ends = {each["kid"]: each["checkpoints_up_to"] for each in replaced.held.published() if "checkpoints_up_to" in each}
    record = replaced.end - 1
    row = replaced.database.read(lambda tx: tx.connection.execute(select(events).order_by(events.c.id)).all())[-1]
    leaf = event_hash(row._asdict())
    number = select(sealed_events.c.event_id).where(sealed_events.c.position == record).scalar_subquery()
    without = (
        delete(events).where(events.c.id == number),
        delete(sealed_events).where(sealed_events.c.position.in_([record, replaced.size() - 1])),
        insert(sealed_events).values(position=record, event_id=row.id, hash=leaf),
        delete(checkpoints),
        delete(sealing_keys).where(sealing_keys.c.kid != replaced.old.public.thumbprint()),
    )

    def checkpoint(tx: Tx) -> Any:
        rows = tx.connection.execute(select(sealed_events).order_by(sealed_events.c.position)).all()
        tree = Tree().with_leaves(bytes(each.hash) for each in rows)
        signed = sign_checkpoint(tree, through=0, at=replaced.now, issuer=ISSUER, key=replaced.old)
        return insert(checkpoints).values(size=signed.size, at=signed.at, signed=signed.signed)

    found: list[tuple[Report, Report]] = []

    def attempt(tx: Tx) -> None:
        for each in without:
            tx.connection.execute(each)
        tx.connection.execute(checkpoint(tx))
        found.append((verify_log(tx, replaced.keys), verify_log(tx, replaced.keys, ends=ends)))
        raise Undone

    with pytest.raises(Undone):
        replaced.database.append(attempt)
    before, since = found[0]
    assert before.findings == ()
    assert "a key that was replaced" in since.findings[0]


def test_it_names_no_other_successor_and_excuses_nothing(replaced: Replaced) -> None:
    own = PrivateKey.generate_ed25519()
    record = sign_replacement(own.public, at=replaced.now, issuer=ISSUER, key=replaced.old)
    replaced.record(kind=EventKind.SEAL_KEY_REPLACED, detail={"record": record})
    assert replaced.report().findings == ()
    assert own.public.thumbprint() not in replaced.database.read(lambda tx: service.ends(tx, replaced.keys))
    size = replaced.size()
    forged = replaced.forged_checkpoint(own, size)
    told = replaced.findings_after(delete(checkpoints).where(checkpoints.c.size == size), forged)
    assert "a key that was not given" in told
    drop: dict[str, Any] = {"before": "2026-08", "events": 1, "numbers": [3, 3], "places": [[2, 2]], "by": "ann"}
    drop |= {"export_sha256": "00" * 32, "checkpoint": replaced.checkpoints()[0]}
    drop["counts"] = dict.fromkeys((table.name for table in TABLES), "00" * 32)
    drop |= {"tables": {}, "authority_version": 1}
    signed = sign_drop(drop, at=replaced.now, issuer=ISSUER, key=replaced.old)
    replaced.record(kind=EventKind.EVENTS_DROPPED, detail={"record": signed})
    gone = delete(events).where(events.c.id == 3)
    assert "the record of the drop is not sealed" in replaced.findings_after(gone)


@pytest.mark.soak  # test_audit_log_rewritten.py changes every column of an event in every run
def test_every_change_of_the_record_is_found(replaced: Replaced) -> None:
    kind = EventKind.SEAL_KEY_REPLACED
    row = replaced.database.read(lambda tx: tx.connection.execute(select(events).where(events.c.kind == kind)).one())
    for name in COVERED:
        other: Any = "other"
        if name in {"at", "expires_at"}:
            other = NOW - timedelta(days=1)
        elif name in {"id", "authority_version", "occurrences"}:
            other = 4711
        elif name in {"delegations", "roles"}:
            other = [{"id": "x", "name": "x"}]
        elif name == "detail":
            other = {**row.detail, "record": "e30.e30.AAAA"}
        change = update(events).where(events.c.id == row.id).values({name: other})
        for keys in (replaced.keys, replaced.before):
            assert replaced.findings_after(change, keys=keys), name
    assert replaced.findings_after(delete(events).where(events.c.id == row.id))


def test_a_record_that_makes_no_sense_replaces_nothing(replaced: Replaced) -> None:
    first, second = replaced.old, PrivateKey.generate_ed25519()
    known = {first.public.thumbprint(): first.public}

    def word(new: PrivateKey, by: PrivateKey) -> str:
        return sign_replacement(new.public, at=NOW, issuer=ISSUER, key=by)

    its = succession([(5, word(second, first)), (9, word(first, second)), (7, word(first, first))], known)
    assert (its.present(first.public.thumbprint()), set(its.ends.values())) == (second.public.thumbprint(), {6})
    for nothing in ("e30.e30.AAAA", "", word(second, second), word(first, first)):
        assert succession([(5, nothing)], known).after == {}
    already = succession([(5, word(second, first))], known, {first.public.thumbprint(): 3})
    assert already.after == {}  # it had ended by then
