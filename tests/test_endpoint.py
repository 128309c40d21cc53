"""The delegation-token endpoint, each row of its contract, against a running server on both databases."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from authsec.jose import PrivateKey, PublicKey, verify_compact

# The HTTP protocol answers the usual request, and the application all others: also one that names a body.
WAYS = {"the protocol": {}, "the application": {"Content-Length": "0"}}
UNKNOWN = "00000000-0000-4000-8000-000000000000"
ENDPOINT = "/authsec/uflow/sdk/delegation-token"


@pytest.fixture(params=["the protocol", pytest.param("the application", marks=pytest.mark.soak)])
def serve(serve: Any, request: pytest.FixtureRequest) -> Any:
    """Start an authority; its client's requests are answered in one of the two ways."""

    def started(**settings: str) -> Any:
        its = serve(**settings)
        its.http.headers.update(WAYS[request.param])
        return its

    return started


def refused(answer: httpx2.Response, status: int, reason: str) -> dict[str, Any]:
    """Assert the refusal and its body's shape; the body."""
    body: dict[str, Any] = answer.json()
    assert (answer.status_code, body["reason"]) == (status, reason), answer.text
    assert body["error"].endswith(".")
    assert body["request_id"] == answer.headers["X-Request-ID"]
    assert body["retryable"] is (status in {429, 503})
    assert answer.headers["Cache-Control"] == "no-store"
    assert ("Retry-After" in answer.headers) is (status in {429, 503})
    assert "token" not in body
    return body


