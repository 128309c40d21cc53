"""Somebody writes 2^52 - 1 into SQLite's table of last numbers, just before a token is requested.

A server goes on after the genuine events if the last number is 2^52 or more. So the token's event gets the number 2^52
itself. No server seals the event, and `verify` says that it was inserted. If somebody deletes it hours later and writes
the genuine last number back, `verify` finds nothing.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta

import pytest
from audit_answers import LATER, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit.event_numbers import UNUSUAL
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.db import Database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
AT = LATER + timedelta(minutes=11)
WRITTEN = f"UPDATE sqlite_sequence SET seq = {UNUSUAL - 1} WHERE name = 'events'"


def test_a_token_gets_a_number_that_can_be_sealed(database: Database) -> None:
    fill(database)
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    later = AT + timedelta(minutes=10)
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: later)
    database.append(lambda tx: tx.connection.exec_driver_sql(WRITTEN) and None)
    number = database.append(lambda tx: audit.record(tx, replace(issued(70, at=AT), delegations=())))
    while sealer.seal():
        pass
    assert number < UNUSUAL
    assert database.read(lambda tx: store.is_sealed(tx.connection, number))
