"""Somebody wants the server to drop events that no export has, or to keep it from dropping at all.

They can write to the database, to the export folder for a moment, or to both, and have no key.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec.jose import PrivateKey
from authsec_server.audit.sealing.retention import Dropper
from authsec_server.audit.sealing.retention_run import AGAIN, LEASE, read_state, retention_run
from authsec_server.audit.store import events
from authsec_server.db import Database
from sqlalchemy import update

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent.parent))
from test_audit_log_dropped_unseen import Old
from test_scheduled_retention import NAME, run, scheduled


@pytest.fixture
def old(database: Database) -> Old:
    return Old(database)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "exports"
    made.mkdir(mode=0o700)
    return made


class Overtaken:
    """A sealer whose key is asked for while somebody else works: after the check of a drop, and before its record."""

    def __init__(self, sealer: Any, meanwhile: Callable[[], None]) -> None:
        self._sealer = sealer
        self._meanwhile = meanwhile

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sealer, name)

    def key(self) -> PrivateKey:
        self._meanwhile()
        key: PrivateKey = self._sealer.key()
        return key


@pytest.mark.parametrize("meanwhile", ["changed", "gone"])
@pytest.mark.sqlite_suffices
def test_an_export_that_is_changed_or_deleted_before_the_record(old: Old, folder: Path, meanwhile: str) -> None:
    file, before = folder / NAME, old.numbers()

    def change() -> None:
        if meanwhile == "gone":
            file.unlink(missing_ok=True)
        elif file.exists():
            file.write_text("[]\n", "ascii")

    dropper = Dropper(
        database=old.database,
        sealer=Overtaken(old.sealer, change),  # type: ignore[arg-type] # it has all that a sealer has
        issuer="https://a",
        keys=old.dropper.keys,
    )
    done = run(old, scheduled(old, folder, dropper))
    assert done.outcome == "failed"
    assert old.numbers() == before


@pytest.mark.sqlite_suffices
def test_a_log_that_was_changed_is_not_dropped(old: Old, folder: Path) -> None:
    before = old.numbers()
    changed = update(events).where(events.c.id == before[0]).values(client_name="Eve")
    old.database.append(lambda tx: tx.connection.execute(changed))
    done = run(old, scheduled(old, folder))
    assert (done.outcome, "was changed after it was sealed" in done.problem) == ("failed", True)
    assert (old.numbers(), [*folder.iterdir()]) == (before, []), "no export fills the disk"


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("column", ["next_at", pytest.param("busy_until", marks=pytest.mark.soak)])
def test_a_run_that_raw_sql_puts_off_for_years(old: Old, folder: Path, column: str) -> None:
    its = scheduled(old, folder)
    assert run(old, its).outcome == "dropped"
    old.now += AGAIN
    assert run(old, its).outcome == "nothing"
    values = {"next_at": None, column: old.now + timedelta(days=3650)}
    old.database.append(lambda tx: tx.connection.execute(update(retention_run).values(values)))
    assert old.database.read(read_state).is_due(old.now)
    assert its.claim(old.now)
    assert not old.database.read(read_state).is_due(old.now + LEASE - timedelta(seconds=1))
