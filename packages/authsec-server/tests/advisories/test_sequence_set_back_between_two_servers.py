"""Somebody sets the sequence of event numbers back to a number that one of two servers on PostgreSQL has not taken.

If the server compared a number only with those that it took itself, new events would get the numbers of sealed events
of the other server. They would never get a seal, and `verify` would blame the genuine events. So the statement that
takes a number also reads the highest one with a seal.
"""

from __future__ import annotations

import secrets
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest
from audit_answers import LATER, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.store import sealed_events
from authsec_server.db import Database, open_database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from sqlalchemy import select


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_no_server_gives_the_number_of_a_sealed_event(database: Database, database_url: str) -> None:
    fill(database)
    at = LATER + timedelta(minutes=11)
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: at)

    def record(server: Database, second: int) -> int:
        event = replace(issued(70, at=at + timedelta(seconds=second)), delegations=())
        return server.append(lambda tx: audit.record(tx, event))

    record(database, 0)
    with closing(open_database(database_url)) as other:
        theirs = [record(other, second) for second in range(1, 6)]
    while sealer.seal():
        pass
    sealed = database.read(lambda tx: set(tx.connection.execute(select(sealed_events.c.event_id)).scalars()))
    assert sealed.issuperset(theirs)
    database.append(lambda tx: tx.connection.exec_driver_sql(f"SELECT setval('events_id_seq', {theirs[1]})") and None)
    assert record(database, 6) not in sealed
