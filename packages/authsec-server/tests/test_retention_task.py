"""A server runs the scheduled retention in a process of its own, once a day, and says so if that fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from authsec_server.app import retention_task
from authsec_server.app.retention_task import RetentionTask, retention_of
from authsec_server.audit.sealing.retention_run import read_state
from authsec_server.settings import load_settings
from structlog.testing import capture_logs


@pytest.fixture
def task(house_on_each: Callable[..., Any], tmp_path: Path) -> RetentionTask:
    its, where = house_on_each(), getattr(house_on_each, "keywords", {})
    (tmp_path / "exports").mkdir()
    settings = load_settings(data=tmp_path, audit_retention_days=400, audit_export_folder=tmp_path / "exports", **where)
    authority = its.authority
    return RetentionTask(
        settings=settings,
        retention=retention_of(settings, authority.database, authority.dropper, its.clock.now),
        now=its.clock.now,
        is_paused=lambda: False,
    )


def until_ended(task: RetentionTask) -> str:
    """Let the task run until a run has ended. Return the outcome of the run."""
    assert task.retention is not None
    database = task.retention.database

    async def main() -> str:
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(task.run)
                while not (state := database.read(read_state)).ended_at or state.busy_until:  # noqa: ASYNC110 - a row
                    await anyio.sleep(0.05)
                await anyio.sleep(0.2)
                tasks.cancel_scope.cancel()
        return database.read(read_state).last.outcome

    return anyio.run(main)


@pytest.mark.soak  # a process of its own takes seconds
def test_a_run_in_its_process(task: RetentionTask) -> None:
    assert until_ended(task) == "nothing"
    assert task.notes() == {}


@pytest.mark.sqlite_suffices
def test_a_process_that_ends_early_is_a_problem_that_is_said_once(
    task: RetentionTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_task, "PROGRAM", "authsec_server.no_such_program")
    monkeypatch.setattr(retention_task, "LOOK_SECONDS", 0.02)
    with capture_logs() as logs:
        assert until_ended(task) == "failed"
    assert [each["event"] for each in logs].count("old events of the audit log were not dropped") == 1
    assert task.notes() == {
        "audit_retention": "The process of the retention ended before its end: read the server's log."
    }


@pytest.mark.sqlite_suffices
def test_without_the_setting_nothing_runs(task: RetentionTask) -> None:
    task.retention = None
    anyio.run(task.run)  # ends at once
    assert retention_of(load_settings(data=task.settings.data), None, None, None) is None  # type: ignore[arg-type]
