"""Inserted events with the request id of another event push that event out of the console's search."""

from __future__ import annotations

import pytest
from audit_answers import ANN, LATER, fill
from authsec_server.audit import service as audit
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.db import Database
from authsec_server.principal import Act

INSERT = """
INSERT INTO events (id, at, kind, request_id, client_id, client_name, delegations, roles, decision, reason, address,
    jti, kid, token_sha256, authority_version, detail, occurrences)
SELECT (SELECT max(id) FROM events) + 1, (SELECT until FROM counted), kind, request_id, client_id, client_name,
    delegations, roles, decision, reason, address, jti, kid, token_sha256, authority_version, detail, 1
FROM events WHERE id = (SELECT min(id) FROM events WHERE request_id = 'req_act000000000000000000004')
"""


@pytest.mark.sqlite_suffices  # test_number_given_to_a_forged_token_before_its_seal.py has PostgreSQL
def test_a_search_shows_the_covered_event_of_a_token(database: Database) -> None:
    log = fill(database)
    wanted = f"req_act{4:021}"
    covered = _found(database, wanted)
    assert covered
    for _ in range(8):
        database.append(lambda tx: tx.connection.exec_driver_sql(INSERT))
    report = database.read(lambda tx: verify_log(tx, log.keys, [log.checkpoint], now=LATER))
    assert covered <= _found(database, wanted) or report.findings


def _found(database: Database, text: str) -> set[int]:
    act = Act(
        principal=ANN, now=LATER, request_id="req_000000000000000000000001", address="192.0.2.1", token_bytes=bytes
    )
    return {each.id for each in database.read(lambda tx: audit.search(tx, act, text))}
