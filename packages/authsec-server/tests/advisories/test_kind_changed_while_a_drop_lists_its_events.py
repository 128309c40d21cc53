"""Raw SQL changes the kind of an event that no drop removes, between the check of a drop and its list of events.

Once the drop verified the log in one transaction, and listed the events to drop in another. In between,
`authority.restored` became an event of another kind. So the signed record listed the place of the restore, whose leaf
the export has, and the server deleted the event itself. Nothing was left to put back: each later check found a drop
that is in order, and named no restore. The role of the servers may do this, on each kind of database.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing import given, retention
from authsec_server.audit.sealing.exporting import export
from authsec_server.audit.sealing.given import KeptExport
from authsec_server.audit.sealing.restores import Restore, sign_restore
from authsec_server.audit.sealing.retention import Dropper, EventsToDrop
from authsec_server.audit.service import record_act
from authsec_server.db import Database, Tx
from long_runs import mostly_on_sqlite
from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import Year, midnight

pytestmark = pytest.mark.changes_rows_only


def restored(year: Year) -> None:
    restore = Restore(at=year.at, authority_version=100, size=7, checkpoints_until=year.at)
    detail = {"record": sign_restore(restore, issuer="https://a", key=year.sealing_keyring.signing_key())}
    year.do(lambda tx, act: record_act(tx, act, EventKind.AUTHORITY_RESTORED, detail=detail))


def key_replaced(year: Year) -> None:
    """Without the record, servers publish the old key without its end: its thief may sign for the log again."""
    year.do(lambda tx, act: year.sealing_keyring.replace(tx, act, issuer="https://a"))


CASES = {
    "restore": (restored, EventKind.AUTHORITY_RESTORED),
    "replaced key": (key_replaced, EventKind.SEAL_KEY_REPLACED),
}
STAYING = pytest.mark.parametrize(("record", "kind"), mostly_on_sqlite(CASES, "replaced key"), ids=CASES)


def year_with(database: Database, record: Callable[[Year], None]) -> Year:
    year = Year(database)
    record(year)
    year.settle()
    year.edit(9)
    return year


@pytest.mark.soak
@STAYING
def test_a_drop_leaves_the_event_that_looks_like_another(
    database: Database, monkeypatch: pytest.MonkeyPatch, record: Callable[[Year], None], kind: EventKind
) -> None:
    year, check = year_with(database, record), Dropper._check_seals

    def check_and_change(*arguments: Any, **named: Any) -> Any:
        found = check(*arguments, **named)
        year.run(f"UPDATE events SET kind = 'client.edited' WHERE kind = '{kind}'")
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Dropper, "_check_seals", check_and_change)
        year.drop(9)
    assert "was changed: the event differs from its seal" in "".join(year.report().findings)


@pytest.mark.sqlite_suffices
def test_the_export_decides_what_a_drop_lists(database: Database) -> None:
    """Somebody who overwrites the SQLite file changes what the checked transaction reads."""
    lines = list(export(year_with(database, restored).database))

    def listed(tx: Tx) -> EventsToDrop:
        return retention.events_to_drop(tx, before=midnight(9), export=KeptExport("old.jsonl", lines))

    def changed(tx: Tx) -> EventsToDrop:
        tx.connection.execute(text("UPDATE events SET kind = 'client.edited' WHERE kind = 'authority.restored'"))
        return listed(tx)

    wanted = database.read(listed)
    assert wanted.events > wanted.lacking == 0
    assert database.append(changed) == wanted


@pytest.mark.sqlite_suffices
@STAYING
def test_the_export_shows_that_such_an_event_was_dropped(
    database: Database, monkeypatch: pytest.MonkeyPatch, record: Callable[[Year], None], kind: EventKind
) -> None:
    """An earlier version may have signed such a record, or a thief of the sealing key."""
    year = year_with(database, record)
    with monkeypatch.context() as patched:
        for module in (retention, given):
            patched.setattr(module, "NEVER_DROPPED", frozenset())
        year.drop(9)
    assert f"no drop removes an event of the kind {kind}." in "".join(year.report().findings)
