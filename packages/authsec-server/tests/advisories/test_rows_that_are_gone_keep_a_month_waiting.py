"""Raw SQL fills the default partition of events on PostgreSQL, and deletes the rows again.

The file stays as large as it was: PostgreSQL releases only empty pages at the end of the file. PostgreSQL reads all of
the file for each new partition, so no month gets one. Once the server's log only said that somebody inserted events,
and that `verify` finds them. There was none, and `verify` found nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from authsec_server.audit import service as audit
from authsec_server.db import Database
from sqlalchemy import NullPool, create_engine
from structlog.testing import capture_logs

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_of_a_month_to_come import BEFORE, IN_TIME, INSERT, is_there


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_log_names_the_remedy_after_which_the_month_gets_its_partition(
    database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("authsec_server.audit.partitions.MOST_READ", 1_000_000)  # instead of 2 GiB
    database.append(lambda tx: audit.prepare_months(tx, BEFORE))
    for statement in (INSERT, "DELETE FROM events"):
        database.append(lambda tx, each=statement: tx.connection.exec_driver_sql(each) and None)
    with capture_logs() as logs:
        database.append(lambda tx: audit.prepare_months(tx, IN_TIME))
    assert not is_there(database)
    message = logs[-1]["event"]
    remedy = message[message.index("VACUUM") :]
    with create_engine(database_url, isolation_level="AUTOCOMMIT", poolclass=NullPool).connect() as connection:
        connection.exec_driver_sql(remedy)
    database.append(lambda tx: audit.prepare_months(tx, IN_TIME))
    assert is_there(database)
