"""A proof for one request is used for another: for another method, path or host, or for another token.

The thief has a bound token and a proof, for example from an API that the agent has called. The API compares `htu`
with its configured origin. The thief can choose the Host header and the forwarded headers, so they decide nothing.
"""

from __future__ import annotations

import pytest

from ..bound_requests import DOORS, PATH, URL, Holder, Sent, by_dpop, dpop_verifier
from ..fake_keys import NOW

EVIL = "https://evil.example"
FORGED = {
    "Host": "evil.example",
    "X_Forwarded_Host": "evil.example",
    "X_Forwarded_Proto": "https",
    "X_Forwarded_Uri": PATH,
    "X_Forwarded_Method": "GET",
    "Forwarded": "host=evil.example;proto=https",
    "X_Original_URL": PATH,
    "X_Original_URI": PATH,
    "X_Original_Method": "GET",
    "X_HTTP_Method_Override": "GET",
}


@pytest.mark.parametrize("door", DOORS)
def test_a_proof_is_for_its_own_request_only(door: str) -> None:
    holder = Holder()
    bound = holder.token()
    attacks: dict[str, Sent] = {
        "another method": by_dpop(bound, holder.proof(bound), method="DELETE"),
        "another method, with headers that name the first": by_dpop(
            bound, holder.proof(bound), method="DELETE", **FORGED
        ),
        "a method in lower case": by_dpop(bound, holder.proof(bound, method="get")),
        "another path": by_dpop(bound, holder.proof(bound), path="/customers/43"),
        "another path, with headers that name the first": by_dpop(
            bound, holder.proof(bound), path="/customers/43", **FORGED
        ),
        "a path below": by_dpop(bound, holder.proof(bound), path=f"{PATH}/delete"),
        "another host": by_dpop(bound, holder.proof(bound, url=EVIL + PATH)),
        "another host, which the headers name": by_dpop(bound, holder.proof(bound, url=EVIL + PATH), **FORGED),
        "another port": by_dpop(bound, holder.proof(bound, url=f"https://crm.example.com:8443{PATH}")),
        "plain http": by_dpop(bound, holder.proof(bound, url=f"http://crm.example.com{PATH}")),
        "a host with a user": by_dpop(bound, holder.forged(bound, htu=f"https://crm.example.com@evil.example{PATH}")),
        "a relative htu": by_dpop(bound, holder.forged(bound, htu=PATH)),
        "no htu": by_dpop(bound, holder.forged(bound, htu=None)),
        "no htm": by_dpop(bound, holder.forged(bound, htm=None)),
    }
    outcomes = DOORS[door](dpop_verifier(), list(attacks.values()))
    found = {name: (outcome.status, outcome.reason) for name, outcome in zip(attacks, outcomes, strict=True)}
    assert found == dict.fromkeys(attacks, (401, "dpop_proof_invalid"))
    assert all("invalid_dpop_proof" in outcome.challenge for outcome in outcomes)


@pytest.mark.parametrize("door", DOORS)
def test_a_proof_is_for_its_own_token_only(door: str) -> None:
    """Without `ath`, a proof for one of an agent's tokens would work with a stolen one that is allowed more."""
    holder = Holder()
    bound, other = holder.token(), holder.token(jti="other")
    requests = [
        by_dpop(bound, holder.proof(None)),
        by_dpop(bound, holder.proof(other)),
        by_dpop(bound, holder.forged(bound, ath="")),
        by_dpop(bound, holder.forged(bound, ath=bound)),
    ]
    outcomes = DOORS[door](dpop_verifier(), requests)
    assert [(outcome.status, outcome.reason) for outcome in outcomes] == [(401, "dpop_proof_invalid")] * 4


@pytest.mark.parametrize("door", DOORS)
def test_headers_of_a_proxy_do_not_disturb_a_good_request(door: str) -> None:
    holder = Holder()
    bound = holder.token()
    assert DOORS[door](dpop_verifier(), [by_dpop(bound, holder.proof(bound), **FORGED)])[0].status == 200
    assert URL.endswith(PATH)


@pytest.mark.parametrize("door", DOORS)
def test_a_proof_of_another_time(door: str) -> None:
    """A huge `iat` must neither be accepted for ever nor break the arithmetic."""
    holder = Holder()
    bound = holder.token()
    times = [NOW + 61, NOW - 61, NOW + 3600, 0, -1, 10**12, 2**53 - 1]
    requests = [by_dpop(bound, holder.forged(bound, iat=iat)) for iat in times]
    outcomes = DOORS[door](dpop_verifier(), requests)
    assert {(outcome.status, outcome.reason) for outcome in outcomes} == {(401, "dpop_proof_invalid")}
