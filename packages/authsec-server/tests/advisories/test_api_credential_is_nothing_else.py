"""Something else is shown for an API's credential, or the credential for something else.

Five kinds of secrets begin with `authsec_`, and all travel in the same header. Each opens one door.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from introspecting import CRM, ask, register, token_for
from trusted_issuers import ENDPOINT

ADMIN = "/authsec/api/v1"


def test_nothing_else_asks_about_tokens(house: Callable[..., Any]) -> None:
    operator = house(local_operator=True).door()
    key = operator.post(f"{ADMIN}/admin-keys", json={"name": "ops", "role": "admin"}).json()["key"]
    secret = operator.post(f"{ADMIN}/clients", json={"name": "L", "platform": "secret"}).json()["client_secret"]
    its = house()
    register(its)
    agent, token = its.delegated_agent(), token_for(its, CRM)
    for shown in (key, secret, token, agent.assertion(), agent.client_id, "authsec_api_", ""):
        answer = ask(its.door(), token, shown or " ")
        assert answer.status_code == 401, shown
        assert answer.json()["reason"] in {"not_an_api_credential", "api_credential_missing"}
        assert "active" not in answer.json()
        assert len(shown) < 20 or shown not in answer.text


def test_it_opens_no_other_door(house: Callable[..., Any]) -> None:
    its = house()
    credential, client_id = register(its), its.delegated_agent().client_id
    door, bearer = its.door(), {"Authorization": f"Bearer {credential}"}
    for path in ("apis", "apis/crm/credentials", "clients", "events"):
        assert door.get(f"{ADMIN}/{path}", headers=bearer).status_code == 401
    assert door.post(f"{ADMIN}/apis/crm/credentials", headers=bearer, json={}).status_code == 401
    pair = base64.b64encode(f"{client_id}:{credential}".encode()).decode()
    for proof in (bearer["Authorization"], f"Basic {pair}"):
        answer = door.get(ENDPOINT, params={"client_id": client_id}, headers={"Authorization": proof})
        assert (answer.status_code, answer.json()["reason"]) == (401, "attestation_invalid")


def test_one_that_has_ended_asks_about_none(house: Callable[..., Any]) -> None:
    its = house()
    short, token = register(its, life=timedelta(minutes=1)), token_for(its, CRM)
    assert ask(its.door(), token, short).json()["active"] is True
    its.clock.at += timedelta(minutes=1)
    answer = ask(its.door(), token, short)
    assert (answer.status_code, answer.json()["reason"]) == (401, "api_credential_expired")
