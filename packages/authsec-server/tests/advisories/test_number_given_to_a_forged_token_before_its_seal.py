"""Somebody reserves the number before that of a token, and gives it to a forged event before the token is sealed.

One pass of the sealer seals all new events, the lower numbers first. So the forged event of the token is sealed first,
as of another agent and expired. Then the search, the story and the history would show another agent. Worse, nobody
could revoke the token, because the forged event says that it has expired.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind
from authsec_server.audit.store import events
from authsec_server.db import Database, Tx
from authsec_server.failures import Conflict
from authsec_server.principal import LOCAL_OPERATOR
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from authsec_server.tokens import revocation
from sqlalchemy import insert, select, text

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import JTI, Year

RESERVE = {
    "sqlite": "UPDATE sqlite_sequence SET seq = seq + 10 WHERE name = 'events'",
    "postgresql": "SELECT nextval('events_id_seq') FROM generate_series(1, 10)",
}
EXPIRED = timedelta(days=-1)


def issue(year: Year, forged: Mapping[str, Any], number: int = 1) -> int:
    """Issue a token, and insert forged events of it before its seal. Return the number of the genuine event."""
    year.database.append(lambda tx: tx.connection.execute(text(RESERVE[year.database.dialect])) and None)
    year.issue(jti=JTI)

    def forge(tx: Tx) -> int:
        row = tx.connection.execute(select(events).where(events.c.jti == JTI)).one()._asdict()
        somebody = {"client_id": str(uuid.uuid4()), "client_name": "Somebody else"}
        for lower in range(1, number + 1):
            its = {"id": row["id"] - lower, "expires_at": row["at"] + EXPIRED}
            tx.connection.execute(insert(events).values(row | somebody | its | forged))
        genuine: int = row["id"]
        return genuine

    return year.database.append(forge)


@pytest.mark.sqlite_suffices  # likewise
def test_a_second_event_of_a_token_is_found(database: Database) -> None:
    year = Year(database)
    genuine = issue(year, {"request_id": "req_0000000000000000000other"})
    year.settle()
    assert [each for each in year.report().findings if each.startswith(f"Event {genuine - 1} and event {genuine}")]


def test_a_second_token_of_a_request_is_found(database: Database) -> None:
    year = Year(database)
    genuine = issue(year, {"jti": "0" * 32}, number=1)
    year.settle()
    assert [each for each in year.report().findings if each.startswith(f"Event {genuine - 1} and event {genuine}")]


@pytest.mark.sqlite_suffices  # a second token of a request is found on PostgreSQL as well
def test_very_many_second_tokens_are_counted(database: Database) -> None:
    year = Year(database)
    for number in range(9):
        year.issue(jti=JTI[:-1] + str(number))
        year.issue(jti=JTI[:-1] + str(number))
    assert [each for each in year.report().findings if each.startswith("4 more tokens or requests have such events")]


@pytest.mark.parametrize("is_sealed", [False, True])
def test_an_operator_revokes_the_token(database: Database, is_sealed: bool) -> None:
    year = Year(database)
    issue(year, {}, number=10)
    if is_sealed:
        year.settle()
    year.do(lambda tx, act: revocation.revoke(tx, act, JTI))
    assert database.read(lambda tx: revocations.last_versions(tx, {(SubjectKind.TOKEN, JTI)}))


@pytest.mark.sqlite_suffices  # likewise
def test_the_holder_revokes_the_token(database: Database) -> None:
    year = Year(database)
    issue(year, {}, number=10)
    year.settle()
    assert database.read(lambda tx: revocation.find_own(tx, JTI, year.at))


def test_a_token_of_which_all_events_have_expired_is_not_revoked(database: Database) -> None:
    year = Year(database)
    issue(year, {})
    year.at += timedelta(days=1)
    with pytest.raises(Conflict):
        database.read(lambda tx: revocation.token(tx, year.act, JTI))


@pytest.mark.sqlite_suffices  # an operator revokes such a token on PostgreSQL as well
def test_a_forged_event_that_was_revoked_leaves_the_token_revocable(database: Database) -> None:
    """The forged event has an older version, so that a planted revocation covers it and not the token."""
    year = Year(database)
    year.do(lambda tx, act: revocations.end(tx, SubjectKind.TOKEN, JTI, act.now))
    row = {"expires_at": year.at + timedelta(hours=5), "authority_version": 1}
    genuine = issue(year, row)
    planted = {"id": genuine - 5, "kind": EventKind.TOKEN_REVOKED, "decision": None, "expires_at": None}

    def plant(tx: Tx) -> None:
        its = tx.connection.execute(select(events).where(events.c.id == genuine)).one()._asdict()
        tx.connection.execute(insert(events).values(its | planted))

    database.append(plant)
    year.settle()
    assert database.read(lambda tx: revocation.find_own(tx, JTI, year.at))
    database.change(lambda tx: revocation.revoke(tx, year.act, JTI))
    ended = database.read(lambda tx: revocations.last_versions(tx, {(SubjectKind.TOKEN, JTI)}))
    version = database.read(lambda tx: audit.event(tx, LOCAL_OPERATOR, genuine)).event.authority_version
    assert max(ended.values()) > (version or 0)


def test_an_event_of_a_revocation_alone_keeps_no_holder_from_revoking(database: Database) -> None:
    year = Year(database)
    issue(year, {"kind": EventKind.TOKEN_REVOKED, "decision": None, "expires_at": None})
    year.settle()
    assert database.read(lambda tx: revocation.find_own(tx, JTI, year.at))


@pytest.mark.sqlite_suffices  # likewise
def test_events_of_other_kinds_do_not_displace_the_token_and_are_found(database: Database) -> None:
    year = Year(database)
    genuine = issue(year, {"kind": EventKind.TOKEN_REVOKED, "decision": None, "expires_at": None}, number=10)
    year.settle()
    assert database.read(lambda tx: audit.search(tx, year.act, JTI))[0].id == genuine
    both = f"Event {genuine} and event {genuine - 10} are "
    assert len([each for each in year.report().findings if each.startswith(both)]) == 2
