"""A backup is restored, and later the month of the restore is dropped: no attack.

The restore revokes every published signing key in one change. The events of the keys are dropped with their month, but
`authority.restored`, the last event of the same change, stays. So an event with the version of the change is left, and
`verify` believes that it says all that the change revoked. The rows of the keys stay: servers repeat them after eight
days. Until then, without the export, each check is a finding, and each later drop is refused.
"""

from __future__ import annotations

import secrets
import sys
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from authsec_server.app.restoration import Restoration, _restore
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.checkpoints import read_checkpoint
from authsec_server.audit.sealing.restore_loss import find_loss
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, Tx
from authsec_server.keys import service as keys
from authsec_server.keys.model import Algorithm, NewKey

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import Year, midnight

pytestmark = pytest.mark.changes_rows_only


def new_key(_algorithm: Algorithm) -> NewKey:
    return NewKey(kid=secrets.token_urlsafe(32), public_jwk={"kty": "RSA"}, sealed=b"sealed")


def restored(year: Year, *disabled: str) -> None:
    """Record a restore, as `authsec admin restored` does. The database has lost nothing."""
    signed = year.database.read(lambda tx: store.last_signed(tx.connection))
    lost = find_loss([signed or ""], year.keys())
    settings: Any = SimpleNamespace(settings=SimpleNamespace(issuer="https://a"))

    def work(tx: Tx) -> None:
        tx, its = _restore(tx, year.act, lost, new_key, {Algorithm.RS256}, (), disabled)  # type: ignore[arg-type] # a stand-in for the loss
        Restoration._record(settings, tx, year.act, its, year.sealing_keyring.signing_key())

    year.database.change(work)


@pytest.mark.sqlite_suffices  # test_kind_changed_while_a_drop_lists_its_events.py drops a month on PostgreSQL
def test_a_restore_whose_month_was_dropped_is_no_finding(database: Database) -> None:
    year = Year(database)
    year.do(lambda tx, act: keys.ensure(tx, act, new_key))
    year.at = midnight(9) - timedelta(days=3)
    restored(year)
    year.settle()
    assert year.report().findings == ()
    year.at = midnight(9) + timedelta(days=1)
    year.settle()
    year.drop(9)
    signed = year.database.read(lambda tx: store.last_signed(tx.connection))
    outside = read_checkpoint(signed or "", year.keys())
    assert year.report().findings == ()  # with the export
    report = year.database.check(lambda tx: verify(tx, year.keys(), [outside], now=year.at))
    assert report.findings == ()  # without it, as the next drop checks


def dropped_after_disabling(database: Database) -> Year:
    """The restore disabled an agent, and the event that says so was dropped."""
    year = Year(database)
    year.do(lambda tx, act: keys.ensure(tx, act, new_key))
    year.at = midnight(9) - timedelta(days=3)
    restored(year, "helper")
    year.settle()
    assert year.report().findings == ()
    year.at = midnight(9) + timedelta(days=1)
    year.settle()
    year.drop(9)
    assert year.report().findings == ()  # with the export
    year.files.clear()
    return year


@pytest.mark.soak
@pytest.mark.sqlite_suffices  # test_drop_by_a_machine_whose_clock_is_ahead.py drops a month of PostgreSQL
def test_an_agent_that_the_restore_disabled_is_no_finding(database: Database) -> None:
    year = dropped_after_disabling(database)
    assert year.report().findings == ()  # without the export, as the next drop checks
    year.edit(9)
    year.edit(10)
    year.drop(10)


ROW = (
    "INSERT INTO revocations (sequence, subject_kind, subject_id, version, at)"
    " SELECT (SELECT max(sequence) + 1 FROM revocations)"
)


@pytest.mark.sqlite_suffices
def test_another_revocation_of_the_restore_is_found(database: Database) -> None:
    """The signed record has the agents that the restore disabled."""
    year = dropped_after_disabling(database)
    year.run(
        f"{ROW}, subject_kind, 'c0000000-0000-4000-8000-000000000001', version, at FROM revocations"
        " WHERE subject_kind = 'client'"
    )
    assert "but no event says so." in "".join(year.report().findings)


@pytest.mark.sqlite_suffices
def test_a_copy_of_the_agents_revocation_is_found(database: Database) -> None:
    year = dropped_after_disabling(database)
    year.run(f"{ROW}, subject_kind, subject_id, version, at FROM revocations WHERE subject_kind = 'client'")
    assert "the events explain only 1 of them." in "".join(year.report().findings)
