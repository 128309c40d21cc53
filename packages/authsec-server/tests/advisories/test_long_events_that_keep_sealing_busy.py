"""Somebody inserts twenty events of three megabytes each, which get no seal because of their form.

One pass of the sealer reads five of them: 16 MiB, and six seconds if their JSON is a long list of empty lists. The
second pass goes on behind them, and then ten seconds are over: the sealer looks through everything once more, and
begins at the first of them again. No event behind them ever gets its seal, as long as they are there. `verify` says so
if it is run within that time. New events can be changed and deleted, and the long ones afterwards: then nothing is
found, and the server's log has the numbers of the long events only. One core is busy all the time.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta

import pytest
from audit_answers import LATER, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.db import Database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from sqlalchemy import text

LONG = f'["{"x" * 1_040_000}"]'
MAKE_LONG = text("UPDATE events SET delegations = :long, roles = :long, detail = :long WHERE id = :number")
OF_A_PASS = timedelta(seconds=6)  # as measured, with lists of empty lists


@pytest.mark.xfail(strict=True, reason="each search begins at the first event without a seal")
def test_an_event_behind_long_events_gets_its_seal(database: Database) -> None:
    fill(database)
    keys, now = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes), LATER
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: now)

    def record(second: int) -> int:
        event = replace(issued(70, at=now), delegations=(), jti=f"token-{second}")
        return database.append(lambda tx: audit.record(tx, event))

    now += timedelta(minutes=11)
    for planted in [record(each) for each in range(20)]:
        values = {"long": LONG, "number": planted}
        database.append(lambda tx, values=values: tx.connection.execute(MAKE_LONG, values) and None)
    number = record(20)
    for _ in range(30):  # three minutes
        sealer.seal()
        now += OF_A_PASS
    assert database.read(lambda tx: store.is_sealed(tx.connection, number))
