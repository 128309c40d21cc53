"""A slug is a name that a stranger can guess: `billing-agent`. The answers must not say whether it exists.

Neither must they say how the client would authenticate, or that another client of the same cluster exists.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from authsec.jose import PrivateKey
from token_endpoint import JWT_SPIFFE, PRIVATE_KEY_JWT, asserted, by_assertion, post
from trusted_issuers import agent, trust
from workload_evidence import kubernetes, spire

KEY = PrivateKey.generate_ec()
API = "/authsec/api/v1"


def same(one: Any, other: Any) -> None:
    """Both answers differ in nothing but the id of the request."""
    bodies = [{**answer.json(), "request_id": ""} for answer in (one, other)]
    assert bodies[0] == bodies[1]
    headers = [{**answer.headers, "x-request-id": ""} for answer in (one, other)]
    assert headers[0] == headers[1]
    assert one.status_code == other.status_code == 401


def of_secret(its: Any, name: str) -> Any:
    return post(its.door(), client_id=name, client_secret="authsec_cs_wrong")


def of_secret_in_header(its: Any, name: str) -> Any:
    return post(its.door(), auth=(name, "authsec_cs_wrong"))


def of_key(its: Any, name: str) -> Any:
    return by_assertion(its.door(), asserted(KEY, name, its.clock.now()))


def of_pod(its: Any, name: str) -> Any:
    """A real pod of the cluster, which is another workload."""
    token = its.cluster.token(sub="system:serviceaccount:production:customer-support-sa")
    return by_assertion(its.door(), token, client_id=name)


def of_pod_with_another_audience(its: Any, name: str) -> Any:
    return by_assertion(its.door(), its.cluster.token(aud=["https://elsewhere.example"]), client_id=name)


def of_svid(its: Any, name: str) -> Any:
    return by_assertion(its.door(), spire().token(), client_id=name, client_assertion_type=JWT_SPIFFE)


def of_nothing(its: Any, name: str) -> Any:
    return post(its.door(), client_id=name)


def of_nonsense(its: Any, name: str) -> Any:
    return post(its.door(), client_id=name, client_assertion="x", client_assertion_type=PRIVATE_KEY_JWT)


ATTEMPTS = [
    of_secret,
    of_secret_in_header,
    of_key,
    of_pod,
    of_pod_with_another_audience,
    of_svid,
    of_nothing,
    of_nonsense,
]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_an_unknown_client_is_refused_like_one_that_exists(house: Any, attempt: Callable[[Any, str], Any]) -> None:
    its = house(local_operator=True)
    its.cluster = kubernetes()
    trust(its, its.cluster)
    its.delegated_agent("Keyed", key=PrivateKey.generate_ec())
    its.delegated_name("Open")
    secretive = its.delegated_name("Secretive")
    its.door().post(f"{API}/clients/{secretive}/proofs", json={"platform": "secret"})
    agent(its, its.cluster, ("k8s:ns", "production"), ("k8s:sa", "another-sa"), name="Pod")
    its.delegated_agent("Off", key=PrivateKey.generate_ec())
    its.door().post(f"{API}/clients/off/disable")
    unknown = attempt(its, "no-such-agent")
    for name in ("keyed", "open", "secretive", "pod", "off", secretive, "00000000-0000-4000-8000-000000000000"):
        same(unknown, attempt(its, name))


def test_a_disabled_client_is_told_so_only_after_its_proof(house: Any) -> None:
    its = house(local_operator=True)
    its.delegated_agent("Off", key=KEY)
    its.door().post(f"{API}/clients/off/disable")
    told = of_key(its, "off").json()
    assert (told["error"], told["reason"]) == ("invalid_client", "client_disabled")
