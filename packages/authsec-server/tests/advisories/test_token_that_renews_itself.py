"""A token is shown as the proof for the next one: a minute's token becomes an endless one.

Even of an authority that somebody has registered as a trusted issuer of its own.
"""

from __future__ import annotations

from typing import Any

from attesting import HELPER
from authsec.jose import parse_compact
from trusted_issuers import agent, shows, trust
from workload_evidence import US, github, kubernetes


def test_a_delegation_token_gets_nobody_another(house: Any) -> None:
    its = house()
    issuer = kubernetes()
    trust(its, issuer)
    client_id = agent(its, issuer, *HELPER, audiences=(US,))
    token = shows(its, client_id, issuer.token()).json()["token"]
    assert shows(its, client_id, token).json()["reason"] == "attestation_invalid"
    keys = its.door().get("/.well-known/jwks.json").json()
    ourselves = github("ourselves", issuer=US, claims={"x:agent": "client_id"})
    trust(its, ourselves, given_keys=keys)
    renewing = agent(its, ourselves, ("x:agent", client_id), name="Renewing")
    assert parse_compact(token).claims["aud"] == [US]
    assert shows(its, renewing, token).json()["reason"] == "attestation_invalid"
