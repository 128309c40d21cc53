"""An index of the SQLite file is on the table of the schema itself: whoever lists the schema would read the index.

SQLite refuses such an index in a statement, and uses one that it finds in the file. With forged statistics, the index
is cheaper than the table, and its entries show the schema as it was before another index was renamed.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from audit_answers import LATER, SealedLog, fill
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, open_database

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
LISTED = "SELECT name FROM sqlite_master WHERE name LIKE 'ix_events_request%' OR name = 'renamed'"
WRITABLE = "PRAGMA writable_schema = on"


@pytest.fixture
def log(database: Database) -> SealedLog:
    """A sealed log, in a file that no server has open any more."""
    its = fill(database)
    database.close()
    return its


def run(url: str, *statements: str) -> list[str]:
    """Run the statements in a new connection; the names that the last one found."""
    with closing(sqlite3.connect(Path(url.removeprefix("sqlite:///")), isolation_level=None)) as connection:
        return [row[0] for statement in statements for row in connection.execute(statement).fetchall()]


def plant(url: str) -> None:
    """Put an index on the schema table, and rename another index afterwards, which the planted index does not show."""
    run(
        url,
        "CREATE TABLE mine (a)",
        "CREATE INDEX planted ON mine (a)",
        "ANALYZE alembic_version",
        "DELETE FROM sqlite_stat1",
        "INSERT INTO sqlite_stat1 VALUES ('sqlite_master', 'planted', '150 1 1 1 1 sz=1')",
        WRITABLE,
        "UPDATE sqlite_master SET tbl_name = 'sqlite_master',"
        " sql = 'CREATE INDEX planted ON sqlite_master (type, name, tbl_name, sql)' WHERE name = 'planted'",
    )
    run(url, "REINDEX planted")
    root = run(url, "SELECT rootpage FROM sqlite_master NOT INDEXED WHERE name = 'planted'")[0]
    run(url, WRITABLE, "DELETE FROM sqlite_master WHERE name = 'planted'")
    run(
        url,
        WRITABLE,
        "UPDATE sqlite_master SET name = 'renamed', sql = replace(sql, 'ix_events_request_id', 'renamed')"
        " WHERE name = 'ix_events_request_id'",
        "INSERT INTO sqlite_master VALUES ('index', 'planted', 'sqlite_master',"
        f" {root}, 'CREATE INDEX planted ON sqlite_master (type, name, tbl_name, sql)')",
    )


def test_the_schema_is_listed_without_an_index_on_its_table(log: SealedLog, database_url: str) -> None:
    plant(database_url)
    assert run(database_url, LISTED) == ["ix_events_request_id"], "the attack works: the listing is the one of before"
    with closing(open_database(database_url)) as database:
        report = database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=LATER))
    found = "\n".join(report.findings)
    assert "The index planted of sqlite_master is unknown to AuthSec" in found
    assert "The index renamed of events is unknown to AuthSec" in found