@pytest.mark.sqlite_suffices
def test_every_row_but_limits_and_outages(serve: Any) -> None:
    its = serve()
    keyed, open_, idle = its.agent("Keyed", keyed=True), its.agent("Open"), its.agent("Idle")
    in_cluster = its.agent("In a cluster", platform="kubernetes", selectors=[{"key": "k8s:ns", "value": "production"}])
    role = its.role("Customers", "customers:read", "customers:delete")
    delegation = its.delegate(role, keyed, "customers:read")
    its.delegate(role, open_, "customers:read", audiences=["https://a.example"])

    refused(its.ask(), 400, "client_id_missing")
    refused(its.ask(client_id=""), 400, "client_id_missing")
    for malformed in ("nonsense", UNKNOWN.replace("-", ""), "A" * 10_000, keyed.client_id.upper() + " ", "\0", "é"):
        refused(its.ask(client_id=malformed), 400, "client_id_invalid")
    refused(its.http.get(f"{ENDPOINT}?client_id={UNKNOWN}&client_id={UNKNOWN}"), 400, "client_id_invalid")
    for scope in ("customers", "customers:*", "a:b  c:d", "customers:read\u0000", "x:" + "y" * 64):
        refused(its.ask(keyed, scope=scope), 400, "invalid_scope")
    refused(its.http.get(f"{ENDPOINT}?client_id={UNKNOWN}&scope=a:b&scope=a:c"), 400, "invalid_scope")
    refused(its.ask(keyed, resource="https://a.example/#fragment"), 400, "invalid_target")

    refused(its.ask(client_id=UNKNOWN), 404, "client_not_found")

    challenge = its.http.get(ENDPOINT, params={"client_id": keyed.client_id})
    assert "RFC 7523" in refused(challenge, 401, "attestation_required")["details"]
    assert challenge.headers["WWW-Authenticate"] == 'Bearer realm="authsec"'
    refused(its.ask(in_cluster), 401, "attestation_required")
    for proof in (
        "nonsense",
        its.assertion(keyed, aud="https://elsewhere.example"),
        its.assertion(keyed, exp=int(time.time()) - 120),
        its.assertion(keyed, exp=int(time.time()) + 86_400),
        its.assertion(keyed, iat=int(time.time()) + 600),
        its.assertion(keyed, jti=None),
        its.assertion(keyed, sub=UNKNOWN),
    ):
        answer = its.ask(keyed, proof=proof)
        refused(answer, 401, "attestation_invalid")
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
    basic = {"Authorization": "Basic aWQ6c2VjcmV0"}
    refused(its.http.get(ENDPOINT, params={"client_id": keyed.client_id}, headers=basic), 401, "attestation_invalid")
    refused(its.ask(open_, proof="a stranger's token"), 401, "attestation_invalid")

    its.post(f"clients/{idle.client_id}/disable")
    refused(its.ask(idle), 403, "client_disabled")
    its.post(f"clients/{idle.client_id}/enable")
    refused(its.ask(idle), 404, "no_delegation")
    its.post(f"delegations/{its.delegate(role, idle, 'customers:read')}/disable")
    refused(its.ask(idle), 404, "no_delegation")

    body = refused(its.ask(keyed, scope="customers:delete customers:read"), 403, "action_not_allowed")
    assert (body["missing_actions"], body["allowed_scope"]) == (["customers:delete"], "customers:read")
    assert body["grantable"]
    assert body["grant_at"].endswith(f"/console/delegations/new?client={keyed.client_id}&actions=customers%3Adelete")
    assert body["details"] == (
        "Not delegated: customers:delete. The request scope=customers:read would be granted. Delegated: customers:read."
    )
    body = refused(its.ask(keyed, scope="customers:raed"), 403, "action_not_allowed")
    assert body["details"] == (
        "No role and no API has the action customers:raed; the nearest that is delegated is customers:read. "
        "Delegated: customers:read."
    )
    assert body["missing_actions"] == ["customers:raed"]
    assert not {"grantable", "grant_at"} & body.keys(), "no delegation can allow what no role has"
    body = refused(its.ask(keyed, scope="customers:raed customers:delete"), 403, "action_not_allowed")
    assert body["grant_at"].endswith(f"?client={keyed.client_id}&actions=customers%3Adelete")
    picky = its.agent("Picky", keyed=True)
    its.delegate(role, picky, "customers:read", excluded_proofs=["key_pair"])
    refused(its.ask(picky), 403, "proof_not_accepted")

    its.delegate(role, open_, "customers:read", audiences=["https://b.example"])
    body = refused(its.ask(open_), 400, "invalid_target")
    assert (body["error"], body["details"]) == (
        "This client's delegations are for different APIs, and the request names no resource.",
        "Request one of these resources: https://a.example, or https://b.example.",
    )
    body = refused(its.ask(open_, resource="https://c.example"), 400, "invalid_target")
    assert (body["error"], body["details"]) == (
        "The requested actions are not delegated for the requested resource.",
        "Nothing is delegated for https://c.example. Delegated for: https://a.example, or https://b.example.",
    )

    for method in ("HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
        answer = its.http.request(method, ENDPOINT, params={"client_id": open_.client_id})
        assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")

    its.post(f"delegations/{delegation}/revoke")
    refused(its.ask(keyed), 410, "delegation_ended")


@pytest.mark.sqlite_suffices  # the token path on PostgreSQL is in test_tokens_together.py
def test_a_token(serve: Any) -> None:
    its = serve()
    agent = its.agent("Customer Support", keyed=True)
    role = its.role("Customers", "customers:read", "customers:delete")
    delegation = its.delegate(role, agent, "customers:read")
    answer = its.ask(agent, scope="customers:read")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    body = answer.json()
    keys = its.http.get("/.well-known/jwks.json").json()["keys"]
    header = json.loads(_decoded(body["token"].split(".")[0]))
    assert set(header) == {"alg", "kid", "typ"}
    assert (header["alg"], header["typ"]) == ("RS256", "at+jwt")
    key = next(PublicKey.from_jwk(jwk) for jwk in keys if jwk["kid"] == header["kid"])
    claims = verify_compact(body["token"], key, algorithms={"RS256"}).claims
    spiffe_id = f"spiffe://authsec.internal/agent/{agent.client_id}"
    assert body == {
        "token": body["token"],
        "expires_at": _instant(claims["exp"]),
        "expires_in": 3600,
        "token_type": "Bearer",
        "client_id": agent.client_id,
        "spiffe_id": spiffe_id,
        "permissions": ["customers:read"],
        "scope": "customers:read",
        "audience": ["authsec-api"],
        "issued_at": _instant(claims["iat"]),
        "status": "active",
    }
    assert claims["exp"] - claims["iat"] == 3600
    assert dict(claims) == {
        "iss": its.url,
        "sub": spiffe_id,
        "aud": ["authsec-api"],
        "exp": claims["exp"],
        "iat": claims["iat"],
        "nbf": claims["iat"],
        "jti": claims["jti"],
        "client_id": agent.client_id,
        "scope": "customers:read",
        "permissions": ["customers:read"],
        "roles": [role],
        "delegation_ids": [delegation],
        "authority_version": claims["authority_version"],
        "agent_type": "AutoGen AI agent",
        "attestation": {"method": "key_pair", "selectors": [], "proof": claims["attestation"]["proof"]},
    }


@pytest.mark.sqlite_suffices
def test_the_client_id_may_come_in_a_header_and_the_query_wins(serve: Any) -> None:
    its = serve()
    agent = its.agent("Open")
    its.delegate(its.role("Reader", "customers:read"), agent, "customers:read")
    assert its.http.get(ENDPOINT, headers={"X-Client-ID": agent.client_id}).status_code == 200
    assert its.ask(agent).status_code == 200
    both = its.http.get(ENDPOINT, params={"client_id": UNKNOWN}, headers={"X-Client-ID": agent.client_id})
    refused(both, 404, "client_not_found")


@pytest.mark.sqlite_suffices  # the advisory of a replayed assertion is on both
def test_an_assertion_proves_once(serve: Any) -> None:
    its = serve()
    agent = its.agent("Keyed", keyed=True)
    its.delegate(its.role("Reader", "customers:read"), agent, "customers:read")
    assertion = its.assertion(agent)
    assert its.ask(agent, proof=assertion).status_code == 200
    refused(its.ask(agent, proof=assertion), 401, "attestation_invalid")


@pytest.mark.sqlite_suffices
def test_a_key_of_another_agent_proves_nothing(serve: Any) -> None:
    its = serve()
    agent, other = its.agent("One", keyed=True), its.agent("Other", keyed=True)
    forged = its.assertion(other, iss=agent.client_id, sub=agent.client_id)
    refused(its.ask(agent, proof=forged), 401, "attestation_invalid")
    stranger = type(agent)(agent.client_id, PrivateKey.generate_ed25519())
    refused(its.ask(stranger), 401, "attestation_invalid")


@pytest.mark.sqlite_suffices
def test_the_limit_of_an_address_comes_before_anything_is_looked_up(serve: Any) -> None:
    its = serve(AUTHSEC_SERVER_ADDRESS_LIMIT="3")
    for _ in range(3):
        refused(its.ask(client_id=UNKNOWN), 404, "client_not_found")
    refused(its.ask(client_id=UNKNOWN), 429, "rate_limited")
    refused(its.ask(client_id="nonsense"), 400, "client_id_invalid")


@pytest.mark.sqlite_suffices
def test_the_limit_of_a_client_is_charged_only_after_proof(serve: Any) -> None:
    its = serve(AUTHSEC_SERVER_CLIENT_LIMIT="2")
    agent = its.agent("Keyed", keyed=True)
    its.delegate(its.role("Reader", "customers:read"), agent, "customers:read")
    spent = its.assertion(agent)
    assert its.ask(agent, proof=spent).status_code == 200
    for _ in range(5):  # knowing the id, or a spent assertion, uses nothing up
        refused(its.http.get(ENDPOINT, params={"client_id": agent.client_id}), 401, "attestation_required")
        refused(its.ask(agent, proof=spent), 401, "attestation_invalid")
    assert its.ask(agent).status_code == 200
    refused(its.ask(agent), 429, "rate_limited")


@pytest.mark.sqlite_suffices
def test_the_limit_of_the_unproved_is_per_address_and_client(serve: Any) -> None:
    its = serve(AUTHSEC_SERVER_UNPROVED_LIMIT="2", AUTHSEC_SERVER_TRUSTED_PROXIES="127.0.0.0/8")
    agent = its.agent("Open")
    its.delegate(its.role("Reader", "customers:read"), agent, "customers:read")

    def ask(address: str) -> httpx2.Response:
        headers = {"X-Forwarded-For": f"198.51.100.9, {address}"}
        return its.http.get(ENDPOINT, params={"client_id": agent.client_id}, headers=headers)

    assert [ask("203.0.113.1").status_code for _ in range(3)] == [200, 200, 429]
    assert ask("203.0.113.2").status_code == 200


@pytest.mark.sqlite_suffices
def test_what_cannot_be_recorded_is_not_issued(serve: Any, database_option: str, tmp_path: Path) -> None:
    its = serve()
    agent = its.agent("Open")
    its.delegate(its.role("Reader", "customers:read"), agent, "customers:read")
    if database_option:
        with psycopg.connect(database_option.replace("+psycopg", "")) as connection:
            connection.execute("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
            refused(its.ask(agent), 503, "unavailable")
    else:
        with closing(sqlite3.connect(tmp_path / "data" / "authsec.sqlite3", isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            refused(its.ask(agent), 503, "unavailable")
            connection.execute("ROLLBACK")
    assert its.ask(agent).status_code == 200
    issued = [event for event in its.admin.get("events").json()["items"] if event["kind"] == "token.issued"]
    assert len(issued) == 1


@pytest.mark.sqlite_suffices
def test_every_answer_is_in_the_audit_log_before_it_arrives(serve: Any) -> None:
    its = serve()
    agent = its.agent("Keyed", keyed=True)
    its.delegate(its.role("Reader", "customers:read"), agent, "customers:read")
    granted = its.ask(agent)
    denied = its.ask(agent, scope="customers:delete")
    unproved = [its.http.get(ENDPOINT, params={"client_id": agent.client_id}) for _ in range(3)]
    events = its.admin.get("events").json()["items"]
    by_request = {event["request_id"]: event for event in events}
    assert by_request[granted.headers["X-Request-ID"]]["kind"] == "token.issued"
    assert by_request[denied.headers["X-Request-ID"]]["reason"] == "action_not_allowed"
    counted = [event for event in events if event["reason"] == "attestation_required"]
    assert sum(event["count"] for event in counted) == 3
    assert len(counted) <= 2, "one row a minute"
    assert unproved[0].headers["X-Request-ID"] in by_request
    token = granted.json()["token"]
    assert not re.search(re.escape(token.split(".")[2]), json.dumps(events))


def _decoded(part: str) -> bytes:
    import base64

    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.mark.sqlite_suffices  # test_dpop.py has the same SQL on PostgreSQL
def test_a_delegation_that_requires_dpop_gives_no_token_here(serve: Any) -> None:
    """Also not on facts that the server keeps from before."""
    its = serve()
    agent = its.agent("Keyed", keyed=True)
    delegation = its.delegate(its.role("Customers", "customers:read"), agent, "customers:read")
    assert [its.ask(agent).json()["token_type"] for _ in range(2)] == ["Bearer"] * 2
    its.cli("delegations", "edit", delegation, "--require-dpop", "--yes")
    for _ in range(2):
        body = refused(its.ask(agent), 403, "proof_not_accepted")
        assert "/oauth/token" in body["details"]
    its.cli("delegations", "edit", delegation, "--no-require-dpop", "--yes")
    assert its.ask(agent).json()["token_type"] == "Bearer"
