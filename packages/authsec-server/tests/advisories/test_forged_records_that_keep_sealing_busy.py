"""Somebody inserts very many events that say that the sealing key was replaced, with records that no key has signed.

If the sealer ended its batch at each such event, and read all of them before each pass, its time would grow with the
square of their number: 1,000 would keep genuine events from their seal for minutes, 20,000 for hours. So a batch ends
only at a record of the present key, and the sealer looks through each leaf once. A copy of a genuine record names no
new successor.
"""

from __future__ import annotations

import json
import secrets
from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import Any

import pytest
from audit_answers import ANN, LATER, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit.model import Event, EventKind, Named
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.succession import TYPE
from authsec_server.audit.store import events
from authsec_server.db import Database, Tx
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.principal import LOCAL_OPERATOR, Act
from sqlalchemy import select

FORGED = 8
PASSES = 5
KID = "k" * 43


def unsigned(number: int) -> str:
    """A record with the form of a genuine one."""
    parts = (json.dumps({"alg": "EdDSA", "kid": KID, "typ": TYPE}).encode(), b'{"iat":%d}' % number, bytes(64))
    return ".".join(urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


class Attacked:
    """An audit log, and a server that seals it."""

    def __init__(self, database: Database) -> None:
        fill(database)
        self.database = database
        self.now = LATER + timedelta(minutes=11)
        self.keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
        self.sealer = self.server()
        self.seal()

    def server(self) -> Sealer:
        keys = self.keys
        return Sealer(
            self.database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: self.now
        )

    def seal(self, sealer: Sealer | None = None) -> int:
        """Seal to the end. Return the number of passes."""
        self.now += timedelta(seconds=1)
        passes = 1
        while (sealer or self.sealer).seal():
            passes += 1
        return passes

    def replace(self) -> str:
        """Replace the key, and return the record."""
        act = Act(principal=LOCAL_OPERATOR, now=self.now, request_id="", address="", token_bytes=secrets.token_bytes)
        self.database.change(lambda tx: self.keys.replace(tx, act, issuer="https://a"))
        newest = (
            select(events.c.detail).where(events.c.kind == EventKind.SEAL_KEY_REPLACED).order_by(events.c.id.desc())
        )
        record: str = self.database.read(lambda tx: tx.connection.execute(newest.limit(1)).scalar_one())["record"]
        return record

    def plant(self, *signed: str) -> None:
        def work(tx: Tx) -> None:
            for each in signed:
                event = Event(
                    at=self.now,
                    kind=EventKind.SEAL_KEY_REPLACED,
                    request_id="req_000000000000000000forged",
                    principal=ANN,
                    subject=Named(id=KID, name=KID),
                    address="192.0.2.9",
                    kid=KID,
                    detail={"record": each, "replaces": KID},
                )
                audit.record(tx, event)

        self.database.append(work)


def test_events_with_forged_records_are_sealed_together(database: Database) -> None:
    attacked = Attacked(database)
    attacked.plant(*map(unsigned, range(FORGED)))
    assert attacked.seal() < PASSES


@pytest.mark.sqlite_suffices  # the first test here has forged records on PostgreSQL
def test_events_with_copies_of_a_genuine_record_are_sealed_together(database: Database) -> None:
    attacked = Attacked(database)
    attacked.plant(*[attacked.replace()] * FORGED)
    assert attacked.seal() < PASSES
    assert attacked.sealer.key().public.thumbprint() != attacked.keys.signing_key().public.thumbprint()


@pytest.mark.sqlite_suffices  # likewise
def test_a_genuine_record_among_forged_ones_replaces_the_key(database: Database) -> None:
    attacked = Attacked(database)
    other = attacked.server()
    attacked.seal(other)
    attacked.plant(*map(unsigned, range(FORGED)))
    attacked.replace()
    attacked.plant(*map(unsigned, range(FORGED, 2 * FORGED)))
    attacked.seal()
    attacked.seal(other)  # which has read the log up to the forged records
    replaced = attacked.sealer.key().public.thumbprint()
    assert replaced != attacked.keys.signing_key().public.thumbprint()
    assert other.key().public.thumbprint() == attacked.server().key().public.thumbprint() == replaced


@pytest.mark.sqlite_suffices  # likewise
def test_each_forged_record_is_read_a_few_times(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    attacked = Attacked(database)
    read: list[Any] = []

    def events_one_by_one(*given: Any) -> Any:
        for row in before(*given):
            read.append(row)
            yield row

    before = store.events_one_by_one
    monkeypatch.setattr(store, "events_one_by_one", events_one_by_one)
    for number in range(FORGED):
        attacked.plant(unsigned(number))
        attacked.seal()
        database.append(lambda tx, n=number: audit.record(tx, issued(60 + n, at=attacked.now)))  # type: ignore[misc] # mypy does not infer it
        attacked.seal()
    assert len(read) <= 2 * FORGED


@pytest.mark.sqlite_suffices  # likewise
def test_a_copy_of_a_record_does_not_keep_the_key_from_being_replaced(database: Database) -> None:
    attacked = Attacked(database)
    record = attacked.replace()
    attacked.seal()
    attacked.plant(record)
    assert attacked.replace() != record
