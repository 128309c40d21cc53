"""Somebody inserts an event with the next number, dates it back, and waits for the next checkpoint.

A checkpoint covers all numbers up to the newest event of five minutes ago: each transaction has ended by then. If it
went by the inserted event, it covered numbers of transactions that still run. Their events never got a seal.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta

import pytest
from audit_answers import LATER, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.store import sealed_events
from authsec_server.db import Database, Tx
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from sqlalchemy import select


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_event_that_is_committed_later_gets_its_seal(database: Database) -> None:
    fill(database)
    at = LATER + timedelta(minutes=11)
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: at)

    def record(minutes_ago: int = 0) -> int:
        event = replace(issued(70, at=at - timedelta(minutes=minutes_ago)), delegations=())
        return database.append(lambda tx: audit.record(tx, event))

    def seal() -> None:
        while sealer.seal():
            pass

    def slow(tx: Tx) -> int:
        number = audit.record(tx, replace(issued(70, at=at), delegations=()))
        record(minutes_ago=9)  # by somebody else
        seal()
        return number

    record()
    seal()
    at += timedelta(seconds=61)
    number = database.append(slow)
    at += timedelta(seconds=61)
    seal()
    assert number in database.read(lambda tx: set(tx.connection.execute(select(sealed_events.c.event_id)).scalars()))
