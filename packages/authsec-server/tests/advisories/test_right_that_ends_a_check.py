"""PostgreSQL: a right is taken from the role that verifies, so that `verify` skips forged indexes.

The error of PostgreSQL became a note, and the status was 0.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from audit_answers import LATER, NOW, SealedLog, fill
from authsec_server.audit import service as audit
from authsec_server.audit.sealing.verifying import Report, verify
from authsec_server.db import Database, Tx
from click.testing import Result
from sqlalchemy import NullPool, create_engine, make_url, text

pytestmark = [
    pytest.mark.parametrize("database_url", ["postgresql"], indirect=True),
    pytest.mark.reads_catalog_indexes,
]
HASH = "pg_catalog.hashtidextended(tid, bigint)"
AUDITOR = (
    "CREATE ROLE auditor LOGIN",
    "GRANT USAGE ON SCHEMA public TO auditor",
    "GRANT SELECT ON ALL TABLES IN SCHEMA public TO auditor",
    "GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO auditor",
)


@pytest.fixture
def log(database: Database) -> SealedLog:
    database.change(lambda tx: audit.prepare_months(tx, NOW))
    return fill(database)


def verified(database: Database, log: SealedLog, *statements: str) -> Report:
    """By the role of an auditor, after these statements of a superuser."""

    def work(tx: Tx) -> Report:
        for statement in (*AUDITOR, *statements, "SET LOCAL ROLE auditor"):
            tx.connection.execute(text(statement))
        return verify(tx, log.keys, [log.checkpoint], now=LATER)

    return database.rehearse(work)


def test_an_auditor_who_may_only_read_checks_everything(database: Database, log: SealedLog) -> None:
    report = verified(database, log)
    assert (report.findings, report.skipped) == ((), ())


@pytest.mark.soak
def test_a_built_in_function_that_the_role_may_not_call_is_named(database: Database, log: SealedLog) -> None:
    report = verified(database, log, f"REVOKE EXECUTE ON FUNCTION {HASH} FROM PUBLIC")
    (skipped,) = report.skipped
    assert report.findings == ()
    assert skipped.startswith("The indexes of ")
    assert " events_2026_11," in skipped
    assert skipped.endswith(
        f" permission denied for function hashtidextended. Run as a superuser: GRANT EXECUTE ON FUNCTION {HASH} TO"
        " PUBLIC;"
    )
    assert skipped in report.unchecked


@pytest.mark.soak  # a function that the role may not call is in every run
def test_a_partition_of_which_the_role_may_read_each_column_alone_is_named(database: Database, log: SealedLog) -> None:
    columns = database.read(
        lambda tx: tx.connection.execute(
            text(
                "SELECT string_agg(attname, ', ') FROM pg_attribute WHERE attrelid = 'events_2026_11'::regclass"
                " AND attnum > 0"
            )
        ).scalar_one()
    )
    report = verified(
        database,
        log,
        "REVOKE SELECT ON events_2026_11 FROM auditor",
        f"GRANT SELECT ({columns}) ON events_2026_11 TO auditor",
    )
    (skipped,) = report.skipped
    assert report.findings == ()
    assert skipped.startswith("The role auditor has no permission to read events_2026_11. ")
    assert "GRANT SELECT ON ALL TABLES IN SCHEMA public TO auditor; ALTER DEFAULT PRIVILEGES FOR ROLE" in skipped


@pytest.mark.soak  # a function that the role may not call is in every run
def test_a_partition_that_a_server_made_after_the_grant_is_named(database: Database, log: SealedLog) -> None:
    report = verified(database, log, "REVOKE SELECT ON events_2027_01 FROM auditor")
    (skipped,) = report.skipped
    assert report.findings == ()
    assert skipped.startswith("The role auditor has no permission to read events_2027_01. ")


@pytest.mark.soak  # a function that the role may not call is in every run
def test_a_sequence_that_the_role_may_not_read_is_named(database: Database, log: SealedLog) -> None:
    report = verified(database, log, "REVOKE SELECT ON SEQUENCE events_id_seq FROM auditor")
    (skipped,) = report.skipped
    assert report.findings == ()
    assert skipped.endswith("Run as a superuser: GRANT SELECT ON SEQUENCE events_id_seq TO auditor")


@pytest.fixture
def auditor_url(database_url: str) -> Iterator[str]:
    """Of the auditor's role, which may not call a built-in function."""
    engine = create_engine(database_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        for statement in (*AUDITOR, f"REVOKE EXECUTE ON FUNCTION {HASH} FROM PUBLIC"):
            connection.execute(text(statement))
    yield make_url(database_url).set(username="auditor").render_as_string(hide_password=False)
    with engine.connect() as connection:
        for statement in ("DROP OWNED BY auditor", "DROP ROLE auditor", "CREATE VIEW changed AS SELECT 1 AS one"):
            connection.execute(text(statement))  # the view: the next test needs another database


@pytest.mark.soak  # what verify finds is in every run
def test_the_command_ends_with_a_status_of_its_own(
    log: SealedLog, auditor_url: str, authsec: Callable[..., Result], tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text(json.dumps({"keys": [key.to_jwk() for key in log.keys.values()]}))
    checked = authsec("audit", "verify", "--database", auditor_url, "--key", str(keys))
    assert checked.exit_code == 6, checked.output
    assert "events sealed, and no problem was found" in checked.stdout
    assert "all match their seals" not in checked.stdout
    assert "GRANT EXECUTE ON FUNCTION" in checked.stdout
