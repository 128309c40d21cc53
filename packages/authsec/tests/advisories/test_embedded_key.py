"""The token brings the key that shall verify it.

RFC 7515 has headers that hold or name a key (`jwk`, `jku`, `x5u`, `x5c`). A verifier that uses them verifies every
forgery of anybody who can make a key pair, and one that fetches them can be sent to any address.
"""

from __future__ import annotations

from typing import Any

import pytest
from ready_keys import STRANGERS as ATTACKER

from ..fake_keys import FakeClock, claims, reason_of, rsa_key, serving, token, verifier_of


@pytest.mark.parametrize(
    "header",
    [
        {"jwk": ATTACKER.public.to_jwk()},
        {"jwk": {**ATTACKER.public.to_jwk(), "kid": "current"}},
        {"jku": "https://attacker.example/jwks.json"},
        {"x5u": "https://attacker.example/chain.pem"},
        {"x5c": ["MIIB"]},
        {"jwk": None},
    ],
)
def test_the_key_in_the_header_is_refused_whoever_signed(header: dict[str, Any]) -> None:
    assert reason_of(verifier_of(), token(ATTACKER, header=header)) == "header_not_allowed"
    assert reason_of(verifier_of(), token(rsa_key(), header=header)) == "header_not_allowed"


def test_no_address_of_the_token_is_ever_fetched() -> None:
    with serving() as attacker, serving() as authority:
        verifier = authority.verifier(FakeClock())
        for name in ("jku", "x5u", "kid"):
            reason_of(verifier, token(ATTACKER, header={name: f"{attacker.url}/jwks.json"}, iss=attacker.url))
        assert attacker.asked == []


def test_a_key_in_the_claims_is_only_a_claim() -> None:
    assert "jwk" not in claims()
    assert reason_of(verifier_of(), token(ATTACKER, jwk=ATTACKER.public.to_jwk())) == "signature_invalid"
