"""`authsec audit follow`: none missing, none twice, in one order, wherever it was ended."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
from authsec.exit_status import Exit
from authsec_server.app import Authority, open_authority
from authsec_server.audit import service as audit
from authsec_server.audit.model import Event, EventKind
from authsec_server.audit.store import events, sealed_events
from authsec_server.cli import audit_follow
from authsec_server.cli.audit_follow import Follower
from authsec_server.cli.caller import Caller
from authsec_server.cli.output import open_output
from authsec_server.cli.transport import CallFailed
from authsec_server.principal import THE_SERVER
from authsec_server.settings import load_settings
from click.testing import Result
from planted_events import sign_anew
from sqlalchemy import delete, select, update
from starlette.testclient import TestClient

FOLLOW = (sys.executable, "-c", "from authsec.cli import main; main()", "audit", "follow")


class Log:
    """An authority whose audit log is sealed when a test says so, and the way to it."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self.client = TestClient(authority.app, base_url="http://127.0.0.1")
        self.away = False

    def happen(self, *numbers: int) -> None:
        """Events of these numbers, in this order, each sealed before the next."""
        at = self.authority.dropper.sealer._now()
        for number in numbers:
            event = Event(
                at=at, kind=EventKind.ROLE_CREATED, request_id="req_000000000000000000000001", principal=THE_SERVER
            )
            added = self.authority.database.append(partial(audit.record, event=event))
            self._move(added, number)
            self.authority.dropper.sealer._searched = None  # as ten seconds later
            self.authority.dropper.sealer.seal()

    def _move(self, number: int, to: int) -> None:
        moved = update(events).where(events.c.id == number).values(id=to)
        self.authority.database.append(lambda tx: tx.connection.execute(moved))
        sign_anew(self.authority.database)

    def send(self, method: str, path: str, content: Mapping[str, Any]) -> httpx2.Response:
        if self.away:
            raise CallFailed("Nothing answers.", exit_code=Exit.UNREACHABLE)
        answer = self.client.request(method, f"/authsec/api/v1/{path}", **content)
        return httpx2.Response(answer.status_code, json=answer.json())

    @contextmanager
    def session(self) -> Iterator[Log]:
        yield self

    def address(self) -> str:
        return ""

    def silent_address(self) -> str:
        return ""

    def follower(self, place: int = -1, leaf: str = "") -> Follower:
        return Follower(caller=Caller(reach=self), output=open_output(as_json=False), place=place, leaf=leaf)


@pytest.fixture
def log(tmp_path: Path, begun_today: Path, authsec: Callable[..., Result]) -> Iterator[Log]:
    assert begun_today.exists()
    assert callable(authsec)  # it has put data of its own there
    with open_authority(load_settings(data=tmp_path), local_operator=True) as authority:
        authority.dropper.sealer.seal()
        yield Log(authority)


def test_each_comes_once_though_a_lower_number_is_committed_later(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_follow, "_PAGE", 2)
    follower = log.follower()
    had: list[int] = []
    for number in (1000, 900, 1001, 899, 950):
        log.happen(number)
        had += [each["id"] for each in follower.next()]
    while found := follower.next():
        had += [each["id"] for each in found]
    assert had[-5:] == [1000, 900, 1001, 899, 950]
    assert len(had) == len(set(had)) == follower.place + 1
    again = log.follower(follower.place - 2, "")
    assert [each["id"] for each in again.next()] == [899, 950]
    assert {"place", "leaf", "kind", "detail"} <= log.follower().next()[0].keys()


