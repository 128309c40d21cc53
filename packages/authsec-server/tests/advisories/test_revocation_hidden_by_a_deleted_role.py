"""An operator narrows a role, which revokes its tokens, and deletes the role later.

A row of revocations names a role by its slug, and the event of a token names the role by its id. If the history of a
token found slugs only in the table of roles, it would not find the revocation of a deleted role. It would have the
later time at which the delegation ended, or say that the token was never revoked. `verify` compares no such answer.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from authsec_server.audit import service as audit
from authsec_server.audit.model import Decision, Event, EventKind, Named
from authsec_server.delegations import service as delegations
from authsec_server.roles import service as roles
from authsec_server.tokens.revocation import revoked


def token_under(estate: Any, role: Any, delegation: Any, expires_at: datetime) -> int:
    event = Event(
        at=estate.act.now,
        kind=EventKind.TOKEN_ISSUED,
        request_id=f"req_{secrets.token_hex(12)}",
        client=Named(id=delegation.client_id, name="Helper"),
        delegations=(Named(id=delegation.id, name="D"),),
        roles=(Named(id=role.id, name=role.name),),
        decision=Decision.GRANTED,
        address="192.0.2.1",
        authority_version=estate.database.read(lambda tx: tx.version),
        jti=secrets.token_hex(16),
        kid="kid",
        token_sha256="0" * 64,
        expires_at=expires_at,
        detail={},
    )
    number: int = estate.database.append(lambda tx: audit.record(tx, event))
    return number


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("hours", [0.5, 5], ids=["a token that expires before", "a token that expires later"])
def test_the_history_of_a_token_stays_after_its_role_was_deleted(estate: Any, hours: float) -> None:
    role, _ = estate.role(), estate.agent()
    delegation, act = estate.delegate(slug="first").delegation, estate.act
    number = token_under(estate, role, delegation, act.now + timedelta(hours=hours))

    def history() -> dict[int, datetime]:
        return estate.database.read(lambda tx: revoked(tx, [audit.event(tx, act.principal, number)]))

    def at(minutes: int) -> Any:
        return replace(act, now=act.now + timedelta(minutes=minutes))

    narrower = {"actions": ["customers:read"]}
    estate.database.change(lambda tx: roles.edit(tx, at(10), "support", revision=1, changes=narrower))
    before = history()
    assert before[number] == act.now + timedelta(minutes=10)
    estate.database.change(lambda tx: delegations.revoke(tx, at(60), "first", estate.terms))
    estate.database.change(lambda tx: delegations.delete_role(tx, at(70), role.id))
    assert history() == before


@pytest.mark.sqlite_suffices
def test_many_roles_are_deleted_by_one_change(estate: Any) -> None:
    estate.agent()
    act, numbers, ids = estate.act, [], []
    for number in range(21):
        role = estate.role(f"role-{number}")
        delegation = estate.delegate(slug=f"d-{number}", role=role.slug).delegation
        numbers.append(token_under(estate, role, delegation, act.now + timedelta(hours=5)))
        ids.append(role.id)
    narrowed, over = (replace(act, now=act.now + timedelta(minutes=minutes)) for minutes in (10, 60))

    def narrow(tx: Any) -> None:
        for number in range(21):
            roles.edit(tx, narrowed, f"role-{number}", revision=1, changes={"actions": ["customers:read"]})

    def delete(tx: Any) -> None:
        for number, id_ in enumerate(ids):
            delegations.revoke(tx, over, f"d-{number}", estate.terms)
            delegations.delete_role(tx, over, id_)

    estate.database.change(narrow)
    estate.database.change(delete)
    found = estate.database.read(lambda tx: revoked(tx, [audit.event(tx, act.principal, each) for each in numbers]))
    assert found == dict.fromkeys(numbers, narrowed.now)


@pytest.mark.sqlite_suffices  # test_deletion_of_a_role_behind_reserved_numbers.py has PostgreSQL
def test_events_of_an_earlier_time_push_no_deletion_out(estate: Any) -> None:
    role, _ = estate.role(), estate.agent()
    delegation, act = estate.delegate(slug="first").delegation, estate.act
    number = token_under(estate, role, delegation, act.now + timedelta(hours=5))
    narrowed, over = (replace(act, now=act.now + timedelta(minutes=minutes)) for minutes in (10, 60))
    narrower = {"actions": ["customers:read"]}
    estate.database.change(lambda tx: roles.edit(tx, narrowed, "support", revision=1, changes=narrower))
    for _ in range(50):  # as raw SQL would insert them
        planted = Event(at=narrowed.now, kind=EventKind.ROLE_DELETED, request_id="", detail={"slug": "other"})
        estate.database.append(lambda tx, planted=planted: audit.record(tx, planted))
    estate.database.change(lambda tx: delegations.revoke(tx, over, "first", estate.terms))
    estate.database.change(lambda tx: delegations.delete_role(tx, over, role.id))
    found = estate.database.read(lambda tx: revoked(tx, [audit.event(tx, act.principal, number)]))
    assert found == {number: narrowed.now}
