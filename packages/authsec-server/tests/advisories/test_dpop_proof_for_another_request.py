"""A proof that a client made for another address is used at the token endpoint (RFC 9449 section 4.3).

The address is that of the metadata. Other servers took it from the Host header or from X-Forwarded-Host. Then the
sender of the request chooses the address, and a proof for the attacker's own server fits.
"""

from __future__ import annotations

from typing import Any

import pytest
from dpop_proofs import KEY, URL, proof, sent
from token_endpoint import ISSUER, by_assertion, post
from trusted_issuers import ENDPOINT

FOREIGN = "https://attacker.example/oauth/token"


@pytest.fixture
def its(house: Any) -> Any:
    return house()


CHANGES: list[dict[str, Any]] = [
    *(
        {"htu": htu}
        for htu in (
            FOREIGN,
            ISSUER,
            ISSUER + ENDPOINT,
            f"{URL}/",
            f"{URL}/x",
            f"{URL}/../token",
            URL.replace("http:", "https:"),
            URL.replace("7468", "7469"),
            URL.replace(":7468", ""),
            URL.replace("127.0.0.1", "localhost"),
            URL.replace("//", "//attacker@"),
            URL.replace("/oauth", "/OAUTH"),
            f"{FOREIGN}#{URL}",
            f"{FOREIGN}?{URL}",
            "/oauth/token",
            "",
            None,
            [URL],
            True,
        )
    ),
    *({"htm": htm} for htm in ("GET", "post", "Post", "POST ", "", None, ["POST"], True)),
]
SPELLINGS = (URL, URL.replace("http", "HTTP"), f"{URL}?a=b", f"{URL}#a", URL.replace("th/t", "th/%74"))


def test_a_proof_for_another_request_is_refused(its: Any) -> None:
    agent = its.delegated_agent()
    for changes in CHANGES:
        refused = by_assertion(its.door(), agent.assertion(), headers=sent(proof(KEY, its.clock.now(), **changes)))
        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_dpop_proof"), changes
        assert f"proof's {next(iter(changes))}" in refused.json()["error_description"]


@pytest.mark.parametrize(
    "htu", [URL, URL.replace("http", "HTTP"), f"{URL}?a=b", f"{URL}#a", URL.replace("th/t", "th/%74")]
)
def test_other_spellings_of_the_same_address_are_accepted(its: Any, htu: str) -> None:
    agent = its.delegated_agent()
    answer = by_assertion(its.door(), agent.assertion(), headers=sent(proof(KEY, its.clock.now(), htu=htu)))
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "lies",
    [
        {"Host": "attacker.example"},
        {"X-Forwarded-Host": "attacker.example", "X-Forwarded-Proto": "https"},
        {"Forwarded": "host=attacker.example;proto=https"},
        {"X-Original-URL": FOREIGN},
    ],
)
def test_no_header_of_the_request_changes_the_address(house: Any, lies: dict[str, str]) -> None:
    """Also not if the server may accept that Host header, and the headers come from a trusted proxy."""
    its = house(allowed_hosts=("attacker.example",), trusted_proxies=("127.0.0.1/32",))
    agent = its.delegated_agent()

    def send(htu: str) -> Any:
        headers = [*sent(proof(KEY, its.clock.now(), htu=htu)), *lies.items()]
        return by_assertion(its.door(), agent.assertion(), headers=headers)

    assert send(FOREIGN).json()["error"] == "invalid_dpop_proof"
    assert send(URL).status_code == 200


def test_a_proof_for_an_api_is_no_proof_for_the_token_endpoint(its: Any) -> None:
    """The other way round, `ath` is missing. Here the address alone differs."""
    agent, now = its.delegated_agent(), its.clock.now()
    for_api = proof(KEY, now, htu="https://crm.example/customers", ath="x" * 43)
    assert by_assertion(its.door(), agent.assertion(), headers=sent(for_api)).json()["error"] == "invalid_dpop_proof"


def test_who_cannot_authenticate_learns_nothing_from_a_proof(its: Any) -> None:
    good = sent(proof(KEY, its.clock.now()))
    assert post(its.door(), headers=good).json()["error"] == "invalid_client"
    assert post(its.door(), client_id="nobody", client_secret="x", headers=good).json()["error"] == "invalid_client"
