"""APIs that ask the authority about tokens: registered, with a credential, and agents that may call them."""

from __future__ import annotations

from typing import Any

from authsec_server.apis import credentials
from authsec_server.apis import service as apis
from authsec_server.db import Tx
from starlette.testclient import TestClient
from trusted_issuers import ENDPOINT, operator

INTROSPECT = "/authsec/v1/introspect"
CRM = "https://crm.example.com"
BILLING = "https://billing.example.com"


def register(its: Any, slug: str = "crm", identifier: str = CRM, **credential: Any) -> str:
    """Register an API: its credential."""

    def work(tx: Tx) -> str:
        apis.create(tx, operator(its), name=slug, slug=slug, identifier=identifier)
        return credentials.create(tx, operator(its), slug, **credential)[1]

    secret: str = its.authority.database.change(work)
    return secret


def token_for(its: Any, *audiences: str, name: str = "Open") -> str:
    """A token of a new agent that may call these APIs, and has named the first of them."""
    client_id = its.delegated_name(name, audiences=audiences)
    answer = its.door().get(ENDPOINT, params={"client_id": client_id, "resource": list(audiences)})
    assert answer.status_code == 200, answer.text
    token: str = answer.json()["token"]
    return token


def ask(door: TestClient, token: str, credential: str = "", **form: str) -> Any:
    """The endpoint's answer to an API that shows this credential; without one, to nobody."""
    headers = {"Authorization": f"Bearer {credential}"} if credential else {}
    return door.post(INTROSPECT, data={"token": token, **form}, headers=headers)
