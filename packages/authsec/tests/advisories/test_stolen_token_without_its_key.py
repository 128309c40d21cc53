"""A bound token is stolen: from a log, a proxy, or an API that received it. The thief does not have the key.

The thief sends the token as a bearer token, without a proof, with a proof of another key, or with a proof that the
thief has seen. The thief also removes `cnf` from the token, or adds the thief's own key. No door lets the thief in.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from authsec.jose import PrivateKey

from ..bound_requests import DOORS, ORIGIN, Holder, Sent, by_dpop, dpop_verifier
from ..fake_keys import token, verifier_of


def with_payload(bound: str, change: Any) -> str:
    header, payload, signature = bound.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    changed = base64.urlsafe_b64encode(json.dumps(change(claims)).encode()).rstrip(b"=").decode()
    return f"{header}.{changed}.{signature}"


@pytest.mark.parametrize("door", DOORS)
def test_no_door_lets_a_thief_in(door: str) -> None:
    holder, thief = Holder(), Holder(PrivateKey.generate_ec())
    bound = holder.token()
    own = {"jkt": thief.key.public.thumbprint()}
    stripped = with_payload(bound, lambda claims: {name: claims[name] for name in claims if name != "cnf"})
    rebound = with_payload(bound, lambda claims: {**claims, "cnf": own})
    with_proof = (("DPoP", holder.proof(bound)),)
    attacks: dict[str, tuple[Sent, str]] = {
        "as a bearer token": (Sent((("Authorization", f"Bearer {bound}"),)), "bound_token_as_bearer"),
        "as a bearer token, with a proof": (
            Sent((("Authorization", f"Bearer {bound}"), *with_proof)),
            "bound_token_as_bearer",
        ),
        "without a proof": (by_dpop(bound), "dpop_proof_invalid"),
        "with a proof of another key": (by_dpop(bound, thief.proof(bound)), "dpop_key_mismatch"),
        "with the holder's key in a proof of the thief": (
            by_dpop(bound, thief.forged(bound, {"jwk": holder.key.public.to_jwk()})),
            "dpop_proof_invalid",
        ),
        "without cnf": (Sent((("Authorization", f"Bearer {stripped}"),)), "signature_invalid"),
        "without cnf, with a proof": (by_dpop(stripped, thief.proof(stripped)), "signature_invalid"),
        "with the thief's cnf": (by_dpop(rebound, thief.proof(rebound)), "signature_invalid"),
        "with a proof for the thief's own token": (
            by_dpop(bound, thief.proof(thief.token())),
            "dpop_proof_invalid",
        ),
    }
    verifier = dpop_verifier()
    outcomes = DOORS[door](verifier, [sent for sent, _ in attacks.values()])
    found = {name: (outcome.status, outcome.reason) for name, outcome in zip(attacks, outcomes, strict=True)}
    assert found == {name: (401, reason) for name, (_, reason) in attacks.items()}


@pytest.mark.parametrize("door", DOORS)
def test_an_unbound_token_gets_no_better_by_a_proof(door: str) -> None:
    """Otherwise an API that reads the scheme alone would take the token for a bound one."""
    thief = Holder()
    (outcome,) = DOORS[door](dpop_verifier(), [by_dpop(token(), thief.proof(token()))])
    assert (outcome.status, outcome.reason) == (401, "token_not_bound")


@pytest.mark.parametrize(
    "cnf", [{}, {"jkt": ""}, {"jkt": 1}, {"jkt": "abc"}, {"jwk": {}}, {"x5t#S256": "a" * 43}, "abc", False, [], None]
)
def test_a_binding_of_another_form_is_not_taken_for_none(cnf: Any) -> None:
    holder = Holder()
    good = holder.key.public.thumbprint()
    for binding in (cnf, {"jkt": good, "x5t#S256": good}):
        # A member that is not known is a further condition (RFC 7800 §3.1).
        claims = {"cnf": binding} if binding is not None else {}
        bound = holder.token(**claims) if claims else with_null(holder)
        outcomes = DOORS["asgi"](
            dpop_verifier(), [by_dpop(bound, holder.proof(bound)), Sent((("Authorization", f"Bearer {bound}"),))]
        )
        assert [outcome.reason for outcome in outcomes] == ["binding_not_supported"] * 2


def with_null(holder: Holder) -> str:
    """A token whose `cnf` is null, and which the authority has signed."""
    from ..fake_keys import GOOD_HEADER, json_with, raw_token

    return raw_token(GOOD_HEADER, json_with('"cnf": null'))


def test_verifiers_of_before_go_on_refusing_bound_tokens() -> None:
    holder = Holder()
    bound = holder.token()
    outcomes = DOORS["asgi"](
        verifier_of(), [by_dpop(bound, holder.proof(bound)), Sent((("Authorization", f"Bearer {bound}"),))]
    )
    assert [outcome.reason for outcome in outcomes] == ["binding_not_supported"] * 2
    assert ORIGIN == "https://crm.example.com"
