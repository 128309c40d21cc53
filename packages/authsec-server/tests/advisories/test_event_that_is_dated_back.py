"""Somebody inserts an event of last week, and the server seals it: `verify` tells that its seal came late.

A lone event like that may also have waited for a server that was stopped. So it is told, and is no finding. Neither
many other late events nor deleted checkpoints may hide it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from authsec_server.app import open_authority
from authsec_server.audit import service as audit
from authsec_server.audit.model import Event, EventKind
from authsec_server.audit.sealing import late_seals
from authsec_server.audit.sealing.checkpoints import Checkpoint
from authsec_server.audit.sealing.dropped import NEVER_DROPPED
from authsec_server.audit.sealing.late_seals import LateSeals
from authsec_server.audit.sealing.log_check import Report
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.cli import audit_report
from authsec_server.db import Database
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.settings import load_settings
from click.testing import Result
from sqlalchemy import text

pytestmark = pytest.mark.sqlite_suffices

NOW = datetime.fromisoformat("2026-11-25T12:00:00+00:00")


class Log:
    """An audit log that is sealed at a time that moves."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = NOW
        keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
        keys.keep(NOW)
        self.keys = keys.by_kid
        key = keys.signing_key
        self.sealer = Sealer(database, issuer="https://a", signing_key=key, keys=self.keys, now=lambda: self.now)

    def record(self, *ages: timedelta, kind: EventKind = EventKind.ROLE_CREATED) -> int:
        for age in ages:
            event = Event(at=self.now - age, kind=kind, request_id="req_000000000000000000000001")
            number = self.database.append(partial(audit.record, event=event))
        return number

    def seal(self) -> None:
        while self.sealer.seal():
            pass

    def report(self, *kept: Checkpoint) -> Report:
        return self.database.read(lambda tx: verify_log(tx, self.keys(), kept, now=self.now))


@pytest.fixture
def log(database: Database) -> Log:
    made = Log(database)
    made.record(timedelta())
    made.seal()
    made.now += timedelta(hours=1)
    return made


def test_an_event_that_is_dated_back_is_told_with_the_time_of_its_seal(log: Log) -> None:
    log.record(timedelta(), timedelta(minutes=14))
    log.seal()
    assert (log.report().late, log.report().as_sealed) == ((), True)
    log.now += timedelta(minutes=2)
    number = log.record(timedelta(days=7))
    log.record(timedelta())
    log.seal()
    (late,) = log.report().late
    oldest = (log.now - timedelta(days=7)).isoformat(timespec="microseconds")
    assert late == LateSeals(sealed_at=log.now, first=number, last=number, oldest=oldest)
    assert log.report().as_sealed


def test_events_that_waited_for_a_server_are_told_together(log: Log) -> None:
    first = log.record(timedelta())
    last = log.record(timedelta(), timedelta())
    log.now += timedelta(days=1)
    log.seal()
    (late,) = log.report().late
    assert (late.events, late.first, late.last) == (3, first, last)


@pytest.mark.parametrize("kind", sorted(NEVER_DROPPED))
def test_an_event_that_no_drop_takes_is_told_as_well(log: Log, kind: EventKind) -> None:
    number = log.record(timedelta(days=7), kind=kind)
    log.seal()
    assert [(late.first, late.last) for late in log.report().late] == [(number, number)]


def test_the_newest_of_very_many_is_told(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_seals, "MOST", 3)
    for _ in range(5):
        log.now += timedelta(minutes=1)
        number = log.record(timedelta(days=7), timedelta(days=7))
        log.seal()
    report = log.report()
    assert [late.last for late in report.late] == [number - 4, number - 2, number]
    assert report.more_late == 4


def test_kept_checkpoints_tell_a_planted_event_from_those_whose_checkpoints_were_deleted(log: Log) -> None:
    """Without the checkpoints between, honest events are told as sealed late, too, and the planted one among them."""
    kept = []
    for _ in range(3):
        log.now += timedelta(minutes=10)
        honest = log.record(timedelta())
        log.seal()
        kept += [head for head in [log.report().last] if head]
    planted = log.record(timedelta(days=7))
    log.now += timedelta(minutes=2)
    log.seal()
    newest = text("DELETE FROM checkpoints WHERE size < (SELECT max(size) FROM checkpoints)")
    log.database.append(lambda tx: tx.connection.execute(newest) and None)
    (late,) = log.report().late
    assert (late.first < honest, late.last) == (True, planted)
    (late,) = log.report(*kept).late[-1:]
    assert (late.first, late.last) == (planted, planted)


def test_verify_says_it_in_a_sentence_and_goes_on(authsec: Callable[..., Result], tmp_path: Path) -> None:
    now = datetime.now(UTC)
    with open_authority(load_settings(data=tmp_path), local_operator=True) as authority:
        event = Event(
            at=now - timedelta(days=7), kind=EventKind.ROLE_CREATED, request_id="req_000000000000000000000001"
        )
        number = authority.database.append(partial(audit.record, event=event))
        authority.dropper.sealer.seal()
    (tmp_path / "keys").write_text(authsec("audit", "keys").stdout)
    checked = authsec("audit", "verify", "--key", str(tmp_path / "keys"))
    assert checked.exit_code == 0, checked.output
    assert f"Event {number}, of {event.at:%Y-%m-%d %H:%M:%S} UTC, was sealed only at {now:%Y-%m-%d} " in checked.stdout
    assert "Either no server sealed events before, or it was dated back, or checkpoints were deleted." in checked.stdout
    (told,) = json.loads(authsec("audit", "verify", "--key", str(tmp_path / "keys"), "--json").stdout)["sealed_late"]
    assert (told["events"], told["numbers"]) == (1, [number, number])


def test_verify_names_the_newest_and_says_where_all_are_named(
    authsec: Callable[..., Result], clock: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_report, "LATE_TOLD", 2)
    clock.at = datetime.now(UTC) - timedelta(minutes=20)
    numbers = []
    with open_authority(load_settings(data=tmp_path), local_operator=True, runtime=clock.around()) as authority:
        for _ in range(4):
            clock.at += timedelta(minutes=2)
            event = Event(
                at=clock.at - timedelta(days=7), kind=EventKind.ROLE_CREATED, request_id="req_000000000000000000000001"
            )
            numbers.append(authority.database.append(partial(audit.record, event=event)))
            authority.dropper.sealer.seal()
    (tmp_path / "keys").write_text(authsec("audit", "keys").stdout)
    said = authsec("audit", "verify", "--key", str(tmp_path / "keys")).stdout
    assert [f"Event {number}, of" in said for number in numbers] == [False, False, True, True]
    assert (
        "Before these events, 2 events were sealed more than 15 minutes after the recorded time. "
        "With --json, verify lists these events." in said
    )
    told = json.loads(authsec("audit", "verify", "--key", str(tmp_path / "keys"), "--json").stdout)["sealed_late"]
    assert [each["numbers"] for each in told] == [[number, number] for number in numbers]
