"""Somebody inserts a thousand revocations of single tokens, each with its event, which a running server seals.

A dry run that looked at the newest thousand only would say that a token revoked before them is live. As many honest
revocations of single tokens would have the same effect.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from authsec_server.audit import service as audit
from authsec_server.audit.model import Decision, Event, EventKind, Named
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from databases import settings_for
from sqlalchemy import text

MANY = (
    "INSERT INTO revocations WITH RECURSIVE numbers (number) AS"
    " (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < {many})"
    " SELECT sequence + number, subject_kind, CAST(number AS TEXT), version, at FROM revocations, numbers"
    " WHERE sequence = (SELECT max(sequence) FROM revocations)"
)


def test_a_revoked_token_is_not_live_however_many_were_revoked_after_it(
    house: Callable[..., Any], database_url: str, tmp_path: Path
) -> None:
    its = house(local_operator=True, **settings_for(database_url, tmp_path))
    database, door, agent = its.authority.database, its.door(), its.delegated_name("Helper")
    for jti in ("a" * 32, "b" * 32):
        event = Event(
            at=its.clock.at,
            kind=EventKind.TOKEN_ISSUED,
            request_id="req_0000000000000000000token",
            client=Named(id=agent, name="Helper"),
            decision=Decision.GRANTED,
            authority_version=0,
            jti=jti,
            expires_at=its.clock.at + timedelta(hours=1),
        )
        database.record(lambda tx, each=event: audit.record(tx, each))

    def live_tokens() -> int:
        answer = door.post(f"/authsec/api/v1/clients/{agent}/revoke-tokens?dry_run=1", json={})
        found: int = answer.json()["would_stop"]["live_tokens"]
        return found

    assert live_tokens() == 2
    database.change(lambda tx: revocations.end(tx, SubjectKind.TOKEN, "a" * 32, its.clock.at))
    assert live_tokens() == 1
    database.append(lambda tx: tx.connection.execute(text(MANY.format(many=3000))) and None)
    assert live_tokens() == 1
