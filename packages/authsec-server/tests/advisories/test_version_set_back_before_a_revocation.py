"""Raw SQL sets the authority's version back by one, just before somebody revokes the tokens of an agent.

The change raises the version to the old value. So the revocation has the version of live tokens, and a revocation ends
only tokens of lower versions. Afterwards no row differs from what servers write.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit import service as audit
from authsec_server.audit.model import Decision, Event, EventKind, Named
from authsec_server.clients import service as clients
from authsec_server.db import Tx, open_database, raise_version
from authsec_server.failures import Fault, Unavailable
from authsec_server.tokens.revocation import revoked, token
from sealed_estate import Sealed, sealed_estate
from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).parent))
from test_row_changed_while_a_change_waits import change_while_held

SET_BACK = "UPDATE authority SET version = version - 1"
JTI = "3f0c0000000040008000000000000001"


@pytest.fixture
def sealed(estate: Any) -> Sealed:
    """An estate whose agent `payments` has a live token."""
    its = sealed_estate(estate)
    issue(its.estate, JTI)
    return its


@pytest.fixture
def other(estate: Any, database_url: str) -> Iterator[Any]:
    """The same estate at another server, which has seen no version yet."""
    database = open_database(database_url)
    yield replace(estate, database=database)
    database.close()


def issue(estate: Any, jti: str) -> None:
    client = estate.see(lambda tx, act: clients.get(tx, act, "payments"))

    def record(tx: Tx) -> None:
        event = Event(
            at=estate.act.now,
            kind=EventKind.TOKEN_ISSUED,
            request_id=f"req_{jti[8:]}",
            client=Named(id=client.id, name=client.name),
            decision=Decision.GRANTED,
            authority_version=tx.version,
            jti=jti,
            kid="k",
            token_sha256="0" * 64,
            expires_at=estate.act.now + timedelta(hours=5),
        )
        audit.record(tx, event)

    estate.database.record(record)


def disable(estate: Any) -> None:
    estate.do(lambda tx, act: clients.disable(tx, act, "payments"))


def execute(estate: Any, statement: str) -> None:
    estate.database.append(lambda tx: tx.connection.execute(text(statement)))


def is_live(estate: Any) -> bool:
    return not estate.see(lambda tx, act: revoked(tx, [token(tx, act, JTI)]))


@pytest.mark.parametrize("write", [disable, lambda estate: issue(estate, "1" * 32)], ids=["revocation", "token"])
def test_a_server_writes_nothing_at_a_lower_version_than_it_has_seen(
    sealed: Sealed, write: Callable[[Any], None]
) -> None:
    before = len(sealed.estate.events())
    execute(sealed.estate, SET_BACK)
    with pytest.raises(Unavailable) as refusal:
        write(sealed.estate)
    assert refusal.value.fault is Fault.VERSION_SET_BACK
    assert len(sealed.estate.events()) == before


def test_a_server_goes_on_after_a_restore_was_recorded(sealed: Sealed, other: Any) -> None:
    execute(sealed.estate, SET_BACK)
    other.database.change(lambda tx: raise_version(tx, tx.version + 1_000_000))
    disable(sealed.estate)
    assert not is_live(sealed.estate)


def test_a_server_goes_on_after_a_change_that_was_rolled_back(sealed: Sealed) -> None:
    sealed.estate.database.rehearse(lambda tx: raise_version(tx, tx.version + 1_000_000))
    disable(sealed.estate)
    assert not is_live(sealed.estate)


@pytest.mark.sqlite_suffices
def test_a_revocation_by_a_server_that_has_not_seen_the_version_is_found(sealed: Sealed, other: Any) -> None:
    execute(sealed.estate, SET_BACK)
    disable(other)
    sealed.seal()
    assert is_live(other)
    assert "the change revoked no token of that version" in "".join(sealed.findings())


@pytest.mark.soak
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_so_it_is_if_nobody_sees_the_lower_version(sealed: Sealed, other: Any, database_url: str) -> None:
    """Raw SQL is committed once the change waits for the row of the version: no other session reads it in between."""
    third = open_database(database_url)
    change_while_held(third, SET_BACK, lambda: disable(other))
    third.close()
    sealed.seal()
    assert is_live(other)
    assert "the change revoked no token of that version" in "".join(sealed.findings())


@pytest.mark.sqlite_suffices
def test_a_token_of_a_server_that_has_not_seen_the_revocation_is_found(sealed: Sealed, other: Any) -> None:
    disable(sealed.estate)
    execute(sealed.estate, SET_BACK)
    issue(other, "1" * 32)
    execute(sealed.estate, SET_BACK.replace("-", "+"))
    sealed.seal()
    assert "issued a token at the authority version" in "".join(sealed.findings())


@pytest.mark.sqlite_suffices  # the test of a change that nobody sees has PostgreSQL
def test_a_change_at_a_lower_version_than_an_earlier_change_is_found(sealed: Sealed, other: Any) -> None:
    """The digests of the two tables do not tell: each table was changed once."""
    sealed.estate.role("Another")
    execute(sealed.estate, "UPDATE authority SET version = version - 2")
    disable(other)
    execute(sealed.estate, "UPDATE authority SET version = version + 1")
    sealed.seal()
    assert "had raised the version to" in "".join(sealed.findings())


@pytest.mark.sqlite_suffices  # the test before it has such a log on PostgreSQL
def test_tokens_and_changes_of_two_servers_are_no_finding(sealed: Sealed, other: Any) -> None:
    for number, its in enumerate((other, sealed.estate, other, sealed.estate)):
        issue(its, f"{number:032}")
        its.do(lambda tx, act: clients.revoke_tokens(tx, act, "payments"))
        issue(its, f"{number + 100:032}")
    sealed.seal()
    assert sealed.findings() == ()
