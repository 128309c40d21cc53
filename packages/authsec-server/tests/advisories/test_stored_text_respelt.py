"""A database administrator spells a stored value otherwise: queries miss it, and the parsed value stays the same.

SQL compares the stored text, the seal once covered the parsed value. Now a value has one spelling: another one changes
the leaf or cannot be read, and no filter searches the text of a JSON column.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import pytest
from authsec_server.audit import live_tokens
from authsec_server.audit import service as audit
from authsec_server.audit.filters import EventFilter
from authsec_server.audit.model import Decision, Event, EventKind, Named
from authsec_server.audit.sealing.log_check import Report
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.db import Database, Tx
from authsec_server.failures import Conflict
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.principal import LOCAL_OPERATOR
from databases import raise_version_to
from long_runs import some_of, some_rows_of
from sqlalchemy import text

pytestmark = pytest.mark.sqlite_suffices

NOW = datetime.fromisoformat("2026-11-25T12:00:00+00:00")
VICTIM = 4
THE_LINK = "event_delegations WHERE event_id = 4 AND delegation_id = 'd-1'"
BOTH = {
    "spaces in JSON": """UPDATE events SET delegations = replace(delegations, '","', '", "')""",
    "an escape in JSON": r"UPDATE events SET delegations = replace(delegations, 'd-1', '\u0064-1')",
    "a duplicate member": """UPDATE events SET delegations = replace(delegations, '{"id"', '{"id":"d-9","id"')""",
    "another order of members": """UPDATE events SET delegations = '[{"name":"D","id":"d-1"}]' WHERE id = 4""",
    "another spelling of the detail": """UPDATE events SET detail = replace(detail, '":', '": ')""",
    "a zero behind a number": """UPDATE events SET detail = replace(detail, '1.5', '1.50')""",
}
SQLITE = {
    "a time with a T": "UPDATE events SET at = replace(at, ' ', 'T')",
    "a time with an offset": "UPDATE events SET at = at || '+00:00'",
    "a time of another offset": "UPDATE events SET at = '2026-11-25 14:00:04.000000+02:00' WHERE id = 4",
    "a time without a fraction": "UPDATE events SET at = substr(at, 1, 19)",
    "a week date": "UPDATE events SET at = '2026-W48-3' || substr(at, 11)",
    "a time as octets": "UPDATE events SET at = CAST(at AS BLOB)",
    "an expiry of another spelling": "UPDATE events SET expires_at = replace(expires_at, ' ', 'T')",
    "an expiry without a fraction": "UPDATE events SET expires_at = substr(expires_at, 1, 19)",
    "a client as octets": "UPDATE events SET client_id = CAST(client_id AS BLOB)",
    "delegations as octets": "UPDATE events SET delegations = CAST(delegations AS BLOB)",
}


class Sealed:
    """Nine events of one agent, sealed."""

    def __init__(self, database: Database) -> None:
        self.database = database
        database.append(lambda tx: tx.connection.execute(text("UPDATE authority SET version = 1")))
        keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
        keys.keep(NOW)
        raise_version_to(database, 100)
        for number in range(1, 9):
            self.database.append(partial(audit.record, event=issued(number)))
        later = NOW + timedelta(minutes=20)
        Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: later).seal()
        self.keys = keys.by_kid()
        self.kept = self.check().last
        assert self.check().findings == ()

    def check(self) -> Report:
        return self.database.read(lambda tx: verify_log(tx, self.keys))

    def readers(self) -> list[Callable[[Tx], object]]:
        """What people ask of it."""
        wanted = [
            EventFilter(),
            EventFilter(delegation_id="d-1"),
            EventFilter(client_id="c-1"),
            EventFilter(since=NOW + timedelta(seconds=2)),
            EventFilter(until=NOW + timedelta(seconds=6)),
        ]
        asked: list[Callable[[Tx], object]] = [
            lambda tx, each=each: [found.event for found in audit.page(tx, LOCAL_OPERATOR, each).items]
            for each in wanted
        ]
        return [
            *asked,
            lambda tx: live_tokens.of_clients(tx, NOW, ["c-1"]),
            lambda tx: live_tokens.of_key(tx, NOW, "kid"),
        ]

    def answers(self) -> list[object]:
        return [self._answer(each) for each in self.readers()]

    def _answer(self, reader: Callable[[Tx], object]) -> object:
        try:
            return self.database.read(reader)
        except (Conflict, ValueError) as error:
            return type(error)


def issued(number: int) -> Event:
    return Event(
        at=NOW + timedelta(seconds=number),
        kind=EventKind.TOKEN_ISSUED,
        request_id=f"req_{number:024}",
        client=Named(id="c-1", name="Agent"),
        delegations=(Named(id="d-1", name="D"), Named(id="d-2", name="E")),
        decision=Decision.GRANTED,
        authority_version=1,
        jti=f"{number:032}",
        kid="kid",
        expires_at=NOW + timedelta(hours=1, seconds=number),
        detail={"actions": ["customers:read"], "weight": 1.5},
    )


@pytest.fixture
def sealed(database: Database) -> Sealed:
    return Sealed(database)


def test_the_answers_are_there_to_be_changed(sealed: Sealed) -> None:
    everything, of_delegation, *_ = sealed.answers()
    assert isinstance(everything, list)
    assert isinstance(of_delegation, list)
    assert (len(everything), len(of_delegation)) == (9, 8)  # one is the sealing key's


@pytest.mark.parametrize("spelling", some_of(BOTH))
def test_another_spelling_is_found(sealed: Sealed, spelling: str) -> None:
    _respell(sealed, BOTH[spelling])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("spelling", some_of(SQLITE))
def test_another_spelling_of_what_sqlite_stores_as_text_is_found(sealed: Sealed, spelling: str) -> None:
    _respell(sealed, SQLITE[spelling])


def _respell(sealed: Sealed, statement: str) -> None:
    changed = sealed.database.append(lambda tx: tx.connection.exec_driver_sql(statement).rowcount)
    assert changed > 0
    assert any("was changed" in finding for finding in sealed.check().findings)


def test_an_event_that_cannot_be_read_is_named_and_not_left_out(sealed: Sealed) -> None:
    spoil = text("UPDATE events SET detail = '{ }' WHERE id = :victim").bindparams(victim=VICTIM)
    sealed.database.append(lambda tx: tx.connection.execute(spoil))
    for way in ({"before": None}, {"after": 0}):
        shown = sealed.database.read(lambda tx, way=way: audit.page(tx, LOCAL_OPERATOR, **way)).items
        odd = next(each for each in shown if each.id == VICTIM)
        assert odd.event.kind is EventKind.EVENT_UNREADABLE
        assert f"Event {VICTIM} was changed in the database and cannot be read" in odd.event.detail["problem"]
    with pytest.raises(Conflict, match=f"Event {VICTIM} was changed in the database and cannot be read"):
        sealed.database.read(lambda tx: audit.event(tx, LOCAL_OPERATOR, VICTIM))


@pytest.mark.parametrize(
    ("spoil", "told"),
    some_rows_of(
        [
            (
                "DELETE FROM event_delegations WHERE event_id = 4 AND delegation_id = 'd-1'",
                "is not listed under the delegation d-1",
            ),
            (
                "UPDATE event_delegations SET delegation_id = 'd-9' WHERE event_id = 4 AND delegation_id = 'd-1'",
                "d-9, which it does not name",
            ),
            (
                "INSERT INTO event_delegations VALUES ('d-9', 4)",
                "Event 4 is listed under the delegation d-9, which it does not name",
            ),
        ],
        each=2,
    ),
)
def test_the_table_of_delegations_is_covered_by_the_seal(sealed: Sealed, spoil: str, told: str) -> None:
    sealed.database.append(lambda tx: tx.connection.exec_driver_sql(spoil))
    assert told in "\n".join(sealed.check().findings)


@pytest.mark.parametrize(
    "spoil",
    some_of(
        [
            "DELETE FROM number_ranges",
            "UPDATE number_ranges SET lowest = 6",
            "UPDATE number_ranges SET highest = 3",
            "UPDATE number_ranges SET hour = '2020-01-01 00:00:00.000000'",
        ],
        each=6,
    ),
)
def test_the_numbers_of_an_hour_are_covered_by_the_seal(sealed: Sealed, spoil: str) -> None:
    sealed.database.append(lambda tx: tx.connection.exec_driver_sql(spoil))
    assert "is outside the number range of its hour" in "\n".join(sealed.check().findings)


def test_an_event_that_is_dated_back_hides_no_other(sealed: Sealed) -> None:
    """One inserted row with an old time and a high number once emptied every list by time."""
    at = (NOW - timedelta(minutes=11)).replace(tzinfo=None).isoformat(" ", "microseconds")
    before = sealed.answers()
    sealed.database.append(
        lambda tx: tx.connection.exec_driver_sql(
            "INSERT INTO events (id, at, kind, request_id, delegations, roles, reason, address, jti, kid,"
            " token_sha256, detail, occurrences)"
            f" VALUES (1000, '{at}', 'role.created', '', '[]', '[]', '', '', '', '', '', '{{}}', 1)"
        )
    )
    assert sealed.answers()[1:4] == before[1:4]
