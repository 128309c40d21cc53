"""Somebody inserts five thousand events with one request id into an SQLite file, and the server seals them.

`verify` asks for a hundred single events. If SQLite sorted all events of the request for each of them, that would take
more instructions than `verify` may use on a file of this size. From then on, `verify` would end with status 3, and say
that questions of readers end with an error, although nothing was changed.
"""

from __future__ import annotations

import secrets
from datetime import timedelta

import pytest
from audit_answers import LATER, fill
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, Tx
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys

pytestmark = [pytest.mark.parametrize("database_url", ["sqlite"], indirect=True), pytest.mark.asks_readers]
AT = LATER + timedelta(minutes=12)
INSERT = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4900)
INSERT INTO events (id, at, kind, request_id, client_id, client_name, delegations, roles, decision, reason, address,
    jti, kid, token_sha256, detail, occurrences)
SELECT 1000 + i, strftime('%Y-%m-%d %H:%M:%S.000000', '2026-11-25 15:10:01', '-' || (i % 480) || ' hours'),
    'token.refused', 'req_00000000000000000000same', 'c' || (i % 500), 'n', '[]', '[]', 'denied', 'r' || (i % 500),
    'a' || (i % 500), '', '', '', '{}', 1
FROM n
"""
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.mark.soak
def test_very_many_events_of_one_request_end_no_check(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("authsec_server.audit.sealing.reader_check._LEAST", 2000)  # as outside of tests
    monkeypatch.setattr("authsec_server.audit.sealing.reader_check._SINGLE", 100)
    log = fill(database)
    database.append(lambda tx: tx.connection.exec_driver_sql(INSERT) and None)
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: AT)
    while sealer.seal():
        pass
    report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=AT))
    assert report.findings == ()


def test_a_check_that_used_its_instructions_calls_no_answer_wrong(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authsec_server.db.sqlite_reading.STEPS_PER_BYTE", 10)  # more than it needs, and soon over
    log = fill(database)

    def search_for_hours(tx: Tx, *_: object, **__: object) -> None:
        tx.connection.exec_driver_sql(ENDLESS).all()

    monkeypatch.setattr("authsec_server.audit.service.search", search_for_hours)
    report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=AT))
    assert report.findings == ("The tables could not be read to the end.",)
