"""A nonce shows that a proof was made lately. One that the attacker made, or kept, or got elsewhere, shows nothing."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.tokens.dpop import DpopNonces
from dpop_proofs import KEY, proof, sent
from token_endpoint import ISSUER, by_assertion, post
from workload_evidence import NOW

FOREIGN = DpopNonces(issuer=ISSUER, key=b"another" * 4)


def nonce_of(its: Any) -> str:
    """A good nonce of this authority."""
    asked = {"client_id": "nobody", "client_secret": "x"}
    answer = post(its.door(), **asked, headers=sent(proof(KEY, its.clock.now(), nonce="")))
    return str(answer.headers["DPoP-Nonce"])


def spoilt(nonce: str) -> dict[str, str]:
    """Nonces that no server of this authority made."""
    octets = base64.urlsafe_b64decode(nonce)
    later = (int.from_bytes(octets[:8]) + 200).to_bytes(8) + octets[8:]
    return {
        "of another authority": FOREIGN.make(NOW.timestamp()),
        "with a later time": base64.urlsafe_b64encode(later).decode(),
        "cut": nonce[:-4],
        "without MAC": base64.urlsafe_b64encode(octets[:8]).decode(),
        "longer": f"{nonce}AAAA",
        "empty": "",
        "no base64": "\N{SNOWMAN}",
        "with padding inside": f"{nonce[:4]}=={nonce[4:]}",
        "a word": "eyJ7S_zG.eyJH0-Z.HX4w-7v",
    }


@pytest.mark.parametrize("needs_nonce", [True, False])
def test_only_a_nonce_of_ours_is_accepted(house: Any, needs_nonce: bool) -> None:
    its = house(dpop_nonce=needs_nonce, address_limit=10_000)
    agent, good = its.delegated_agent(), nonce_of(its)
    for name, nonce in spoilt(good).items():
        refused = by_assertion(its.door(), agent.assertion(), headers=sent(proof(KEY, NOW, nonce=nonce)))
        assert (refused.status_code, refused.json()["error"]) == (400, "use_dpop_nonce"), name
    answer = by_assertion(its.door(), agent.assertion(), headers=sent(proof(KEY, NOW, nonce=good)))
    assert answer.status_code == 200


@pytest.mark.parametrize("nonce", [7, True, ["x"], {}])
def test_a_nonce_that_is_no_text(house: Any, nonce: Any) -> None:
    its = house(dpop_nonce=True)
    refused = by_assertion(its.door(), its.delegated_agent().assertion(), headers=sent(proof(KEY, NOW, nonce=nonce)))
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_dpop_proof")


def test_a_nonce_is_no_secret_that_lasts() -> None:
    nonces, now = DpopNonces(issuer=ISSUER, key=b"k" * 32), NOW.timestamp()
    good = nonces.make(now)
    assert "k" * 8 not in repr(nonces)
    ages = {-31: False, -30: True, 0: True, 299: True, 300: False, 10**9: False}
    assert {age: nonces.is_valid(good, now + age) for age in ages} == ages
    assert not DpopNonces(issuer="https://id.example", key=b"k" * 32).is_valid(good, now)
    assert not nonces.is_valid(nonces.make((NOW + timedelta(days=365)).timestamp()), now)


def test_a_new_nonce_does_not_make_a_used_proof_good(house: Any) -> None:
    its = house(dpop_nonce=True)
    agent, one = its.delegated_agent(), sent(proof(KEY, NOW, nonce=nonce_of(its)))
    assert by_assertion(its.door(), agent.assertion(), headers=one).status_code == 200
    assert by_assertion(its.door(), agent.assertion(), headers=one).json()["error"] == "invalid_dpop_proof"
