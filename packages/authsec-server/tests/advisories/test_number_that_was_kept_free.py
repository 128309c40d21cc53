"""Somebody who writes to the database keeps an event number free, and later gives it to a forged event."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import pytest
from audit_answers import ANN, NOW, issued, jti
from authsec_server.audit import service as audit
from authsec_server.audit.model import Event, Named
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import Checkpoint, read_checkpoint
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.audit.store import events
from authsec_server.db import Database, Tx
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.principal import Act
from databases import raise_version_to
from sqlalchemy import insert, select

pytestmark = pytest.mark.sqlite_suffices

FREE = 300  # numbers
RAISE = {
    "sqlite": f"UPDATE sqlite_sequence SET seq = seq + {FREE} WHERE name = 'events'",
    "postgresql": f"SELECT setval('events_id_seq', nextval('events_id_seq') + {FREE})",
}


def token(number: int, at: datetime | None = None) -> Event:
    """A token without a role. So no check asks who created its delegation."""
    return replace(issued(number, at=at), roles=())


class Sealed:
    """A log with three tokens, free numbers, and one more token. `outside` covers all of them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = NOW
        self.keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
        self.keys.keep(NOW)
        raise_version_to(database, 1000)
        self.sealer = Sealer(
            database,
            issuer="https://a",
            signing_key=self.keys.signing_key,
            keys=self.keys.by_kid,
            now=lambda: self.now,
        )
        for number in range(3):
            database.append(partial(audit.record, event=token(number)))
        self.seal_at(1)
        database.append(lambda tx: tx.connection.exec_driver_sql(RAISE[database.dialect]) and None)
        self.seal_at(400)
        self.token = database.append(partial(audit.record, event=token(77, at=self.now)))
        self.outside = self.seal_at(401)

    def seal_at(self, seconds: int) -> Checkpoint:
        self.now: datetime = NOW + timedelta(seconds=seconds)
        while self.sealer.seal():
            pass
        signed = self.database.read(lambda tx: store.last_signed(tx.connection))
        assert signed is not None
        return read_checkpoint(signed, self.keys.by_kid())

    def forge(self, number: int) -> None:
        """Insert the token's event again under another number, as of somebody else."""
        self.database.append(partial(self._forge, number=number))

    def _forge(self, tx: Tx, number: int) -> None:
        row = tx.connection.execute(select(events).where(events.c.id == self.token)).one()._asdict()
        forged = row | {"id": number, "client_id": "c-evil", "client_name": "Somebody else", "delegations": []}
        tx.connection.execute(insert(events).values(forged))

    def plant_refusal(self, at: datetime) -> None:
        """Insert the token's event again, as a refusal that is counted in that minute."""
        self.database.append(partial(self._plant_refusal, at=at.replace(second=0, microsecond=0)))

    def _plant_refusal(self, tx: Tx, at: datetime) -> None:
        row = tx.connection.execute(select(events).where(events.c.id == self.token)).one()._asdict()
        del row["id"]
        refused = {"kind": "token.refused", "decision": "denied", "reason": "rate_limited", "expires_at": None}
        refused |= {"jti": "", "request_id": ""}
        tx.connection.execute(
            insert(events).values(
                row | refused | {"at": at, "count_key": "planted", "authority_version": None, "delegations": []}
            )
        )

    def findings(self) -> tuple[str, ...]:
        return self.database.read(
            lambda tx: verify_log(tx, self.keys.by_kid(), [self.outside], now=self.now, counts=False)
        ).findings

    def act(self) -> Act:
        return Act(
            principal=ANN,
            now=self.now,
            request_id="req_000000000000000000000001",
            address="192.0.2.1",
            token_bytes=bytes,
        )


def _story(its: Sealed) -> list[tuple[int, Named | None]]:
    found = its.database.read(lambda tx: audit.token_issued(tx, jti(77)))
    return [(found.id, found.event.client)] if found else []


def _searched(its: Sealed) -> list[int]:
    return [each.id for each in its.database.read(lambda tx: audit.search(tx, its.act(), jti(77)))][:1]


def _of_request(its: Sealed) -> list[int]:
    return [
        each.id for each in its.database.read(lambda tx: audit.of_request(tx, ANN, "req_000000000000000000000077"))
    ][:1]


@pytest.mark.parametrize(("reader", "forged"), [(_story, 1), (_searched, 8), (_of_request, 201)])
def test_a_forged_event_with_a_lower_number_takes_no_token_over(
    database: Database, reader: Callable[[Sealed], list[object]], forged: int
) -> None:
    its = Sealed(database)
    before = reader(its)
    assert before
    for number in range(its.token - forged, its.token):
        its.forge(number)
    its.seal_at(420)
    its.seal_at(2000)
    assert reader(its) == before or its.findings()


def test_a_counted_refusal_of_the_future_does_not_keep_checkpoints_from_covering_what_came_later(
    database: Database,
) -> None:
    its = Sealed(database)
    its.plant_refusal(NOW.replace(year=2999))
    for minutes in (10, 20, 30):
        database.append(partial(audit.record, event=token(100 + minutes, at=its.now)))
        last = its.seal_at(minutes * 60)
    assert last.through > its.token + 1


def test_a_counted_refusal_of_a_clock_that_was_ahead_is_sealed(database: Database) -> None:
    its = Sealed(database)
    its.plant_refusal(its.now + timedelta(hours=1))
    for minutes in (10, 20, 90):
        database.append(partial(audit.record, event=token(100 + minutes, at=its.now)))
        its.outside = its.seal_at(minutes * 60)
    assert its.findings() == ()
