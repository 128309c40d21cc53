"""While no server runs, somebody renames a row and inserts an event that says so: no seal shows that this was not so.

A server that runs seals each event within seconds. So `verify` believes no older event that has no seal, and ends with
status 6 where nothing else gives a name or explains a revocation.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.audit.sealing import store
from authsec_server.audit.sealing.log_check import Report
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.service import SealingStatus, sealing_status
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.audit.store import events, sealed_events
from authsec_server.clients import service as clients
from authsec_server.delegations import service
from sealed_estate import Sealed, sealed_estate
from sqlalchemy import select, update
from structlog.testing import capture_logs

pytestmark = pytest.mark.sqlite_suffices

SEALED_AT = timedelta(minutes=10)  # after the time of the estate


@pytest.fixture
def sealed(estate: Any) -> Sealed:
    return sealed_estate(estate)


def checked(sealed: Sealed, *, at: timedelta) -> Report:
    keys, now = sealed.keys.by_kid(), sealed.estate.act.now + at
    report: Report = sealed.estate.database.read(lambda tx: verify_log(tx, keys, now=now))
    return report


def renamed(sealed: Sealed, *, at: timedelta) -> None:
    """The row and the event, as an attacker writes them, or a command on the server's machine."""
    slug = {"slug": "money"}
    sealed.estate.do(
        lambda tx, act: clients.edit(tx, replace(act, now=act.now + at), "payments", revision=3, changes=slug)
    )


def test_an_unsealed_name_that_is_older_than_the_newest_checkpoint_is_not_believed(sealed: Sealed) -> None:
    renamed(sealed, at=timedelta())
    report = checked(sealed, at=SEALED_AT)
    assert (report.findings, report.not_yet) == ((), 1)
    assert "which has no seal, gives the client" in report.skipped[0]
    assert "its slug." in report.skipped[0]
    assert "authsec audit show" in report.skipped[-1]


def test_an_unsealed_name_is_believed_for_some_minutes(sealed: Sealed) -> None:
    renamed(sealed, at=SEALED_AT)
    believed = checked(sealed, at=SEALED_AT + timedelta(minutes=4))
    assert (believed.skipped, believed.not_yet) == ((), 1)
    assert checked(sealed, at=SEALED_AT + timedelta(minutes=6)).skipped


def test_a_name_that_neither_a_sealed_event_nor_an_unsealed_one_gives_is_found(sealed: Sealed) -> None:
    renamed(sealed, at=timedelta())
    _, found = sealed.after("UPDATE clients SET slug = 'other' WHERE slug = 'money'")
    assert 'has the slug "other", but the events say "money"' in found


def test_once_a_server_has_sealed_the_event_all_is_checked(sealed: Sealed) -> None:
    renamed(sealed, at=timedelta())
    sealed.seal()
    report = checked(sealed, at=timedelta(hours=1))
    assert (report.findings, report.skipped) == ((), ())


def test_a_deletion_that_only_an_unsealed_event_says_is_not_believed(sealed: Sealed) -> None:
    sealed.estate.do(lambda tx, act: service.delete_client(tx, act, "payments", sealed.estate.terms))
    report = checked(sealed, at=SEALED_AT)
    assert report.findings == ()
    assert any("was deleted." in each for each in report.skipped), report.skipped


def test_a_revocation_that_only_an_unsealed_event_explains_is_not_believed(sealed: Sealed) -> None:
    sealed.estate.do(lambda tx, act: clients.revoke_tokens(tx, act, "payments"))
    report = checked(sealed, at=SEALED_AT)
    assert report.findings == ()
    assert any("Only an event without a seal says that the row" in each for each in report.skipped), report.skipped
    sealed.seal()
    assert checked(sealed, at=SEALED_AT).skipped == ()


def test_an_event_that_is_dated_anew_before_each_check_is_not_believed(sealed: Sealed) -> None:
    """No server seals, for whatever reason: it is stopped, or a session holds its lock, or its key is gone."""
    hours = timedelta(hours=3)
    renamed(sealed, at=hours - timedelta(seconds=30))
    assert "which has no seal, gives the client" in checked(sealed, at=hours).skipped[0]


def test_an_event_that_is_dated_anew_is_overdue_once_no_checkpoint_is_signed(sealed: Sealed) -> None:
    def is_overdue(at: timedelta) -> bool:
        asked: SealingStatus = sealed.estate.see(lambda tx, act: sealing_status(tx, act.principal, act.now + at))
        return asked.is_overdue

    assert not is_overdue(timedelta(hours=3))  # nothing waits
    renamed(sealed, at=SEALED_AT)
    assert not is_overdue(SEALED_AT + timedelta(minutes=9))
    no_seal = events.c.id.not_in(select(sealed_events.c.event_id))
    anew = update(events).where(no_seal).values(at=sealed.estate.act.now + timedelta(hours=3))
    sealed.estate.database.append(lambda tx: tx.connection.execute(anew))
    assert is_overdue(timedelta(hours=3))


def test_a_server_that_is_kept_from_sealing_says_so_in_its_log(sealed: Sealed, monkeypatch: pytest.MonkeyPatch) -> None:
    """On PostgreSQL any session may hold the lock."""
    renamed(sealed, at=SEALED_AT)
    key, known = sealed.keys.signing_key, sealed.keys.by_kid
    after = timedelta(minutes=11)
    sealer = Sealer(
        sealed.estate.database,
        issuer="https://a",
        signing_key=key,
        keys=known,
        now=lambda: sealed.estate.act.now + after,
    )
    monkeypatch.setattr(store, "lock_sealing", lambda _: False)
    with capture_logs() as logs:
        for _ in range(12):
            sealer.seal()
            after += timedelta(minutes=1)
    said = [each["why"] for each in logs if each["event"] == "the audit log is not sealed"]
    assert said == ["another session holds the sealing lock, or locks rows of counts"] * 2
