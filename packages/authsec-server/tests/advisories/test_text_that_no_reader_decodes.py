"""Somebody writes octets that are no UTF-8 into a column that no event covers: every server refuses the whole file.

`verify` found nothing, so nobody learned which value is the cause.
"""

from __future__ import annotations

import pytest
from audit_answers import LATER, fill
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, Tx, open_database
from authsec_server.failures import Unavailable
from long_runs import some_of

PLACES = {
    "change_id of the table authority": "UPDATE authority SET change_id = CAST(x'ff' AS TEXT)",
    "issuer of the table authority": "UPDATE authority SET issuer = CAST(x'68c3' AS TEXT)",
    "checkpoints_file of the table authority": "UPDATE authority SET checkpoints_file = CAST(x'EDA080' AS TEXT)",
    "audience of the table feed_followers": "INSERT INTO feed_followers VALUES (CAST(x'ff' AS TEXT), '', NULL)",
}


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("place", some_of(PLACES, each=2))
def test_text_that_is_not_utf_8_is_a_finding_with_its_column(database: Database, database_url: str, place: str) -> None:
    log = fill(database)

    def written(tx: Tx) -> None:
        tx.connection.exec_driver_sql(PLACES[place])

    database.append(written)
    if "authority" in place:
        other = open_database(database_url)
        with pytest.raises(Unavailable):
            other.read(lambda tx: tx.change_id and tx.connection.exec_driver_sql("SELECT * FROM authority").all())
        other.close()
    report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER))
    (finding,) = report.findings
    assert finding == f"The column {place} has a text that is not UTF-8, which no server can read."
