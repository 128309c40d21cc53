"""Raw SQL sets the authority's version back by one before a revocation, and puts the old `change_id` back after it.

The version and the `change_id` are then those of before the revocation. So a server uses its cached facts: it issues
tokens to an agent that is disabled, and the revocation does not end these tokens. Each row is as a server writes it.
The server that revokes has not seen the version before: otherwise it refuses the change.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify_log
from authsec_server.clients import service as clients
from authsec_server.principal import LOCAL_OPERATOR, Act
from sqlalchemy import text

ENDPOINT = "/authsec/uflow/sdk/delegation-token"


@pytest.mark.sqlite_suffices
def test_tokens_of_a_disabled_agent_are_found(house_on_each: Callable[..., Any]) -> None:
    its = house_on_each(local_operator=True)
    client_id, database = its.delegated_name(), its.authority.database
    act = Act(
        principal=LOCAL_OPERATOR,
        now=its.clock.now(),
        request_id="req_00000000000000000disable",
        address="",
        token_bytes=secrets.token_bytes,
    )

    def execute(statement: str) -> None:
        database.append(lambda tx: tx.connection.execute(text(statement)))

    def status() -> int:
        found: int = its.door().get(ENDPOINT, params={"client_id": client_id}).status_code
        return found

    assert status() == 200
    change_id = database.read(lambda tx: tx.change_id)
    execute("UPDATE authority SET version = version - 1")
    other = house_on_each().authority.database
    other.change(lambda tx: clients.disable(tx, act, client_id))
    execute(f"UPDATE authority SET change_id = '{change_id}'")
    assert status() == 200, "the attack does not work any more"
    keys, later = its.authority.sealing_keyring, its.clock.now() + timedelta(minutes=10)
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: later)
    while sealer.seal():
        pass
    report = database.read(lambda tx: verify_log(tx, keys.by_kid(), now=later))
    assert "the change revoked no token of that version" in "".join(report.findings)
