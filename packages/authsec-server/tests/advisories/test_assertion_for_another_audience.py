"""An agent has accounts at two authorities. The one that an attacker runs names the other as its token endpoint.

The agent signs an assertion for the attacker's authority, and the attacker uses it here. So `aud` is our issuer alone,
as one string: no token endpoint, and no list (audience injection, January 2025; draft-ietf-oauth-rfc7523bis section 4).
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec.jose import PrivateKey
from authsec_server.tokens.request import PATH as DELEGATION_TOKEN_PATH
from token_endpoint import ISSUER, PATH, asserted, by_assertion
from trusted_issuers import agent, trust
from workload_evidence import github

KEY = PrivateKey.generate_ec()
FOREIGN = "https://attacker.example"


OTHERS = (
    ISSUER + PATH,
    ISSUER + DELEGATION_TOKEN_PATH,
    f"{ISSUER}/",
    ISSUER.upper(),
    f"{ISSUER} ",
    FOREIGN,
    [ISSUER],
    [ISSUER, FOREIGN],
    [FOREIGN, ISSUER],
    [ISSUER, ISSUER + PATH],
    [ISSUER, ISSUER],
    [],
    {"aud": ISSUER},
    True,
    None,
)


def test_an_assertion_is_for_our_issuer_alone(house: Any) -> None:
    its = house()
    its.delegated_agent("Night Owl", key=KEY)
    for number, audience in enumerate(OTHERS):
        door = its.door(f"192.0.2.{number}")  # each address may guess a few times only
        refused = by_assertion(door, asserted(KEY, "night-owl", its.clock.now(), aud=audience))
        assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client"), audience
        assert f"exactly {ISSUER}" in refused.json()["error_description"], audience
    assert by_assertion(its.door(), asserted(KEY, "night-owl", its.clock.now())).status_code == 200


@pytest.mark.parametrize("audience", [ISSUER + PATH, [ISSUER, FOREIGN], FOREIGN, None])
def test_a_workload_s_token_is_for_us_alone_too(house: Any, audience: Any) -> None:
    its, issuer = house(), github()
    trust(its, issuer)
    client_id = agent(its, issuer, ("github:repository", "example/support-agent"))
    refused = by_assertion(its.door(), issuer.token(aud=audience), client_id=client_id)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert by_assertion(its.door(), issuer.token(), client_id=client_id).status_code == 200
