"""Somebody inserts very many events that say that a role was deleted, each with its row of revocations.

If the role of a token is deleted, the history of the token read the newest 10,000 revocations of roles. With as many
inserted ones, the genuine one was not among them, although a checkpoint covers it: the history had no revocation. All
events are sealed and each has its row.
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
from authsec_server.db import Database
from authsec_server.delegations import service as delegations
from authsec_server.revocations import service as revocations
from authsec_server.roles import service as roles
from authsec_server.tokens.revocation import revoked
from long_runs import some_of
from sealed_estate import Sealed
from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).parent))
from test_revocation_hidden_by_a_deleted_role import token_under

ROW = text(
    "INSERT INTO revocations (sequence, subject_kind, subject_id, version, at) VALUES"
    " ((SELECT coalesce(max(sequence), 0) + 1 FROM revocations), 'role', :slug,"
    " (SELECT version FROM authority), :at)"
)


def delete_as_ghost(database: Database, principal: Any, role: Named, at: datetime, slug: str) -> None:
    event = Event(
        at=at,
        kind=EventKind.ROLE_DELETED,
        request_id="req_0000000000000000000ghost",
        principal=principal,
        roles=(role,),
        authority_version=database.read(lambda tx: tx.version),
        detail={"slug": slug, "actions": []},
    )
    values = {"at": f"{at:%Y-%m-%d %H:%M:%S.%f}", "slug": slug}
    database.append(lambda tx: audit.record(tx, event))
    database.append(lambda tx: tx.connection.execute(ROW, values) and None)


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("of_one_role", some_of([True, False], each=2), ids=["one role", "many roles"])
def test_a_revocation_that_a_checkpoint_covers_stays_in_the_history(
    estate: Any, monkeypatch: pytest.MonkeyPatch, of_one_role: bool
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
        ghost = Named(id=role.id if of_one_role else f"ghost-{each}", name=role.name)
        delete_as_ghost(estate.database, act.principal, ghost, at(431).now, f"ghost-{each}")
    estate.act = at(440)
    sealed.seal()
    report = estate.database.check(
        lambda tx: verify(tx, sealed.keys.by_kid(), [checkpoint], now=estate.act.now + timedelta(minutes=10))
    )
    assert history() == before or report.findings
