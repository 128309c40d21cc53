"""Somebody sets the sequence of event numbers on PostgreSQL near its end, inserts one event there, and sets it back.

The server seals the event within a second. The next server that starts finds that the sequence is below a sealed
number, and raises it by 100,000: above the highest number that can be sealed. From then on, no event gets a seal, and
each list shows `event.unreadable`. An administrator cannot set the sequence back: each start raises it again.
"""

from __future__ import annotations

import secrets
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest
from audit_answers import LATER, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit.event_shape import MAX_NUMBER
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.store import events
from authsec_server.db import Database, Tx, open_database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from sqlalchemy import insert, select

FORGED = MAX_NUMBER - 50_000


@pytest.mark.xfail(strict=True, reason="the sealer seals a number however far it is from all others")
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_events_of_a_server_that_starts_get_numbers_that_can_be_sealed(database: Database, database_url: str) -> None:
    log = fill(database)
    at = LATER + timedelta(minutes=11)
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: at)

    def plant(tx: Tx) -> None:
        tx.connection.exec_driver_sql(f"SELECT setval('events_id_seq', {FORGED})")
        row = tx.connection.execute(select(events).where(events.c.jti == "jti-of-token-20")).one()._asdict()
        new = {"id": FORGED, "at": at, "delegations": [], "jti": "another", "request_id": "req_another"}
        tx.connection.execute(insert(events).values(row | new))

    database.append(plant)
    while sealer.seal():
        pass
    highest = max(log.covered)
    database.append(lambda tx: tx.connection.exec_driver_sql(f"SELECT setval('events_id_seq', {highest})") and None)
    with closing(open_database(database_url)) as started:
        number = started.append(lambda tx: audit.record(tx, replace(issued(70, at=at), delegations=())))
    assert number <= MAX_NUMBER
