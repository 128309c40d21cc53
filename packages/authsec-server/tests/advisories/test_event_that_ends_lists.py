"""One inserted event that cannot be read ends every list, and `verify` says that all is as sealed."""

from __future__ import annotations

import pytest
from audit_answers import LATER, answers, fill
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.db import Database

pytestmark = pytest.mark.changes_rows_only

INSERT = """
INSERT INTO events (id, at, kind, request_id, delegations, roles, reason, address, jti, kid, token_sha256, detail,
    occurrences)
VALUES ((SELECT max(id) FROM events) + 1, (SELECT until FROM counted), 'x', '', 'x', '', '', '', '', '', '', '', 1)
"""


def test_an_event_that_cannot_be_read_is_found(database: Database) -> None:
    log = fill(database)
    database.append(lambda tx: tx.connection.exec_driver_sql(INSERT) and None)
    report = database.read(lambda tx: verify_log(tx, log.keys, [log.checkpoint], now=LATER))
    said = database.append(lambda tx: answers(tx, log.covered))
    assert report.findings or not [name for name, answer in said.items() if isinstance(answer, str)]
