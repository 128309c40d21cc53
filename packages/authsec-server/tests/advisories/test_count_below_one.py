"""An inserted event with a negative number of occurrences cancels covered events in every sum."""

from __future__ import annotations

from datetime import timedelta

import pytest
from audit_answers import LATER, NOW, fill
from authsec_server.audit import counts
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.db import Database

pytestmark = pytest.mark.sqlite_suffices

INSERT = """
INSERT INTO events (id, at, kind, request_id, client_id, client_name, delegations, roles, decision, reason, address,
    jti, kid, token_sha256, detail, occurrences)
SELECT (SELECT max(id) FROM events) + 1, (SELECT until FROM counted), kind, request_id, client_id, client_name,
    delegations, roles, decision, reason, address, jti, kid, token_sha256, detail,
    -(SELECT sum(occurrences) FROM events WHERE reason = 'rate_limited')
FROM events WHERE id = (SELECT min(id) FROM events WHERE reason = 'rate_limited')
"""


def test_an_event_of_a_negative_number_does_not_hide_refusals(database: Database) -> None:
    log = fill(database)
    start, end = NOW - timedelta(hours=1), LATER + timedelta(hours=1)
    before = database.read(lambda tx: counts.totals(tx, start, end))
    database.append(lambda tx: tx.connection.exec_driver_sql(INSERT))
    report = database.read(lambda tx: verify_log(tx, log.keys, [log.checkpoint], now=LATER + timedelta(hours=1)))
    after = database.read(lambda tx: counts.totals(tx, start, end))
    assert after.refused >= before.refused or report.findings, (before, after, report.not_yet)


PAST = (
    INSERT.replace("(SELECT until FROM counted)", "at")
    .replace("-(SELECT sum(occurrences) FROM events WHERE reason = 'rate_limited')", "-1")
    .replace(
        "(SELECT min(id) FROM events WHERE reason = 'rate_limited')",
        "(SELECT min(id) FROM events WHERE jti = '00000000000000000000000000000004')",
    ),
    "UPDATE hourly_counts SET occurrences = occurrences - 1"
    " WHERE hour = '2026-11-25 12:00:00.000000' AND kind = 'token.issued'",
    "UPDATE client_counts SET occurrences = occurrences - 1"
    " WHERE hour = '2026-11-25 12:00:00.000000' AND kind = 'token.issued' AND client_id = 'c-2'",
    "UPDATE daily_uses SET tokens = tokens - 1 WHERE subject_id IN ('c-2', 'd-1', 'd-2', 'r-1')",
)


def test_an_event_of_a_negative_number_does_not_excuse_a_lowered_count(database: Database) -> None:
    log = fill(database)
    database.append(lambda tx: [tx.connection.exec_driver_sql(each) for each in PAST] and None)
    assert database.read(lambda tx: verify_log(tx, log.keys, [log.checkpoint], now=LATER + timedelta(hours=1))).findings
