"""Somebody inserts very many counted refusals of a coming minute, each a microsecond later than the one before.

The server seals refusals that are dated more than five minutes ahead. When the minute has come, a stranger sends one
bad request. A sealed row never changes. A server that then tried each microsecond would find each of the rows. On
SQLite, all tokens would wait meanwhile: sixty thousand rows take a minute. `verify` finds nothing.
"""

from __future__ import annotations

import secrets
from collections import Counter
from datetime import timedelta
from typing import Any

from audit_answers import LATER, fill
from authsec_server.audit import refusal_counts
from authsec_server.audit.model import EventKind, Refusal, Tally
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.db import Database, Tx
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from sqlalchemy import event

ROWS = 200
PLANTED_AT, MINUTE = LATER + timedelta(minutes=12), LATER + timedelta(minutes=20)
REFUSAL = Refusal(kind=EventKind.TOKEN_REFUSED, reason="unknown_client", address="192.0.2.1")
REFUSALS = {REFUSAL: Tally(count=1, request_id="req_000000000000000000000001")}
INSERT = """
INSERT INTO events (id, at, kind, request_id, delegations, roles, decision, reason, address, jti, kid, token_sha256,
    detail, occurrences, count_key)
VALUES ({number}, '{at}', 'token.refused', '', '[]', '[]', 'denied', 'unknown_client', '192.0.2.1', '', '', '', '{{}}',
    1, 'token.refused|unknown_client|||192.0.2.1')
"""
NUMBER = {"sqlite": "(SELECT max(id) + 1 FROM events)", "postgresql": "nextval('events_id_seq')"}
ZONE = {"sqlite": "", "postgresql": "+00"}


def plant(tx: Tx) -> None:
    dialect = tx.connection.dialect.name
    for each in range(ROWS):
        at = f"{MINUTE + timedelta(microseconds=each):%Y-%m-%d %H:%M:%S.%f}{ZONE[dialect]}"
        tx.connection.exec_driver_sql(INSERT.format(number=NUMBER[dialect], at=at))


def test_one_refusal_takes_few_statements(database: Database) -> None:
    fill(database)
    database.append(plant)
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    key, known = keys.signing_key, keys.by_kid
    sealer = Sealer(database, issuer="https://a", signing_key=key, keys=known, now=lambda: PLANTED_AT)
    while sealer.seal():
        pass
    statements = Counter[str]()

    def seen(*_: Any) -> None:
        statements["all"] += 1

    def count(tx: Tx) -> None:
        event.listen(tx.connection, "before_cursor_execute", seen)
        refusal_counts.count(tx.connection, REFUSALS, MINUTE, tx.event_key)
        event.remove(tx.connection, "before_cursor_execute", seen)

    database.append(count)
    assert statements["all"] < ROWS
