"""Raw SQL raises the authority's version while a token request reads its facts, and sets it back before a revocation.

The first request of an agent reads its facts, and then waits for the authority lock: raw SQL keeps the lock. Meanwhile
raw SQL sets the version back, and an operator disables the agent at a server that has read only the lower version. The
revocation gets the version that the request has read. Raw SQL puts the `change_id` of that version back, and releases
the lock. The server believes its facts: it issues a token to an agent that is disabled, and the revocation does not end
the token. No other token has this version, so `verify` sees a token that was issued after the revocation.
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
ITS = "0" * 32


def test_a_token_of_a_disabled_agent_is_refused_or_found(
    house_on_each: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    its = house_on_each(local_operator=True)
    client_id, database, other = its.delegated_name(), its.authority.database, house_on_each().authority.database
    act = Act(
        principal=LOCAL_OPERATOR,
        now=its.clock.now(),
        request_id="req_00000000000000000disable",
        address="",
        token_bytes=secrets.token_bytes,
    )

    def execute(statement: str) -> None:
        database.append(lambda tx: tx.connection.execute(text(statement)))

    record = database.record

    def waiting(work: Any) -> Any:
        """What happens while the request waits for the lock."""
        monkeypatch.setattr(database, "record", record)
        execute("UPDATE authority SET version = version - 1")
        other.change(lambda tx: clients.disable(tx, act, client_id))
        execute(f"UPDATE authority SET change_id = '{ITS}'")
        return record(work)

    execute(f"UPDATE authority SET version = version + 1, change_id = '{ITS}'")
    monkeypatch.setattr(database, "record", waiting)
    status = its.door().get(ENDPOINT, params={"client_id": client_id}).status_code
    keys, later = its.authority.sealing_keyring, its.clock.now() + timedelta(minutes=10)
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: later)
    while sealer.seal():
        pass
    report = database.read(lambda tx: verify_log(tx, keys.by_kid(), now=later))
    assert status != 200 or report.findings
