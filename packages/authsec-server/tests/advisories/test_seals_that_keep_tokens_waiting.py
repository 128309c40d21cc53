"""Somebody inserts very many seals of high numbers into PostgreSQL, which no checkpoint covers.

A server that takes an event number looks for the highest sealed number. If it skipped each seal that no checkpoint
covers, one after the other, a million rows would make each token eighty times slower. If the sealer deleted a thousand
in a pass, a million would stay for five minutes, and thirty millions for days: no token is issued within the five
seconds that its statement may take.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import timedelta

import pytest
from audit_answers import ANN, LATER, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit.sealing import service as sealing
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.db import Database, Tx
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
AT = LATER + timedelta(minutes=11)
COUNT = 150_000
PLANTED = (
    "INSERT INTO sealed_events (position, event_id, hash)"
    f" SELECT 1000000000 + n, 1000000000 + n, '\\x00' FROM generate_series(1, {COUNT}) n"
)
SEALS_READ = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'sealed_events'"
LEFT = "SELECT count(*) FROM sealed_events WHERE position >= 1000000000"


@pytest.fixture
def attacked(database: Database) -> Database:
    fill(database)
    database.append(lambda tx: tx.connection.exec_driver_sql(PLANTED) and None)
    return database


def test_a_token_reads_few_seals_however_many_are_planted(attacked: Database) -> None:
    def seals_read(tx: Tx) -> int:
        before = tx.connection.exec_driver_sql(SEALS_READ).scalar_one()
        audit.record(tx, replace(issued(70, at=AT), delegations=()))
        return tx.connection.exec_driver_sql(SEALS_READ).scalar_one() - before

    assert 0 < attacked.append(seals_read) <= 1000


def test_an_answer_whether_sealing_is_overdue_reads_few_seals(attacked: Database) -> None:
    def seals_read(tx: Tx) -> int:
        before = tx.connection.exec_driver_sql(SEALS_READ).scalar_one()
        sealing.sealing_status(tx, ANN, AT)
        return tx.connection.exec_driver_sql(SEALS_READ).scalar_one() - before

    assert 0 < attacked.read(seals_read) <= 1000


def test_a_few_passes_of_the_sealer_delete_all(attacked: Database) -> None:
    keys = SealingKeys(attacked, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    sealer = Sealer(attacked, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: AT)
    passes = 1
    while sealer.seal():
        passes += 1
    assert passes <= 3
    assert attacked.read(lambda tx: tx.connection.exec_driver_sql(LEFT).scalar_one()) == 0
