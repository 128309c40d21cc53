"""The counts are made anew from the events: after somebody has changed them, and while servers go on counting."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.app import Runtime, open_authority
from authsec_server.audit import pages, rollup
from authsec_server.audit import service as audit
from authsec_server.audit.count_rows import Mark, read_mark
from authsec_server.audit.model import Decision, Event, EventKind, Named
from authsec_server.audit.sealing import count_rebuild
from authsec_server.audit.sealing.count_rebuild import foresee_rebuild, rebuild_counts
from authsec_server.db import Tx
from authsec_server.failures import Conflict, NotPermitted
from authsec_server.principal import Role
from authsec_server.settings import load_settings
from click.testing import Result
from sqlalchemy import text

pytestmark = pytest.mark.sqlite_suffices

AUGUST = datetime(2026, 8, 1, tzinfo=UTC)
NOVEMBER = datetime(2026, 11, 25, 12, tzinfo=UTC)
TABLES = ("hourly_counts", "client_counts", "daily_uses", "last_uses", "counted")
Authsec = Callable[..., Result]


@pytest.fixture
def counted(counted_audit_log: Any) -> Any:
    return counted_audit_log


def kept(counted: Any, *, mark: bool = True) -> dict[str, list[Any]]:
    """All counts, but the number of rebuilds."""

    def work(tx: Tx) -> dict[str, list[Any]]:
        rows = {
            table: sorted(map(repr, tx.connection.execute(text(f"SELECT * FROM {table}")).all()))
            for table in TABLES[:-1]
        }
        row = tx.connection.execute(text("SELECT until, through FROM counted")).all()
        return rows | ({"counted": list(map(repr, row))} if mark else {})

    return counted.database.read(work)


def mark_of(counted: Any) -> Mark:
    mark: Mark = counted.database.read(lambda tx: read_mark(tx.connection))
    return replace(mark, rebuilds=0)


def rebuilds(counted: Any) -> list[dict[str, Any]]:
    found = counted.database.read(
        lambda tx: tx.connection.execute(text("SELECT detail FROM events WHERE kind = 'counts.rebuilt' ORDER BY id"))
    )
    return [json.loads(detail) if isinstance(detail, str) else detail for detail in found.scalars()]


LIES = (
    "DELETE FROM hourly_counts",
    "UPDATE hourly_counts SET occurrences = occurrences + 5",
    "UPDATE hourly_counts SET hour = '2026-09-01 12:00:00.000000' WHERE kind = 'token.issued' AND hour > '2026-11-01'",
    "UPDATE client_counts SET client_id = 'other'",
    "INSERT INTO client_counts VALUES ('x', '2026-11-25 12:00:00.000000', 'token.issued', '', 0)",
    "DELETE FROM daily_uses WHERE subject_id = 'role'",
    "UPDATE daily_uses SET action = 'customers:write' WHERE action = 'customers:read'",
    "DELETE FROM last_uses",
    "UPDATE last_uses SET granted_at = '2026-11-25 12:01:00.000000', refused_reason = 'x' WHERE refused_at IS NOT NULL",
    "UPDATE last_uses SET granted_at = NULL",
    "UPDATE last_uses SET subject_id = 'other' WHERE subject_id = 'proof'",
    "UPDATE counted SET through = through - 3",
)


@pytest.mark.soak
@pytest.mark.parametrize("share", [2, pytest.param(1, marks=pytest.mark.soak)])
def test_whatever_was_changed_is_as_the_events_say_again_and_recorded(counted: Any, share: int) -> None:
    """In short runs, half of the changes."""
    before = kept(counted)
    lies = LIES[:: share if counted.database.dialect == "sqlite" else 4]  # what is written then is the same on both
    for number, lie in enumerate(lies, 1):
        counted.run(lie)
        assert counted.findings(), lie
        rebuilt = rebuild_counts(counted.database, counted.act(), counted.keys)
        assert rebuilt.changes, lie
        assert counted.findings() == "", lie
        assert rebuilds(counted)[-1] == {"rows": dict(rebuilt.rows), "mark": False}
        assert len(rebuilds(counted)) == number
        rollup.roll_up(counted.database, counted.now)
        assert kept(counted, mark=False) == {name: rows for name, rows in before.items() if name != "counted"}, lie


ODD = (
    "UPDATE hourly_counts SET hour = replace(hour, ' ', 'T')",
    "UPDATE hourly_counts SET occurrences = CAST('3' AS BLOB)",
    "UPDATE client_counts SET client_id = CAST(client_id AS BLOB)",
    "UPDATE daily_uses SET tokens = 2.5",
    "UPDATE last_uses SET granted_at = granted_at || ' '",
    "UPDATE last_uses SET refused_at = 5, refused_reason = '' WHERE subject_id = 'proof'",
)


@pytest.mark.soak  # rows of an instant that no program can read are in every run
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_rows_that_no_roll_up_writes_go(counted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("authsec_server.audit.recount.MOST_ODD", 2)  # the rest is found by the next plan
    before = kept(counted)
    for lie in ODD:
        counted.run(lie)
        rebuild_counts(counted.database, counted.act(), counted.keys)
        assert counted.findings() == "", lie
        assert kept(counted) == before, lie


@pytest.mark.soak  # test_counts_that_lie.py has such rows, and the first test here rebuilds
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_rows_of_an_instant_that_no_program_can_read_go(counted: Any) -> None:
    before = kept(counted)
    counted.run("UPDATE hourly_counts SET hour = 'infinity' WHERE hour >= '2026-11-25' AND reason = ''")
    counted.run("UPDATE last_uses SET granted_at = '-infinity' WHERE subject_id = 'role'")
    rebuild_counts(counted.database, counted.act(), counted.keys)
    assert (counted.findings(), kept(counted)) == ("", before)


@pytest.mark.parametrize(
    "mark",
    [
        "UPDATE counted SET until = '2099-01-01 00:00:00.000000'",
        "UPDATE counted SET through = 99",
        "DELETE FROM counted",
    ],
)
def test_a_mark_that_is_wrong_is_set_anew(counted: Any, mark: str) -> None:
    before = mark_of(counted)
    counted.run(mark)
    counted.token(NOVEMBER + timedelta(minutes=1))
    rebuilt = rebuild_counts(counted.database, counted.act(), counted.keys)
    assert (rebuilt.mark, counted.findings()) == (True, "")
    assert mark_of(counted) == replace(before, through=before.through + 1)
    assert rebuilds(counted) == [{"rows": dict(rebuilt.rows), "mark": True}]
    assert rebuilt.rows["hourly_counts"] == 1


def test_counts_that_are_right_are_left_alone_and_nothing_is_recorded(counted: Any) -> None:
    before = kept(counted)
    assert not rebuild_counts(counted.database, counted.act(), counted.keys).changes
    assert (kept(counted), rebuilds(counted)) == (before, [])


def test_a_dry_run_says_what_differs_and_changes_nothing(counted: Any) -> None:
    counted.run("UPDATE hourly_counts SET occurrences = 2 WHERE hour > '2026-11-01' AND reason = ''")
    before = kept(counted)
    foreseen = foresee_rebuild(counted.database, counted.act(), counted.keys)
    assert {name: number for name, number in foreseen.rows.items() if number} == {"hourly_counts": 1}
    assert foreseen.examples == (
        "hourly_counts says 2 for hour 2026-11-25 12:00:00.000000, kind token.issued; the events say 3.",
    )
    assert (kept(counted), rebuilds(counted)) == (before, [])


def test_counts_of_dropped_months_stay(counted: Any) -> None:
    before = kept(counted)
    record = counted.drop()
    for table in ("hourly_counts", "client_counts"):
        counted.run(f"DELETE FROM {table} WHERE hour >= '2026-08-01'")
    rebuilt = rebuild_counts(counted.database, counted.act(), counted.keys)
    assert (rebuilt.dropped_before, counted.findings()) == (record.before, "")
    assert kept(counted, mark=False) == {name: rows for name, rows in before.items() if name != "counted"}


def test_nothing_is_counted_from_events_that_are_not_as_sealed(counted: Any) -> None:
    """Nor if the record of what was dropped is gone: then the counts of those months would go, too."""
    counted.drop()
    before = kept(counted)
    counted.run("DELETE FROM events WHERE kind = 'events.dropped'")
    with pytest.raises(Conflict, match="its events cannot be counted"):
        rebuild_counts(counted.database, counted.act(), counted.keys)
    assert kept(counted) == before


def test_only_an_administrator_may(counted: Any) -> None:
    act = replace(counted.act(), principal=replace(counted.act().principal, role=Role.OPERATOR))
    for verb in (foresee_rebuild, rebuild_counts):
        with pytest.raises(NotPermitted):
            verb(counted.database, act, counted.keys)


@pytest.mark.parametrize("database_url", ["sqlite", pytest.param("postgresql", marks=pytest.mark.soak)], indirect=True)
def test_a_roll_up_at_the_same_time_counts_nothing_twice(counted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first pieces a server counts further events of the same hour and the same subjects."""
    before = kept(counted)
    for table in TABLES[:-1]:
        counted.run(f"DELETE FROM {table}")
    tampered = "INSERT INTO last_uses VALUES ('agent', '2026-11-01 00:00:00.000000', :at, :at, 'x')"
    counted.run(tampered, at="2026-11-24 00:00:00.000000")
    monkeypatch.setattr(count_rebuild, "PIECE", 2)
    genuine, pieces = count_rebuild._write, []

    def write(tx: Tx, **what: Any) -> None:
        pieces.append(what)
        if len(pieces) <= 3:
            count_more(tx, counted.now + timedelta(seconds=len(pieces)))
        genuine(tx, **what)

    monkeypatch.setattr(count_rebuild, "_write", write)
    rebuild_counts(counted.database, counted.act(), counted.keys)
    assert len(pieces) > 10
    counted.now += timedelta(minutes=10)
    counted.settle()
    assert counted.findings() == ""
    assert len(rebuilds(counted)) == 1
    assert kept(counted)["hourly_counts"] != before["hourly_counts"]


