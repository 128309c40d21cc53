"""Somebody inserts an event that says that a role was deleted, under another slug, with its row of revocations.

A row of revocations names a role by its slug. For a deleted role, the history of its tokens takes the slug from the
first sealed event of its deletion. So the inserted event wins over the genuine one, which comes later: the tokens get
the other slug, and the list of tokens shows a token as live that was revoked with its role. Both events are sealed and
each has its row, so `verify` finds nothing.

The same works afterwards, for a checkpoint that covers the genuine deletion. The history reads the newest 10,000
revocations of roles. With as many inserted ones, the genuine one is not among them.
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
from authsec_server.db import Database
from authsec_server.delegations import service as delegations
from authsec_server.revocations import service as revocations
from authsec_server.roles import service as roles
from authsec_server.tokens.revocation import revoked
from sealed_estate import Sealed
from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).parent))
from test_revocation_hidden_by_a_deleted_role import token_under

ROW = text(
    "INSERT INTO revocations (sequence, subject_kind, subject_id, version, at) VALUES"
    " ((SELECT coalesce(max(sequence), 0) + 1 FROM revocations), 'role', :slug,"
    " (SELECT version FROM authority), :at)"
)


def delete_as_ghost(database: Database, principal: Any, role: Any, at: datetime, slug: str) -> None:
    event = Event(
        at=at,
        kind=EventKind.ROLE_DELETED,
        request_id="req_ghost",
        principal=principal,
        roles=(Named(id=role.id, name=role.name),),
        authority_version=database.read(lambda tx: tx.version),
        detail={"slug": slug, "actions": []},
    )
    values = {"at": f"{at:%Y-%m-%d %H:%M:%S.%f}", "slug": slug}
    database.append(lambda tx: audit.record(tx, event))
    database.append(lambda tx: tx.connection.execute(ROW, values) and None)


@pytest.mark.xfail(strict=True, reason="of two deletions of a role, the first sealed one says the slug")
def test_a_revoked_token_is_not_live_though_its_role_was_deleted_in_advance(estate: Any) -> None:
    role, _ = estate.role(), estate.agent()
    delegation, act = estate.delegate(slug="first").delegation, estate.act
    sealed = Sealed.of(estate)
    sealed.keys.keep(act.now)

    def at(minutes: int) -> Any:
        return replace(act, now=act.now + timedelta(minutes=minutes))

    older = token_under(estate, role, delegation, act.now + timedelta(hours=5))
    estate.database.change(lambda tx: clients.edit(tx, at(1), "helper", revision=1, changes={"owner": "team"}))
    newer = token_under(estate, role, delegation, act.now + timedelta(hours=5))
    delete_as_ghost(estate.database, act.principal, role, at(2).now, "ghost")
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
    assert history() == before or report.findings


@pytest.mark.xfail(strict=True, reason="of many revocations of roles, only the newest are read")
def test_a_revocation_that_a_checkpoint_covers_stays_in_the_history(
    estate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations, "SNAPSHOT_AT_MOST", 5)  # 10,000 without this line
    role, _ = estate.role(), estate.agent()
    delegation, act = estate.delegate(slug="first").delegation, estate.act
    sealed = Sealed.of(estate)
    sealed.keys.keep(act.now)

    def at(minutes: int) -> Any:
        return replace(act, now=act.now + timedelta(minutes=minutes))

    number = token_under(estate, role, delegation, at(120).now)

    def history() -> dict[int, datetime]:
        return estate.database.read(lambda tx: revoked(tx, [audit.event(tx, act.principal, number)]))

    narrower = {"actions": ["customers:read"]}
    estate.database.change(lambda tx: roles.edit(tx, at(10), "support", revision=1, changes=narrower))
    estate.database.change(lambda tx: delegations.revoke(tx, at(400), "first", estate.terms))
    estate.database.change(lambda tx: delegations.delete_role(tx, at(410), role.id))
    estate.act = at(420)
    sealed.seal()
    before, kept = history(), sealed.report
    checkpoint = estate.database.read(kept).last
    assert before == {number: at(10).now}
    for each in range(6):
        delete_as_ghost(estate.database, act.principal, role, at(431).now, f"ghost-{each}")
    estate.act = at(440)
    sealed.seal()
    report = estate.database.check(
        lambda tx: verify(tx, sealed.keys.by_kid(), [checkpoint], now=estate.act.now + timedelta(minutes=10))
    )
    assert history() == before or report.findings
