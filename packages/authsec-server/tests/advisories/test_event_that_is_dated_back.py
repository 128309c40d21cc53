"""Somebody inserts an event of last week, and the server seals it: `verify` tells that its seal came late.

A lone event like that may also have waited for a server that was stopped. So it is told, and is no finding.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from authsec_server.app import open_authority
from authsec_server.audit import service as audit
from authsec_server.audit.model import Event, EventKind
from authsec_server.audit.sealing.late_seals import MOST, LateSeals
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.trail import Report
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.db import Database
from authsec_server.keys.journal import JournalKeys
from authsec_server.keys.master import MasterKey
from authsec_server.settings import load_settings
from click.testing import Result

NOW = datetime.fromisoformat("2026-11-25T12:00:00+00:00")


class Log:
    """An audit log that is sealed at a time that moves."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = NOW
        keys = JournalKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
        keys.keep(NOW)
        self.keys = keys.by_kid
        key = keys.signing_key
        self.sealer = Sealer(database, issuer="https://a", signing_key=key, keys=self.keys, now=lambda: self.now)

    def record(self, *ages: timedelta) -> int:
        for age in ages:
            event = Event(at=self.now - age, kind=EventKind.ROLE_CREATED, request_id="req_1")
            number = self.database.append(partial(audit.record, event=event))
        return number

    def seal(self) -> None:
        while self.sealer.seal():
            pass

    def report(self) -> Report:
        return self.database.read(lambda tx: verify_log(tx, self.keys(), now=self.now))


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


def test_of_very_many_the_further_ones_are_counted(log: Log) -> None:
    for _ in range(MOST + 3):
        log.now += timedelta(minutes=1)
        log.record(timedelta(days=7))
        log.seal()
    report = log.report()
    assert (len(report.late), report.more_late) == (MOST, 3)


def test_verify_says_it_in_a_sentence_and_goes_on(authsec: Callable[..., Result], tmp_path: Path) -> None:
    now = datetime.now(UTC)
    with open_authority(load_settings(data=tmp_path), local_operator=True) as authority:
        event = Event(at=now - timedelta(days=7), kind=EventKind.ROLE_CREATED, request_id="req_1")
        number = authority.database.append(partial(audit.record, event=event))
        authority.dropper.sealer.seal()
    (tmp_path / "keys").write_text(authsec("audit", "keys").stdout)
    checked = authsec("audit", "verify", "--key", str(tmp_path / "keys"))
    assert checked.exit_code == 0, checked.output
    assert f"Event {number}, of {event.at:%Y-%m-%d %H:%M:%S} UTC, was sealed only at {now:%Y-%m-%d} " in checked.stdout
    assert "no server sealed in between, or it was dated back." in checked.stdout
    (told,) = json.loads(authsec("audit", "verify", "--key", str(tmp_path / "keys"), "--json").stdout)["sealed_late"]
    assert (told["events"], told["numbers"]) == (1, [number, number])
