"""Somebody keeps a transaction open on PostgreSQL that has taken an event number.

The roll-up counts no event until each transaction with a number has ended, as an event of it could come later. So it
counts nothing as long as the transaction is open. Each dashboard reads all events since, no month can be dropped, and
`verify` compares the sums of two days only. The server's log does not say so.
"""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta

import psycopg
import pytest
from audit_answers import LATER, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit.rollup import progress_of, roll_up
from authsec_server.db import Database, open_database
from structlog.testing import capture_logs

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def test_the_log_says_that_a_transaction_keeps_events_from_being_counted(database: Database, database_url: str) -> None:
    fill(database)
    before = database.read(lambda tx: progress_of(tx.connection))
    with capture_logs() as logs, psycopg.connect(database_url.replace("+psycopg", "")) as other:
        other.execute("SELECT nextval('events_id_seq')")
        for hours in range(1, 25):
            roll_up(database, LATER + timedelta(hours=hours))
    after = database.read(lambda tx: progress_of(tx.connection))
    assert after.through > before.through or logs


def test_the_log_says_so_once_and_not_within_minutes(database: Database, database_url: str) -> None:
    fill(database)
    with capture_logs() as logs, psycopg.connect(database_url.replace("+psycopg", "")) as other:
        other.execute("SELECT nextval('events_id_seq')")
        for minutes in range(5):
            roll_up(database, LATER + timedelta(hours=1, minutes=minutes))
        assert not logs
        for minutes in range(5, 8):
            roll_up(database, LATER + timedelta(hours=1, minutes=minutes))
    assert [(line["log_level"], len(line["transactions"])) for line in logs] == [("warning", 1)]


def test_the_log_says_nothing_if_the_events_were_counted_meanwhile(database: Database, database_url: str) -> None:
    fill(database)
    server = open_database(database_url)  # another server that counts
    with capture_logs() as logs, closing(server), psycopg.connect(database_url.replace("+psycopg", "")) as other:
        other.execute("SELECT nextval('events_id_seq')")
        assert not roll_up(database, LATER + timedelta(hours=1))
        other.rollback()
        assert roll_up(server, LATER + timedelta(hours=1))
        assert roll_up(database, LATER + timedelta(hours=1, minutes=1))
        database.append(lambda tx: audit.record(tx, issued(70, at=LATER + timedelta(hours=2))))
        other.execute("SELECT nextval('events_id_seq')")
        assert not roll_up(database, LATER + timedelta(hours=2, minutes=5))
    assert not logs
