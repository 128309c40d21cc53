"""Somebody inserts an event that says that a role was deleted, under another slug, with its row of revocations.

A row of revocations names a role by its slug. For a deleted role, the history of its tokens takes the slug from the
first sealed event of its deletion. So the inserted event wins over the genuine one, which comes later: the tokens get
the other slug, and the list of tokens shows a token as live that was revoked with its role. Both events are sealed and
each has its row. `verify` finds that the role was deleted twice.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec_server.audit import service as audit
from authsec_server.audit.model import Event, EventKind, Named
from authsec_server.audit.sealing.verifying import verify
from authsec_server.clients import service as clients
from authsec_server.delegations import service as delegations
from authsec_server.roles import service as roles
from authsec_server.tokens.revocation import revoked
from sealed_estate import Sealed
from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).parent))
from test_revocation_hidden_by_a_deleted_role import token_under

ROW = text(
    "INSERT INTO revocations (sequence, subject_kind, subject_id, version, at) VALUES"
    " ((SELECT coalesce(max(sequence), 0) + 1 FROM revocations), 'role', 'ghost',"
    " (SELECT version FROM authority), :at)"
)


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("others", [(), (Named(id="decoy", name="Decoy"),)], ids=["alone", "behind another role"])
def test_a_revoked_token_is_not_live_though_its_role_was_deleted_in_advance(
    estate: Any, others: tuple[Named, ...]
) -> None:
    role, _ = estate.role(), estate.agent()
    delegation, act = estate.delegate(slug="first").delegation, estate.act
    sealed = Sealed.of(estate)
    sealed.keys.keep(act.now)

    def at(minutes: int) -> Any:
        return replace(act, now=act.now + timedelta(minutes=minutes))

    older = token_under(estate, role, delegation, act.now + timedelta(hours=5))
    estate.database.change(lambda tx: clients.edit(tx, at(1), "helper", revision=1, changes={"owner": "team"}))
    newer = token_under(estate, role, delegation, act.now + timedelta(hours=5))
    event = Event(
        at=at(2).now,
        kind=EventKind.ROLE_DELETED,
        request_id="req_0000000000000000000ghost",
        principal=act.principal,
        roles=(*others, Named(id=role.id, name=role.name)),
        authority_version=estate.database.read(lambda tx: tx.version),
        detail={"slug": "ghost", "actions": []},
    )
    estate.database.append(lambda tx: audit.record(tx, event))
    estate.database.append(lambda tx: tx.connection.execute(ROW, {"at": f"{at(2).now:%Y-%m-%d %H:%M:%S.%f}"}) and None)
    sealed.seal()

    def history() -> dict[int, datetime]:
        tokens = (older, newer)
        return estate.database.read(lambda tx: revoked(tx, [audit.event(tx, act.principal, each) for each in tokens]))

    narrower = {"actions": ["customers:read"]}
    estate.database.change(lambda tx: roles.edit(tx, at(10), "support", revision=1, changes=narrower))
    before = history()
    assert before == dict.fromkeys((older, newer), at(10).now)
    estate.database.change(lambda tx: delegations.revoke(tx, at(400), "first", estate.terms))
    estate.database.change(lambda tx: delegations.delete_role(tx, at(410), role.id))
    estate.act = at(420)
    sealed.seal()
    report = estate.database.check(lambda tx: verify(tx, sealed.keys.by_kid(), now=at(430).now))
    said = [each for each in report.findings if f"both say that the role {role.id} was deleted" in each]
    assert history() == before or said


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize(
    ("kind", "its", "said"),
    [
        (EventKind.CLIENT_DELETED, {"client": Named(id="c-9", name="C")}, "the client c-9 was deleted"),
        (EventKind.API_DELETED, {"subject": Named(id="a-9", name="A")}, "the API a-9 was deleted"),
        (EventKind.ISSUER_DELETED, {"subject": Named(id="i-9", name="I")}, "the trusted issuer i-9 was deleted"),
        (EventKind.ROLE_DELETED, {"delegations": (Named(id="d-9", name="D"),)}, "the delegation d-9 was deleted"),
    ],
)
def test_nothing_is_deleted_twice(estate: Any, kind: EventKind, its: dict[str, Any], said: str) -> None:
    sealed = Sealed.of(estate)
    sealed.keys.keep(estate.act.now)
    for minutes in (1, 2):
        at = estate.act.now + timedelta(minutes=minutes)
        event = Event(
            at=at, kind=kind, request_id="req_000000000000000000000req", principal=estate.act.principal, **its
        )
        estate.database.append(lambda tx, event=event: audit.record(tx, event))
    sealed.seal()
    assert [each for each in sealed.findings() if said in each]
