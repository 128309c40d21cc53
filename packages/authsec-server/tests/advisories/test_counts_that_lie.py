"""Somebody who administers the database changes the counts, so that dashboards, last uses and used actions lie.

They can write every table, and have no key. The events stay as they were sealed; `verify` finds each lie by counting
the events anew, and in dropped months by the digests in the signed record.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from authsec.jose import parse_compact
from authsec_server.audit import recount, rollup
from authsec_server.audit.recount import dropped_counts
from authsec_server.audit.sealing.checkpoints import CheckpointRefused
from authsec_server.audit.sealing.dropped import DropRecord, read_drop, sign_drop
from authsec_server.audit.sealing.retention import Dropper
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.db import open_database
from authsec_server.failures import Unavailable
from long_runs import some_of
from sqlalchemy import text

pytestmark = pytest.mark.sqlite_suffices

JUNE = datetime(2026, 6, 10, 12, tzinfo=UTC)
JULY = datetime(2026, 7, 10, 12, tzinfo=UTC)
AUGUST = datetime(2026, 8, 1, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 25, 12, tzinfo=UTC)
NOON = "2026-11-25 12:00:00.000000"
TABLES = ("hourly_counts", "client_counts", "daily_uses", "last_uses")
TIME = {"hourly_counts": "hour", "client_counts": "hour", "daily_uses": "day", "last_uses": "month"}


@pytest.fixture
def counted(counted_audit_log: Any) -> Iterator[Any]:
    made = counted_audit_log
    assert made.findings() == ""
    yield made
    findings = made.database.read(lambda tx: verify_log(tx, made.keys, counts=False)).findings
    assert not [each for each in findings if "vent" in each], "the events did not change"


LIES = {
    "hourly_counts": (
        f"UPDATE hourly_counts SET occurrences = 2 WHERE hour = '{NOON}' AND kind = 'token.issued'",
        f"UPDATE hourly_counts SET hour = '2026-11-25 13:00:00.000000' WHERE hour = '{NOON}'",
        f"UPDATE hourly_counts SET reason = 'api_unknown' WHERE hour = '{NOON}' AND kind = 'token.refused'",
        f"UPDATE hourly_counts SET kind = 'token.refused' WHERE hour = '{NOON}' AND kind = 'token.issued'",
        f"INSERT INTO hourly_counts VALUES ('{NOON}', 'token.issued', 'x', 1)",
        f"INSERT INTO hourly_counts VALUES ('{NOON}', 'token.issued', 'x', 0)",
        "DELETE FROM hourly_counts",
    ),
    "client_counts": (
        f"UPDATE client_counts SET occurrences = 2 WHERE hour = '{NOON}' AND kind = 'token.issued'",
        f"UPDATE client_counts SET hour = '2026-11-25 13:00:00.000000' WHERE hour = '{NOON}'",
        f"UPDATE client_counts SET client_id = 'other' WHERE hour = '{NOON}'",
        f"INSERT INTO client_counts VALUES ('other', '{NOON}', 'token.issued', '', 1)",
        "DELETE FROM client_counts",
    ),
    "daily_uses": (
        "UPDATE daily_uses SET tokens = 4 WHERE day >= '2026-11-01' AND subject_id = 'role'",
        "UPDATE daily_uses SET day = '2026-11-24 00:00:00.000000' WHERE day >= '2026-11-01'",
        "UPDATE daily_uses SET subject_id = 'other' WHERE subject_id = 'delegation'",
        "UPDATE daily_uses SET action = 'customers:write' WHERE action = 'customers:read'",
        "INSERT INTO daily_uses VALUES ('agent', '2026-11-25 00:00:00.000000', 'customers:write', 1)",
        "DELETE FROM daily_uses",
    ),
    "last_uses": (
        "UPDATE last_uses SET granted_at = '2026-11-25 12:00:01.000000' WHERE month >= '2026-11-01'",
        "UPDATE last_uses SET granted_at = NULL WHERE subject_id = 'delegation'",
        "UPDATE last_uses SET refused_at = NULL, refused_reason = NULL WHERE subject_id = 'agent'",
        "UPDATE last_uses SET refused_at = NULL WHERE subject_id = 'agent'",
        "UPDATE last_uses SET refused_reason = 'api_unknown' WHERE subject_id = 'agent'",
        "UPDATE last_uses SET refused_at = granted_at, refused_reason = 'api_unknown' WHERE subject_id = 'proof'",
        "UPDATE last_uses SET month = '2026-12-01 00:00:00.000000' WHERE month >= '2026-11-01'",
        "UPDATE last_uses SET subject_id = 'other' WHERE subject_id = 'role'",
        "INSERT INTO last_uses VALUES ('other', '2026-11-01 00:00:00.000000', NULL, NULL, NULL)",
        f"INSERT INTO last_uses VALUES ('other', '2026-11-01 00:00:00.000000', '{NOON}', NULL, NULL)",
        "DELETE FROM last_uses WHERE subject_id = 'proof'",
        "DELETE FROM last_uses",
    ),
}


@pytest.mark.soak
@pytest.mark.parametrize("table", some_of(TABLES, each=2))
def test_each_change_of_a_count_is_found_in_its_table(counted: Any, table: str) -> None:
    for lie in LIES[table]:
        told = counted.findings_after(lie)
        assert told, lie
        assert {line.split()[0] for line in told.splitlines()} == {table}, lie


def test_a_finding_says_what_is_kept_and_what_the_events_say(counted: Any) -> None:
    told = counted.findings_after(f"UPDATE hourly_counts SET occurrences = 2 WHERE hour = '{NOON}' AND reason = ''")
    assert told == f"hourly_counts says 2 for hour {NOON}, kind token.issued; the events say 3."
    told = counted.findings_after("DELETE FROM last_uses WHERE subject_id = 'agent' AND month >= '2026-11-01'")
    assert told == (
        "last_uses says nothing for month 2026-11-01 00:00:00.000000, subject_id agent; the events say"
        " granted_at 2026-11-25 12:00:02.000000 and refused_at 2026-11-25 12:00:05.000000"
        " and refused_reason client_disabled."
    )


def test_of_very_many_differences_some_are_told_and_the_others_counted(counted: Any) -> None:
    made = "INSERT INTO daily_uses VALUES ('agent', '2026-11-25 00:00:00.000000', 'a{}', 1)"
    told = counted.findings_after(*(made.format(number) for number in range(25))).splitlines()
    assert len(told) == 11
    assert told[-1] == "daily_uses differs in 15 more rows."


def test_a_value_from_the_database_moves_no_cursor(counted: Any) -> None:
    told = counted.findings_after(f"INSERT INTO hourly_counts VALUES ('{NOON}', '\x1b[2J\u202egnp', '', 1)")
    assert "\\u001b[2J\\u202egnp" in told
    assert told.isascii()


MISSPELT = (
    "UPDATE hourly_counts SET hour = replace(hour, ' ', 'T')",
    "UPDATE hourly_counts SET hour = substr(hour, 1, 19)",
    "UPDATE hourly_counts SET hour = hour || '+00:00'",
    "UPDATE hourly_counts SET hour = CAST(hour AS BLOB)",
    "UPDATE hourly_counts SET kind = kind || char(0)",
    "UPDATE hourly_counts SET kind = CAST(X'FF' || kind AS TEXT)",
    "UPDATE hourly_counts SET reason = CAST(reason AS BLOB) WHERE reason != ''",
    "UPDATE hourly_counts SET occurrences = occurrences + 0.5",
    "UPDATE hourly_counts SET occurrences = CAST('3' AS BLOB)",
    "UPDATE hourly_counts SET occurrences = '3 tokens'",
    "UPDATE client_counts SET client_id = CAST(client_id AS BLOB)",
    "UPDATE daily_uses SET day = julianday(day)",
    "UPDATE last_uses SET granted_at = replace(granted_at, ' ', 'T') WHERE subject_id = 'role'",
    "UPDATE last_uses SET granted_at = granted_at || ' '",
    "UPDATE last_uses SET refused_at = 5, refused_reason = '' WHERE subject_id = 'proof'",
)


@pytest.mark.soak
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_another_spelling_or_type_that_sqlite_takes_is_found(counted: Any) -> None:
    """Readers compare text with text: what is spelt otherwise is not among the hours that they ask for."""
    for lie in MISSPELT:
        assert counted.findings_after(lie), lie


@pytest.mark.soak
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_instant_that_no_program_can_read_is_found(counted: Any) -> None:
    for lie in (
        "UPDATE hourly_counts SET hour = 'infinity' WHERE hour >= '2026-11-25' AND reason = ''",
        "UPDATE last_uses SET granted_at = '-infinity' WHERE subject_id = 'role'",
        "UPDATE daily_uses SET day = '4000-01-01 BC' WHERE day >= '2026-11-01' AND subject_id = 'role'",
        "UPDATE hourly_counts SET hour = hour + interval '1 microsecond'",
    ):
        assert counted.findings_after(lie), lie


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_the_rows_are_read_through_no_index_of_the_database(counted: Any) -> None:
    """An index that leaves a row out, made by somebody who writes the schema, hides nothing of the table."""
    shorter = " WHERE occurrences != 7"
    counted.run(
        "INSERT INTO client_counts VALUES ('agent', '2026-11-25 14:00:00.000000', 'token.refused', 'x', 7)",
        f"CREATE INDEX narrow ON client_counts (hour, client_id, kind, reason, occurrences){shorter}",
        "ANALYZE",
        "UPDATE sqlite_stat1 SET stat = '9 1 1 1 1 1 sz=1' WHERE idx = 'narrow'",
        "PRAGMA writable_schema = ON",
        f"UPDATE sqlite_schema SET sql = replace(sql, '{shorter}', '') WHERE name = 'narrow'",
        "PRAGMA writable_schema = OFF",
    )
    again = open_database(str(counted.database._url))
    try:
        sevens = text("SELECT count(*) FROM (SELECT hour, client_id, kind, reason, occurrences FROM client_counts)")
        assert again.read(lambda tx: tx.connection.execute(sevens).scalar_one()) == 6, "the index hides the row"
        report = again.read(lambda tx: verify_log(tx, counted.keys))
    finally:
        again.close()
    assert "client_counts says 7 for" in "".join(report.findings)


@pytest.mark.soak
@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_two_rows_with_one_key_are_found(counted: Any) -> None:
    told = counted.findings_after(
        "ALTER TABLE hourly_counts RENAME TO before",
        "CREATE TABLE hourly_counts AS SELECT * FROM before",
        f"INSERT INTO hourly_counts VALUES ('{NOON}', 'token.issued', '', 3)",
    )
    assert f"hourly_counts has 2 rows for hour {NOON}, kind token.issued; it must have one." in told


MARKS = {
    "forward in time": ("UPDATE counted SET until = '2026-11-25 12:09:00.000000'", ""),
    "into the future": ("UPDATE counted SET until = '2099-01-01 00:00:00.000000'", "is in the future: 2099-01-01"),
    "back": ("UPDATE counted SET through = through - 3", "the events say 1"),
    "to the beginning": ("UPDATE counted SET through = 0", "the events say nothing"),
    "beyond the last event": ("UPDATE counted SET through = through + 1", "above the last event"),
    "away": ("DELETE FROM counted", "The table `counted` has 0 rows"),
}


@pytest.mark.parametrize("how", some_of(MARKS))
def test_a_mark_that_was_moved_is_found_where_it_hides_something(counted: Any, how: str) -> None:
    statement, expected = MARKS[how]
    told = counted.findings_after(statement)
    assert expected in told
    assert bool(expected) == bool(told)


def test_an_event_that_a_moved_mark_keeps_from_being_counted_is_found(counted: Any) -> None:
    counted.run("UPDATE counted SET until = '2026-11-25 12:30:00.000000'")
    assert (
        counted.findings()
        == "The value counted.until is in the future: 2026-11-25 12:30 UTC. New events are not counted."
    )
    counted.now = NOVEMBER + timedelta(minutes=20)
    counted.token(counted.now)
    counted.now += timedelta(minutes=20)
    counted.settle()
    assert "hourly_counts says 3 for" in counted.findings()


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_mark_in_another_spelling_or_type_is_found(counted: Any) -> None:
    for value in ("'2026-11-25T12:08:00.000000'", "'2026-11-25 12:08'", "CAST(until AS BLOB)", "5", "until || ' '"):
        told = counted.findings_after(f"UPDATE counted SET until = {value}")
        assert "The row of the table `counted` has a value that no server writes" in told, value
    told = counted.findings_after("UPDATE counted SET through = 'x'")
    assert "The row of the table `counted` has a value that no server writes" in told


@pytest.mark.soak
def test_an_event_that_the_mark_was_moved_over_is_found_as_not_counted(counted: Any) -> None:
    counted.token(NOVEMBER + timedelta(minutes=11))
    counted.run("UPDATE counted SET through = through + 1")
    counted.settle()
    assert f"hourly_counts says 3 for hour {NOON}, kind token.issued; the events say 4." in counted.findings()


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_a_table_or_column_that_is_missing_is_found(counted: Any) -> None:
    told = counted.findings_after("ALTER TABLE daily_uses DROP COLUMN tokens", "DROP TABLE hourly_counts")
    first = told.splitlines()[0]
    assert first.startswith("The counts cannot be read: the database lacks hourly_counts.hour, ")
    assert first.endswith(", daily_uses.tokens.")


@pytest.mark.soak
def test_in_dropped_months_each_change_of_a_count_is_found(counted: Any) -> None:
    record = counted.drop()
    assert record.counts == counted.database.read(lambda tx: dropped_counts(tx.connection, AUGUST))
    assert counted.findings() == ""
    for table, time in TIME.items():
        number = {"last_uses": "granted_at = '2026-06-10 12:00:01.000000'", "daily_uses": "tokens = 5"}.get(
            table, "occurrences = 5"
        )
        for lie in (
            f"UPDATE {table} SET {number} WHERE {time} < '2026-07-01'",
            f"DELETE FROM {table} WHERE {time} < '2026-07-01'",
            f"DELETE FROM {table} WHERE {time} < '2026-08-01'",
        ):
            expected = (
                f"{table} was changed in the months before 2026-08, although the events of these months were dropped."
            )
            assert counted.findings_after(lie) == expected, lie
        moved = counted.findings_after(
            f"UPDATE {table} SET {time} = '2026-09-01 00:00:00.000000' WHERE {time} < '2026-07-01'"
        )
        assert f"{table} was changed in the months before 2026-08" in moved
        assert f"{table} says" in moved
    for lie, *_ in LIES.values():
        assert counted.findings_after(lie), lie


@pytest.mark.soak
def test_what_was_signed_of_earlier_months_is_signed_again_with_the_next(counted: Any) -> None:
    counted.drop(datetime(2026, 7, 1, tzinfo=UTC))
    second = counted.drop()
    assert second.counts == counted.database.read(lambda tx: dropped_counts(tx.connection, AUGUST))
    assert counted.findings() == ""
    assert "before 2026-08" in counted.findings_after("DELETE FROM hourly_counts WHERE hour < '2026-07-01'")


def test_months_are_not_dropped_while_a_count_lies(counted: Any) -> None:
    counted.run("UPDATE hourly_counts SET occurrences = 9 WHERE hour < '2026-07-01'")
    with pytest.raises(Exception, match="changed after it was sealed"):
        counted.drop()
    counted.run("UPDATE hourly_counts SET occurrences = 3 WHERE hour < '2026-07-01' AND kind = 'token.issued'")
    counted.run("UPDATE hourly_counts SET occurrences = 1 WHERE hour < '2026-07-01' AND kind = 'token.refused'")
    assert counted.drop().events == 10


def test_an_event_that_comes_late_into_a_dropped_month_changes_no_signed_count(
    counted_audit_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No token was issued since July; a late event of July would still be counted."""
    late = counted_audit_log
    late.run(*(f"DELETE FROM {table}" for table in ("sealed_events", "checkpoints", "number_ranges")))
    late.run("DELETE FROM events WHERE at >= '2026-11-01'")
    late.run(*(f"DELETE FROM {table} WHERE {time} >= '2026-11-01'" for table, time in TIME.items()))
    late.run("DELETE FROM event_delegations WHERE event_id NOT IN (SELECT id FROM events)")
    late.run("UPDATE counted SET through = (SELECT max(id) FROM events)")
    late.restart()
    late.now = JULY + timedelta(minutes=6)
    late.settle()
    late.now = NOVEMBER + timedelta(hours=1)
    late.enable(late.now)
    genuine = Dropper._remove

    def remove(dropper: Dropper, record: DropRecord) -> None:
        late.token(JULY + timedelta(minutes=6))
        assert rollup.roll_up(late.database, late.now + timedelta(minutes=10))
        genuine(dropper, record)

    monkeypatch.setattr(Dropper, "_remove", remove)
    late.drop()
    assert late.findings() == ""


