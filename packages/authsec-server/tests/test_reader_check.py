"""`verify` asks the questions of readers, and compares the answers with the proved events."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from audit_answers import LATER, SealedLog, fill, issued
from authsec_server.audit import live_tokens, pages
from authsec_server.audit import service as audit
from authsec_server.audit.sealing import reader_check
from authsec_server.audit.sealing.log_check import Report
from authsec_server.audit.sealing.store import allow_long_statements
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.db import Database, Tx
from sqlalchemy import Connection, make_url

pytestmark = pytest.mark.asks_readers


def verified(database: Database, log: SealedLog) -> Report:
    """Without the checks of indexes and schema: these find the changes of this module as well."""
    return database.read(lambda tx: verify_log(tx, log.keys, [log.checkpoint], now=LATER))


@pytest.mark.soak  # `readers` asks the same in a twentieth of the other tests, and expects no finding
@pytest.mark.sqlite_suffices  # `readers` asks the same in some tests on PostgreSQL
def test_no_genuine_answer_is_a_finding(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    log = fill(database)
    for number in range(30, 40):  # without a seal, and not counted
        database.append(partial(audit.record, event=issued(number, at=LATER)))
    assert verified(database, log).findings == ()
    monkeypatch.setattr(reader_check, "_PAGE", 3)  # so that lists have many pages, and some are sampled
    monkeypatch.setattr(reader_check, "_LEAST", 8)
    assert verified(database, log).findings == ()


@pytest.mark.soak
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("index", "event", "asked"),
    [
        ("ix_events_denied_reason_id", "decision = 'denied'", "--reason rate_limited"),
        *(
            pytest.param(*each, marks=pytest.mark.soak)
            for each in (
                ("ix_events_act_kind_id", "kind = 'role.created'", "--kind role.created"),
                ("ix_events_jti", "kind = 'token.issued'", "audit show 0000"),
                ("ix_events_client_id_id", "kind = 'token.issued'", "--agent c-"),
                ("ix_events_denied_id", "decision = 'denied'", "--decision denied"),
                ("ix_events_denied_client_id_id", "decision = 'denied'", "--decision denied"),
                ("ix_events_act_id", "kind = 'role.created'", "--kind role.created,role.deleted,role.edited"),
                ("ix_events_principal_id", "kind = 'role.created'", '--by "admin_key key-ann"'),
                ("ix_events_subject_id_id", "kind = 'role.created'", "--subject r-1"),
                ("ix_events_request_id", "kind = 'token.issued'", "audit show req_"),
            )
        ),
    ],
)
def test_an_event_that_an_index_lacks_is_named(
    database: Database, database_url: str, index: str, event: str, asked: str
) -> None:
    log = fill(database)
    number = _leave_out(Path(make_url(database_url).database or ""), index, event)
    findings = verified(database, log).findings
    assert [each for each in findings if asked in each and f"lacks event {number}." in each], findings


def _leave_out(file: Path, index: str, event: str) -> int:
    """Build the index without one such event. Its definition stays the same."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        (number,) = connection.execute(f"SELECT id FROM events WHERE {event} ORDER BY id DESC LIMIT 1").fetchone()
        (definition,) = connection.execute("SELECT sql FROM sqlite_master WHERE name = ?", (index,)).fetchone()
        connection.execute("BEGIN")
        connection.execute(f"DROP INDEX {index}")
        connection.execute(f"{definition} {'AND' if ' WHERE ' in definition else 'WHERE'} id <> {number}")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (definition, index))
        connection.execute("COMMIT")
    return int(number)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_reader_that_fails_is_a_finding(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    log = fill(database)

    def fails(*_: object) -> list[int]:
        raise ValueError

    monkeypatch.setattr(pages, "newest_numbers", fails)
    monkeypatch.setattr(reader_check, "_LEAST", 8)  # of the other questions
    assert verified(database, log).findings == ("`the live audit log` ends with an error: ValueError.",)


@pytest.mark.soak  # events that an index lacks are in every run
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_key_whose_live_tokens_are_not_found_is_named(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    log = fill(database)
    monkeypatch.setattr(live_tokens, "of_key", lambda *_: live_tokens.TokenGroups())
    assert any("live tokens of the key kid" in each for each in verified(database, log).findings)


@pytest.mark.soak  # it asks as all readers, on PostgreSQL
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("short", [1000, pytest.param(0, marks=pytest.mark.soak)])
def test_questions_are_asked_with_the_timeouts_of_a_server(
    database: Database, short: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader_check, "_SHORT", short)
    log = fill(database)
    genuine, seen = pages.following, list[str]()

    def following(connection: Connection, *arguments: Any, **named: Any) -> Any:
        seen.append(connection.exec_driver_sql("SHOW statement_timeout").scalar_one())
        if len(seen) == 1:
            connection.exec_driver_sql("SET LOCAL statement_timeout = '1ms'")
            connection.exec_driver_sql("SELECT pg_sleep(5)")
        return genuine(connection, *arguments, **named)

    def verified_as_by_the_command(tx: Tx) -> Report:
        allow_long_statements(tx.connection)
        return verify_log(tx, log.keys, [log.checkpoint], now=LATER)

    monkeypatch.setattr(pages, "following", following)
    assert database.read(verified_as_by_the_command).findings == ()
    assert seen[:2] == ["15s", "1h"]  # a question that takes longer is asked again
