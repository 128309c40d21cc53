"""A house that trusts clusters and other issuers, and agents whose proofs rest on their word."""

from __future__ import annotations

import secrets
from typing import Any

from authsec_server.clients.model import NEVER
from authsec_server.clients.store import clients, proofs
from authsec_server.db import Tx
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import ProposedTrustedIssuer
from authsec_server.principal import LOCAL_OPERATOR, Act
from sqlalchemy import update
from starlette.testclient import TestClient
from workload_evidence import Issuer

ENDPOINT = "/authsec/uflow/sdk/delegation-token"


def operator(its: Any) -> Act:
    return Act(
        principal=LOCAL_OPERATOR,
        now=its.clock.now(),
        request_id="req_0000000000000000000setup",
        address="",
        token_bytes=secrets.token_bytes,
    )


def trust(its: Any, issuer: Issuer, *, may_look_up: bool = False, **asked: Any) -> None:
    """Have the authority trust this issuer, by the keys that it has."""
    known = issuer.trusted_issuer
    given = {"keys_from": "given", "given_keys": issuer.jwks} | asked
    new = ProposedTrustedIssuer(
        name=known.name,
        kind=known.kind,
        issuer=known.issuer,
        audience=known.audience,
        claims=known.claims,
        **given,
    )
    issuer.trusted_issuer = its.authority.database.change(
        lambda tx: issuers.create(tx, operator(its), new, may_look_up=may_look_up)
    )


def agent(its: Any, issuer: Issuer, *selectors: tuple[str, str], name: str = "Support", **delegation: Any) -> str:
    """An agent that is known by these selectors, if this issuer says so; what it is delegated is the house's usual."""
    client_id: str = its.delegated_name(name, **delegation)

    def set_trusted_issuer(tx: Tx) -> None:
        held = {
            "kind": "selectors",
            "trusted_issuer_id": issuer.trusted_issuer.id,
            "selectors": [list(each) for each in selectors],
        }
        tx.connection.execute(update(proofs).where(proofs.c.client_id == client_id).values(held))
        lists = {"provable_until": NEVER, "unattested_until": None}
        tx.connection.execute(update(clients).where(clients.c.id == client_id).values(lists))

    its.authority.database.append(set_trusted_issuer)
    return client_id


def shows(its: Any, client_id: str, token: str, *, door: TestClient | None = None, **asked: str) -> Any:
    """The endpoint's answer to somebody who shows this token for that client."""
    headers = {"Authorization": f"Bearer {token}"}
    return (door or its.door()).get(ENDPOINT, params={"client_id": client_id} | asked, headers=headers)


def refusals(its: Any) -> list[Any]:
    """The audit log's refusals, oldest first."""
    return [each for each in its.events() if each.event.kind == "token.refused"]