def test_digests_that_are_none_make_no_record(counted: Any) -> None:
    record = counted.drop()
    claims = dict(parse_compact(record.signed).claims)
    for counts in (
        None,
        {},
        {"hourly_counts": "00" * 32},
        dict.fromkeys(TABLES, "x"),
        dict.fromkeys(TABLES, 7),
        "x",
        [1],
    ):
        signed = sign_drop(
            claims | {"counts": counts},
            at=counted.now,
            issuer="https://a",
            key=counted.key,
        )
        with pytest.raises(CheckpointRefused):
            read_drop(signed, counted.keys)


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_digests_are_the_same_on_both_databases_and_for_any_order_of_rows(counted: Any) -> None:
    digests = counted.database.read(lambda tx: dropped_counts(tx.connection, AUGUST))
    lines = [
        '["2026-06-10 12:00:00.000000","token.issued","",3]',
        '["2026-06-10 12:00:00.000000","token.refused","client_disabled",1]',
        '["2026-07-10 12:00:00.000000","token.issued","",3]',
        '["2026-07-10 12:00:00.000000","token.refused","client_disabled",1]',
    ]
    assert digests["hourly_counts"] == sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
    rows = "hour < '2026-07-01' AND kind = 'token.issued'"
    counted.run(f"DELETE FROM hourly_counts WHERE {rows}")
    counted.run("INSERT INTO hourly_counts VALUES ('2026-06-10 12:00:00.000000', 'token.issued', '', 3)")
    assert counted.database.read(lambda tx: dropped_counts(tx.connection, AUGUST)) == digests


def test_a_full_disk_under_the_scratch_file_is_told_and_passes_for_no_check(
    counted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = "INSERT INTO daily_uses VALUES ('agent', '2026-11-25 00:00:00.000000', 'action-{}', 1)"
    counted.run(*(made.format(number) for number in range(200)))
    genuine = recount.scratch_database

    def small(*create: str) -> sqlite3.Connection:
        scratch = genuine(*create)
        scratch.execute("PRAGMA max_page_count = 6")
        return scratch

    with monkeypatch.context() as patched:
        patched.setattr(recount, "scratch_database", small)
        with pytest.raises(Unavailable, match="temporary file"):
            counted.report()