def count_more(tx: Tx, at: datetime) -> None:
    """A token and a refusal of that time, counted."""
    its: dict[str, Any] = {"request_id": "", "client": Named(id="agent", name="Agent")}
    detail = {"actions": ["customers:read"], "proof_id": "proof"}
    version = tx.version
    issued = Event(
        at=at, kind=EventKind.TOKEN_ISSUED, decision=Decision.GRANTED, detail=detail, **its, authority_version=version
    )
    refused = Event(at=at, kind=EventKind.TOKEN_REFUSED, decision=Decision.DENIED, reason="api_unknown", **its)
    audit.record(tx, issued)
    audit.record(tx, refused)
    batch = rollup.next_batch(tx.connection, pages.highest(tx.connection))
    assert batch is not None
    assert rollup.keep(tx, batch)


@pytest.mark.soak
@pytest.mark.parametrize("database_url", [pytest.param("sqlite", marks=pytest.mark.soak), "postgresql"], indirect=True)
def test_of_two_at_once_one_ends_and_nothing_is_corrected_twice(counted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = kept(counted)
    counted.run("UPDATE hourly_counts SET occurrences = occurrences + 5")
    counted.run("DELETE FROM last_uses")
    monkeypatch.setattr(count_rebuild, "PIECE", 1)
    planned = threading.Barrier(2, timeout=20)
    genuine = count_rebuild._plan

    def plan(*what: Any) -> Any:
        made = genuine(*what)
        planned.wait()
        return made

    monkeypatch.setattr(count_rebuild, "_plan", plan)
    refused: list[Conflict] = []

    def attempt() -> None:
        try:
            rebuild_counts(counted.database, counted.act(), counted.keys)
        except Conflict as conflict:
            refused.append(conflict)

    threads = [threading.Thread(target=attempt) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ["Another rebuild" in each.message for each in refused] == [True]
    assert (kept(counted), counted.findings()) == (before, "")


def test_one_that_was_killed_is_finished_by_the_next(counted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = kept(counted)
    for table in TABLES[:-1]:
        counted.run(f"DELETE FROM {table}")
    monkeypatch.setattr(count_rebuild, "PIECE", 2)
    genuine, left = count_rebuild._write, [3]

    def dying(tx: Tx, **what: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyError("killed")
        genuine(tx, **what)

    with monkeypatch.context() as patched:
        patched.setattr(count_rebuild, "_write", dying)
        with pytest.raises(KeyError):
            rebuild_counts(counted.database, counted.act(), counted.keys)
    assert (len(rebuilds(counted)), counted.findings() != "") == (1, True), "no change without a record"
    rebuild_counts(counted.database, counted.act(), counted.keys)
    assert (kept(counted), counted.findings()) == (before, "")


@pytest.mark.soak
def test_by_command_a_lie_is_found_foreseen_and_mended(authsec: Authsec, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    around = Runtime(now=lambda: now - timedelta(minutes=15))  # else the mark is later than the events
    with open_authority(load_settings(data=tmp_path), local_operator=True, runtime=around) as authority:
        rollup.roll_up(authority.database, around.now())
        for minutes in (10, 11):
            event = Event(
                at=now - timedelta(minutes=minutes),
                kind=EventKind.TOKEN_ISSUED,
                request_id=f"req_{minutes:024}",
                client=Named(id="agent", name="Agent"),
                decision=Decision.GRANTED,
                detail={"actions": ["customers:read"]},
            )
            authority.database.append(
                lambda tx, event=event: audit.record(tx, replace(event, authority_version=tx.version))
            )
        for _ in range(2):  # once for the highest number, and then for the events
            rollup.roll_up(authority.database, now)
        while authority.dropper.sealer.seal():
            pass
    (tmp_path / "keys").write_text(authsec("audit", "keys").stdout)
    check = ("audit", "verify", "--key", str(tmp_path / "keys"))
    assert authsec(*check).exit_code == 0, authsec(*check).output
    connection = sqlite3.connect(tmp_path / "authsec.sqlite3")
    connection.execute("UPDATE daily_uses SET tokens = 7")
    connection.commit()
    connection.close()
    found = authsec(*check)
    assert (found.exit_code, "daily_uses says 7 for day" in found.stdout) == (3, True), found.output
    foreseen = authsec("audit", "rebuild-counts", "--dry-run")
    assert "Nothing was changed. Rows that differ: 1 of daily_uses." in foreseen.stdout
    assert "daily_uses says 7 for day" in foreseen.stdout
    assert authsec("audit", "rebuild-counts").exit_code == 1  # asked, and not answered
    assert authsec(*check).exit_code == 3
    done = authsec("audit", "rebuild-counts", "--yes")
    assert (done.exit_code, "Rows that were changed: 1 of daily_uses." in done.stdout) == (0, True), done.output
    assert authsec(*check).exit_code == 0
    again = json.loads(authsec("audit", "rebuild-counts", "--yes", "--json").stdout)
    assert (again["rows"]["daily_uses"], again["differences"]) == (0, [])
    assert "1 rows of counts" in authsec("audit", "list", "--kind", "counts.").stdout


def test_a_table_with_two_rows_of_one_key_is_left_to_a_backup(counted: Any) -> None:
    counted.run(
        "ALTER TABLE hourly_counts RENAME TO before",
        "CREATE TABLE hourly_counts AS SELECT * FROM before",
        "INSERT INTO hourly_counts SELECT * FROM before",
    )
    with pytest.raises(Conflict, match="changed after it was sealed"):
        rebuild_counts(counted.database, counted.act(), counted.keys)
