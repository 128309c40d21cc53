"""The server exports old months of the audit log and drops them. Nothing is dropped without a durable export."""

from __future__ import annotations

import errno
import json
import os
import secrets
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit.sealing import export_file, retention
from authsec_server.audit.sealing.retention import Dropper
from authsec_server.audit.sealing.retention_run import AGAIN, AGAIN_AFTER_A_PROBLEM, LEASE, RetentionRun, read_state
from authsec_server.audit.sealing.scheduled_retention import ScheduledRetention, first_month_to_keep
from authsec_server.audit.store import events
from authsec_server.db import Database
from authsec_server.failures import StartupRefused, Unavailable
from authsec_server.principal import THE_SERVER, Act
from authsec_server.settings import load_settings
from click.testing import Result
from hypothesis import given
from hypothesis import strategies as st
from long_runs import some_of

sys.path.insert(0, str(Path(__file__).parent / "advisories"))
from test_audit_log_dropped_unseen import Old

DAYS = 90  # of the events of June, July and November, those of June and July are older
NAME = "authsec-audit-before-2026-08.jsonl"


class Crash(BaseException):
    """The process ends here: no handler runs."""


def crash(*_: Any, **__: Any) -> Any:
    raise Crash


@pytest.fixture
def old(database: Database) -> Old:
    return Old(database)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "exports"
    made.mkdir(mode=0o700)
    return made


def scheduled(old: Old, folder: Path, dropper: Dropper | None = None) -> ScheduledRetention:
    return ScheduledRetention(
        database=old.database, dropper=dropper or old.dropper, folder=folder, days=DAYS, now=lambda: old.now
    )


def run(old: Old, its: ScheduledRetention) -> RetentionRun:
    assert its.claim(old.now)
    act = Act(principal=THE_SERVER, now=old.now, request_id="", address="", token_bytes=secrets.token_bytes)
    done = its.run(act)
    assert old.database.read(read_state).last == done
    return done


def lines_of(path: Path) -> list[str]:
    return path.read_text("ascii").splitlines(keepends=True)


def test_old_months_are_exported_and_dropped(old: Old, folder: Path) -> None:
    its, before = scheduled(old, folder), old.numbers()
    done = run(old, its)
    assert (done.outcome, done.month, done.events, done.problem) == ("dropped", "2026-08", 8, "")
    assert [each.name for each in folder.iterdir()] == [NAME]
    assert (done.export, (folder / NAME).stat().st_mode & 0o777) == (str(folder / NAME), 0o600)
    assert len(old.numbers()) == len(before) - 8 + 1, "the record of the drop stays"
    assert (old.report().findings, old.report(lines_of(folder / NAME)).findings) == ((), ())
    state = old.database.read(read_state)
    assert (state.next_at, state.busy_until) == (old.now + AGAIN, None)
    assert not its.claim(old.now), "it is not due"
    old.now += AGAIN
    assert run(old, its).outcome == "nothing"
    assert [each.name for each in folder.iterdir()] == [NAME]


@pytest.mark.sqlite_suffices
def test_a_wrong_folder_is_reported_before_anything_is_old(old: Old, folder: Path) -> None:
    run(old, scheduled(old, folder))
    folder.rename(folder.with_name("elsewhere"))
    old.now += AGAIN
    done = run(old, scheduled(old, folder))
    assert done.outcome == "failed"
    assert done.problem == f"The export cannot be written to {folder}: No such file or directory. Nothing was dropped."


@pytest.mark.sqlite_suffices
@pytest.mark.soak
def test_the_audit_log_says_who_dropped_what(old: Old, folder: Path) -> None:
    run(old, scheduled(old, folder))
    old.settle()
    (event,) = old.database.read(
        lambda tx: tx.connection.execute(events.select().where(events.c.kind == "events.dropped")).all()
    )
    assert (event.principal_name, event.detail["before"], event.detail["events"]) == (THE_SERVER.name, "2026-08", 8)


@pytest.mark.sqlite_suffices
def test_of_several_servers_one_runs(old: Old, folder: Path) -> None:
    one, another = scheduled(old, folder), scheduled(old, folder)
    assert [one.claim(old.now), another.claim(old.now), one.claim(old.now)] == [True, False, False]
    assert not another.claim(old.now, is_forced=True)
    old.now += LEASE
    assert another.claim(old.now), "the first one has crashed"


def full(*_: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


class FullFile:
    """A file on a disk that is full after one line."""

    def __init__(self, file: Any) -> None:
        self._file, self._lines = file, 0

    def __enter__(self) -> FullFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, octets: bytes) -> None:
        self._lines += 1
        if self._lines > 1:
            full()
        self._file.write(octets)


def a_full_disk(_folder: Path, patched: pytest.MonkeyPatch) -> None:
    patched.setattr(export_file, "open", lambda *how: FullFile(open(*how)), raising=False)  # noqa: SIM115 - it closes it


def a_disk_that_does_not_write(_folder: Path, patched: pytest.MonkeyPatch) -> None:
    patched.setattr(export_file.os, "fsync", full)


