"""Evidence that proves no client is counted by the trusted issuer that signed it, and by nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from attesting import HELPER
from process_metrics import metric
from trusted_issuers import agent, shows, trust
from workload_evidence import OTHER_RSA, kubernetes

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
STRANGER = {"namespace": "x", "serviceaccount": {"name": "x", "uid": "1"}}
OF_STRANGER = {"sub": "system:serviceaccount:x:x", "kubernetes.io": STRANGER}


def failures(slug: str) -> dict[str, float]:
    kinds = ("claims", "no_match", "deleted", "unavailable")
    return {it: metric("authsec_evidence_failures_total", issuer=slug, failure=it) for it in kinds}


@pytest.mark.parametrize(
    ("changes", "failure"),
    [
        ({"exp": 1}, "claims"),
        ({"aud": "https://elsewhere.example"}, "claims"),
        (OF_STRANGER, "no_match"),
        ({"key": OTHER_RSA}, ""),  # not signed by the issuer: anybody can send it
        ({}, ""),
    ],
)
@pytest.mark.parametrize("door", ["delegation_token", "oauth"])
def test_a_failure_has_the_slug_of_its_issuer(house: Any, changes: dict[str, Any], failure: str, door: str) -> None:
    its, issuer = house(), kubernetes()
    trust(its, issuer)
    client_id = agent(its, issuer, *HELPER)
    slug = issuer.trusted_issuer.slug
    before = failures(slug)
    token = issuer.token(**changes)
    if door == "oauth":
        its.door().post("/oauth/token", data={"grant_type": GRANT, "assertion": token})
    else:
        shows(its, client_id, token)
    assert {it: number - before[it] for it, number in failures(slug).items() if number != before[it]} == (
        {failure: 1} if failure else {}
    )


@pytest.mark.parametrize("door", ["delegation_token", "oauth"])
def test_keys_that_cannot_be_fetched_are_a_failure_of_their_issuer(house: Any, door: str) -> None:
    its, issuer = house(), kubernetes()
    trust(its, issuer, keys_from="url", keys_url="https://127.0.0.1:1/jwks", given_keys=None)
    client_id = agent(its, issuer, *HELPER)
    before = failures(issuer.trusted_issuer.slug)
    if door == "oauth":
        answer = its.door().post("/oauth/token", data={"grant_type": GRANT, "assertion": issuer.token()})
    else:
        answer = shows(its, client_id, issuer.token())
    assert answer.status_code == 503
    assert failures(issuer.trusted_issuer.slug) == before | {"unavailable": before["unavailable"] + 1}