def test_it_goes_on_where_it_was_only_in_the_same_log(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    log.happen(1000, 1001)
    follower = log.follower()
    assert follower.next()
    log.away = True
    with pytest.raises(CallFailed) as failed:
        follower.next()
    follower.lost(failed.value)
    follower.lost(failed.value)
    assert capsys.readouterr().err.count("Retrying") == 1
    log.away = False
    log.happen(1002)
    assert [each["id"] for each in follower.next()] == [1002]
    assert [each["id"] for each in log.follower(follower.place, follower.leaf).next()] == []
    for place, leaf in ((follower.place, "00" * 32), (follower.place + 9, follower.leaf)):
        with pytest.raises(CallFailed, match="this is another audit log"):
            log.follower(place, leaf).next()
    follower.lost(failed.value)
    cut = delete(sealed_events).where(sealed_events.c.position >= follower.place)
    log.authority.database.append(lambda tx: tx.connection.execute(cut))
    with pytest.raises(CallFailed, match="this is another audit log"):
        follower.next()


def test_what_was_dropped_is_passed_and_a_silent_log_is_told_of(log: Log, capsys: pytest.CaptureFixture[str]) -> None:
    log.happen(1000, 1001)
    gone = delete(events).where(events.c.id.in_([1, 2, 1001]))
    log.authority.database.append(lambda tx: tx.connection.execute(gone))
    follower = log.follower()
    assert {1, 2, 1001}.isdisjoint(each["id"] for each in follower.next())
    assert "3 events were dropped" in capsys.readouterr().err
    last = log.authority.database.read(lambda tx: tx.connection.execute(select(sealed_events.c.position)).all())[-1]
    assert follower.place == last.position
    follower._mind("2026-01-01T00:00:00Z")
    follower._mind("2026-01-01T00:00:00Z")
    follower._mind(None)
    told = capsys.readouterr().err
    assert (
        told.count(
            "since 2026-01-01 00:00:00 UTC. Events are printed after they are sealed: check that a server is running."
        )
        == 1
    )
    assert "so far" in told


@contextmanager
def following(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [*FOLLOW, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.soak  # it starts processes that end
def test_it_ends_cleanly_and_keeps_how_far_it_was(log: Log, tmp_path: Path) -> None:
    state, data = tmp_path / "state", ("--data", str(tmp_path))
    with following("--state", str(state), *data) as process:
        assert process.stdout is not None
        first = [json.loads(process.stdout.readline()) for _ in range(4)]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert [each["place"] for each in first] == [0, 1, 2, 3]
    assert json.loads(state.read_text()) == {"place": 3, "leaf": first[3]["leaf"]}
    log.happen(1000)
    with following("--state", str(state), *data) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["id"] == 1000
        process.stdout.close()  # nobody reads any more
        assert process.wait(60) == 0


def test_a_place_that_cannot_be_kept_is_refused_before_the_first_event(
    log: Log, authsec: Callable[..., Result], tmp_path: Path
) -> None:
    log.happen(10)
    missing = authsec("audit", "follow", "--state", str(tmp_path / "nowhere" / "state"))
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert f"There is no folder {tmp_path / 'nowhere'}." in missing.stderr
    taken = tmp_path / "state.new"
    taken.mkdir()
    refused = authsec("audit", "follow", "--state", str(tmp_path / "state"))
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "cannot be written: Is a directory." in refused.stderr


def test_a_beginning_that_makes_no_sense_is_refused(log: Log, authsec: Callable[..., Result], tmp_path: Path) -> None:
    state = tmp_path / "state"
    for content in (
        "{}",
        "",
        '{"place": -1, "leaf": "00"}',
        '{"place": 1, "leaf": ""}',
        '{"place": true, "leaf": "0"}',
    ):
        state.write_text(content)
        refused = authsec("audit", "follow", "--state", str(state))
        assert (refused.exit_code, "is not a position file" in refused.stderr) == (1, True), content
    assert authsec("audit", "follow", "--after", "3", "--from-start").exit_code == 2
    beyond = authsec("audit", "follow", "--after", "100000")
    assert (beyond.exit_code, ": the audit log has only " in beyond.stderr, "--after" in beyond.stderr) == (
        1,
        True,
        True,
    )
    typed = authsec("audit", "follow", "--after", "x")
    assert (
        typed.exit_code,
        "'x' is not a position in the audit log: give a number, the `place` of an event." in typed.stderr,
    ) == (
        2,
        True,
    )
