"""An operator gives an agent sixteen proofs with long selectors through the admin API, and deletes the agent.

The event of the deletion has all selectors of all proofs. JSON escapes each character beyond U+FFFF as twelve, so the
whole event would be longer than any reader reads, within all limits of the API. Lists would show `event.unreadable`, no
server would seal the event, and `verify` would say for ever that it has a form that AuthSec does not write. So an
operator could delete an agent without a readable record, and nobody would have changed the database. A
configuration document can do the same, with a trusted issuer of two hundred keys. The name of each key has 512 such
characters. So the server shortens such an event, and the event says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from authsec.jose import PrivateKey
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify

CLIENTS, EVENTS = "/authsec/api/v1/clients", "/authsec/api/v1/events"
CLAIMS = [f"ci:claim{each}" for each in range(32)]
JSON = {"content-type": "application/json"}


def proof(number: int, **its: str) -> bytes:
    selectors = [{"key": key, "value": f"{number:02}" + "\U0001f600" * 253} for key in CLAIMS]
    body = its | {"platform": "oidc", "trusted_issuer": "ci", "selectors": selectors}
    return json.dumps(body, ensure_ascii=False).encode()


@pytest.mark.soak
def test_the_deletion_of_an_agent_with_many_proofs_is_readable(house: Callable[..., Any]) -> None:
    its = house(local_operator=True)
    door, database = its.door(), its.authority.database
    issuer = {"name": "CI", "kind": "oidc", "issuer": "https://ci.example.com", "keys_from": "discovery"}
    claims = {each: each.partition(":")[2] for each in CLAIMS}
    assert door.post("/authsec/api/v1/issuers", json=issuer | {"claims": claims}).status_code == 201
    assert door.post(CLIENTS, content=proof(0, name="Support"), headers=JSON).status_code == 201
    for number in range(1, 16):
        answer = door.post(f"{CLIENTS}/support/proofs", content=proof(number), headers=JSON)
        assert answer.status_code == 201
    assert door.delete(f"{CLIENTS}/support").status_code in {200, 409}
    newest = door.get(EVENTS, params={"limit": 1}).json()["items"][0]
    keys = its.authority.sealing_keyring
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=its.clock.now)
    while sealer.seal():
        pass
    report = database.check(lambda tx: verify(tx, keys.by_kid(), now=its.clock.now() + timedelta(minutes=1)))
    assert newest["kind"] == "client.deleted"
    assert newest["detail"]["shortened"]["proofs"]["length"] == 16
    assert report.findings == ()


def test_the_creation_of_a_trusted_issuer_with_many_keys_is_readable(house: Callable[..., Any]) -> None:
    door, key = house(local_operator=True).door(), PrivateKey.generate_ec().public.to_jwk()
    keys = [key | {"kid": f"{each:04}" + "\U0001f600" * 508, "use": "sig"} for each in range(200)]
    issuer = {"name": "CI", "kind": "oidc", "issuer": "https://ci.example.com", "keys_from": "given"}
    issuers = {"ci": issuer | {"given_keys": {"keys": keys}, "claims": {"ci:project": "project"}}}
    sections = {"apis": {}, "roles": {}, "agents": {}, "delegations": {}}
    content = json.dumps({"configuration": {"issuers": issuers, **sections}}, ensure_ascii=False).encode()
    assert door.post("/authsec/api/v1/configuration", content=content, headers=JSON).status_code in {200, 400}
    newest = door.get(EVENTS, params={"limit": 1}).json()["items"][0]
    assert newest["kind"] != "event.unreadable"