def a_disk_that_writes_something_else(_folder: Path, patched: pytest.MonkeyPatch) -> None:
    def spoil(descriptor: int) -> None:
        os.lseek(descriptor, 100, os.SEEK_SET)
        os.write(descriptor, b"\0")

    patched.setattr(export_file.os, "fsync", spoil)


def no_folder(folder: Path, _patched: pytest.MonkeyPatch) -> None:
    folder.rmdir()


def a_folder_of_everybody(folder: Path, _patched: pytest.MonkeyPatch) -> None:
    folder.chmod(0o777)


FAULTS = {
    a_full_disk: "No space left on device",
    a_disk_that_does_not_write: "No space left on device",
    a_disk_that_writes_something_else: "was changed after it was written",
    no_folder: "No such file or directory",
    a_folder_of_everybody: "Every user can write to the export folder",
}


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("fault", some_of(FAULTS), ids=lambda each: each.__name__)
def test_nothing_is_dropped_without_a_durable_export(
    old: Old, folder: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[..., None]
) -> None:
    its, before = scheduled(old, folder), old.numbers()
    with monkeypatch.context() as patched:
        fault(folder, patched)
        done = run(old, its)
    assert (done.outcome, FAULTS[fault] in done.problem) == ("failed", True), done.problem
    assert old.numbers() == before
    assert not folder.exists() or [*folder.iterdir()] == []
    assert old.database.read(read_state).next_at == old.now + AGAIN_AFTER_A_PROBLEM
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    old.now += AGAIN_AFTER_A_PROBLEM
    assert run(old, its).outcome == "dropped"


@pytest.mark.sqlite_suffices
def test_a_crash_between_the_export_and_the_drop(old: Old, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    its, before = scheduled(old, folder), old.numbers()
    with monkeypatch.context() as patched:
        patched.setattr(Dropper, "drop", crash)
        with pytest.raises(Crash):
            run(old, its)
    assert (old.numbers(), [each.name for each in folder.iterdir()]) == (before, [NAME])
    assert not its.claim(old.now)
    old.now += LEASE
    done = run(old, its)
    assert (done.outcome, done.events, Path(done.export).name) == ("dropped", 8, "authsec-audit-before-2026-08-2.jsonl")
    assert old.report(lines_of(Path(done.export))).findings == ()


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize(
    "error",
    [pytest.param(Crash(), marks=pytest.mark.soak), Unavailable("The database is away.")],
    ids=["crash", "outage"],
)
def test_a_drop_that_was_interrupted_after_its_record_is_finished(
    old: Old, folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    its, before = scheduled(old, folder), old.numbers()

    def interrupted(*_: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(retention.Dropper, "_remove", interrupted)
        if isinstance(error, Crash):
            with pytest.raises(Crash):
                run(old, its)
        else:
            assert run(old, its).outcome == "failed"
    assert len(old.numbers()) == len(before) + 1, "only the record is there"
    assert [each.name for each in folder.iterdir()] == [NAME], "the drop has begun, so its export stays"
    old.now += max(LEASE, AGAIN_AFTER_A_PROBLEM)
    done = run(old, its)
    assert (done.outcome, done.events) == ("dropped", 8)
    assert [each.name for each in folder.iterdir()] == [NAME]
    assert old.report(lines_of(folder / NAME)).findings == ()


@given(
    now=st.integers(0, 10**10).map(lambda number: datetime.fromtimestamp(number / 3, UTC)),
    days=st.integers(31, 4000),
)
def test_no_event_of_the_kept_days_is_in_a_dropped_month(now: datetime, days: int) -> None:
    first = first_month_to_keep(now, days)
    assert (first.day, first.hour, first.minute, first.microsecond) == (1, 0, 0, 0)
    assert first <= now - timedelta(days=days)


@pytest.mark.parametrize("wrong", [{"audit_retention_days": 400}, {"audit_retention_days": 30}])
def test_settings_that_cannot_work(tmp_path: Path, wrong: dict[str, Any]) -> None:
    more = {"audit_export_folder": tmp_path} if wrong["audit_retention_days"] < 31 else {}
    with pytest.raises(StartupRefused, match="AUDIT_RETENTION_DAYS must be at least 31"):
        load_settings(data=tmp_path, **wrong, **more)


def test_the_command(authsec: Callable[..., Result], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    off = authsec("audit", "retention")
    assert (off.exit_code, "The scheduled retention is off" in off.stdout) == (0, True), off.output
    assert authsec("audit", "retention", "--run").exit_code == 1
    monkeypatch.setenv("AUTHSEC_SERVER_AUDIT_RETENTION_DAYS", "400")
    monkeypatch.setenv("AUTHSEC_SERVER_AUDIT_EXPORT_FOLDER", str(folder))
    on = authsec("audit", "retention")
    assert on.stdout == f"Events are kept for 400 days. Exports go to {folder}.\nNext run: within a minute\n"
    ran = authsec("audit", "retention", "--run")
    assert ran.exit_code == 0, ran.output
    assert "was left to drop" in ran.stdout
    told = json.loads(authsec("audit", "retention", "--json").stdout)
    assert (told["days"], told["last"]["outcome"], told["last"]["problem"]) == (400, "nothing", None)
    assert told["next_at"] > told["last"]["ended_at"]
