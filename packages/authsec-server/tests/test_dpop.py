"""DPoP at the OAuth token endpoint: a token is bound to the key of the proof, and a delegation may require that."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from authsec.jose import PrivateKey, parse_compact
from authsec_server.attestation import service as attestation
from dpop_proofs import KEY, KEYS, URL, proof, sent
from token_endpoint import ISSUER, asserted, by_assertion, by_grant, post
from trusted_issuers import ENDPOINT, agent, trust
from workload_evidence import github

API = "/authsec/api/v1"
AGENT, OTHER = PrivateKey.generate_ec(), PrivateKey.generate_ec()
House = Any


@pytest.fixture
def its(house: Callable[..., House]) -> House:
    return house(local_operator=True)


def ask(its: House, *proofs: str, name: str = "night-owl", key: PrivateKey = AGENT, **form: Any) -> Any:
    """The answer to an agent with a key pair that sends these DPoP proofs."""
    return by_assertion(its.door(), asserted(key, name, its.clock.now()), headers=sent(*proofs), **form)


def bound(its: House, key: PrivateKey = KEY, **form: Any) -> Any:
    """The same, with one good proof by this key."""
    return ask(its, proof(key, its.clock.now()), **form)


def claims(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    return dict(parse_compact(answer.json()["access_token"]).claims)


def told(answer: Any) -> tuple[int, str, str]:
    body = answer.json()
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.status_code, body["error"], body["reason"]


NEEDS_DPOP = (400, "invalid_dpop_proof", "proof_not_accepted")


@pytest.mark.parametrize("kind", KEYS)
def test_a_token_is_bound_to_the_key_of_the_proof(its: House, kind: str) -> None:
    its.delegated_agent("Night Owl", key=AGENT)
    answer = bound(its, KEYS[kind])
    found, thumbprint = claims(answer), KEYS[kind].public.thumbprint()
    assert found["cnf"] == {"jkt": thumbprint}
    assert {name: value for name, value in answer.json().items() if name != "access_token"} == {
        "token_type": "DPoP",
        "expires_in": 3600,
        "scope": "customers:read",
    }
    (issued,) = [each.event for each in its.events() if each.event.kind == "token.issued"]
    assert (issued.jti, issued.detail["jkt"]) == (found["jti"], thumbprint)
    story = its.door().get(f"{API}/events", params={"kind": "token.issued"}).json()
    assert story["items"][0]["detail"]["jkt"] == thumbprint


def test_the_agent_s_own_key_may_be_the_key_of_the_proof(its: House) -> None:
    its.delegated_agent("Night Owl", key=AGENT)
    assert claims(bound(its, AGENT))["cnf"] == {"jkt": AGENT.public.thumbprint()}


def test_every_kind_of_client_gets_a_bound_token(its: House) -> None:
    client_id = its.delegated_agent("Night Owl", key=AGENT).client_id
    secret = its.door().post(f"{API}/clients/{client_id}/proofs", json={"platform": "secret"}).json()["client_secret"]
    jobs = github()
    trust(its, jobs)
    agent(its, jobs, ("github:repository", "example/support-agent"), name="Job")
    now, basic = its.clock.now(), b64encode(f"night-owl:{secret}".encode()).decode()
    answers = [
        post(its.door(), headers=[*sent(proof(KEY, now)), ("Authorization", f"Basic {basic}")]),
        post(its.door(), headers=sent(proof(KEY, now)), client_id="night-owl", client_secret=secret),
        by_grant(its.door(), jobs.token(), headers=sent(proof(KEY, now))),
    ]
    assert [claims(each)["cnf"]["jkt"] for each in answers] == [KEY.public.thumbprint()] * 3


def test_each_token_is_bound_to_the_key_of_its_own_request(its: House) -> None:
    """A client with several processes has several keys, and one that sends no proof gets a token as ever."""
    its.delegated_agent("Night Owl", key=AGENT)
    keys = [KEY, OTHER, None, KEY, None, OTHER]
    found = [claims(ask(its) if key is None else bound(its, key)) for key in keys]
    assert [each.get("cnf") for each in found] == [key and {"jkt": key.public.thumbprint()} for key in keys]


def test_an_api_that_asks_the_authority_learns_of_the_key(its: House) -> None:
    door = its.door()
    door.post(f"{API}/apis", json={"name": "CRM", "identifier": "https://crm.example"}).raise_for_status()
    credential = door.post(f"{API}/apis/crm/credentials", json={}).json()["credential"]
    its.delegated_agent("Night Owl", key=AGENT, audiences=("https://crm.example",))
    for answer, type_ in ((bound(its), "DPoP"), (ask(its), "Bearer")):
        asked = door.post(
            "/authsec/v1/introspect",
            data={"token": answer.json()["access_token"]},
            headers={"Authorization": f"Bearer {credential}"},
        ).json()
        assert (asked["active"], asked["token_type"]) == (True, type_)
        assert asked.get("cnf") == ({"jkt": KEY.public.thumbprint()} if type_ == "DPoP" else None)


def test_a_delegation_that_requires_dpop_grants_only_bound_tokens(house_on_each: Callable[..., House]) -> None:
    its = house_on_each(local_operator=True)
    agent_ = its.delegated_agent("Night Owl", key=AGENT, require_dpop=True)
    assert claims(bound(its))["cnf"]
    refused = ask(its)
    assert told(refused) == NEEDS_DPOP
    assert "/oauth/token" in refused.json()["details"]
    old = its.door().get(
        ENDPOINT,
        params={"client_id": agent_.client_id},
        headers=[
            ("Authorization", f"Bearer {asserted(AGENT, agent_.client_id, its.clock.now())}"),
            *sent(proof(KEY, its.clock.now(), htm="GET", htu=ISSUER + ENDPOINT)),
        ],
    )
    assert (old.status_code, old.json()["reason"]) == (403, "proof_not_accepted")
    assert "/oauth/token" in old.json()["details"]
    refusals = [each.event for each in its.events() if each.event.kind == "token.refused"]
    assert [each.detail["needs_dpop"] for each in refusals] == [True, True]
    story = its.door().get(f"{API}/events/{refused.json()['request_id']}").json()
    assert "requires DPoP" in story["items"][0]["remedy"]["text"]


def test_the_other_delegations_of_the_client_grant_as_before(its: House) -> None:
    client_id = its.delegated_agent("Night Owl", key=AGENT).client_id
    more = {
        "client": client_id,
        "role": "role-of-night-owl",
        "target_type": "Other AI agent",
        "max_duration": 600,
        "require_dpop": True,
    }
    for asked in ({"actions": ["customers:delete"]}, {"actions": ["customers:read"], "audiences": ["b"]}):
        its.door().post(f"{API}/delegations", json=more | asked).raise_for_status()
    found = claims(ask(its))
    assert (found["scope"], found["aud"]) == ("customers:read", ["authsec-api"])
    for wanted in ({"scope": "customers:delete"}, {"scope": "customers:delete customers:read"}, {"resource": "b"}):
        assert told(ask(its, **wanted)) == NEEDS_DPOP, wanted
        named = {"resource": "authsec-api"} | wanted
        assert claims(bound(its, **named))["cnf"]
    assert told(ask(its, scope="orders:read")) == (400, "invalid_scope", "action_not_allowed")
    assert told(ask(its, resource="c")) == (400, "invalid_target", "invalid_target")


def test_an_unattested_client_has_no_use_of_such_a_delegation(its: House) -> None:
    client_id = its.delegated_name("Open", require_dpop=True)
    refused = its.door().get(ENDPOINT, params={"client_id": client_id})
    assert (refused.status_code, refused.json()["reason"]) == (403, "proof_not_accepted")
    assert told(post(its.door(), client_id=client_id, headers=sent(proof(KEY, its.clock.now()))))[0] == 401
    (shown,) = its.door().get(f"{API}/delegations").json()["items"]
    (about_proofs,) = [each for each in shown["warnings"] if each["code"] == "proofs_excluded"]
    assert about_proofs["message"].startswith(
        "Open is unattested, so it gets no token by this delegation, which requires DPoP."
    )
    assert "client_cannot_prove_itself" not in {each["code"] for each in shown["warnings"]}
    assert its.door().post(f"{API}/clients/{client_id}/enable").json()["state"] == "undelegated"


def test_to_require_dpop_ends_the_tokens_that_anybody_may_use(its: House) -> None:
    its.delegated_agent("Night Owl", key=AGENT)
    claims(ask(its))
    (found,) = its.door().get(f"{API}/delegations").json()["items"]
    path, door = f"{API}/delegations/{found['id']}", its.door(**{"If-Match": "*"})
    planned = door.patch(path, json={"require_dpop": True}, params={"dry_run": "1"}).json()
    assert planned["would_stop"]["live_tokens"] == 1
    assert door.patch(path, json={"require_dpop": True}).json()["require_dpop"] is True
    edited = [each.event for each in its.events() if each.event.kind == "delegation.edited"][-1]
    assert (edited.detail["before"], edited.detail["after"]) == ({"require_dpop": False}, {"require_dpop": True})
    assert [each["kind"] for each in edited.detail["ended"]] == ["delegation"]
    assert door.patch(path, json={"require_dpop": False}).status_code == 200
    assert [each.event for each in its.events() if each.event.kind == "delegation.edited"][-1].detail["ended"] == []


def test_a_token_request_with_a_nonce(house_on_each: Callable[..., House]) -> None:
    """The first answer has a nonce. A client sends the same form again: its assertion was not used up."""
    its, second = (house_on_each(local_operator=True, dpop_nonce=True) for _ in range(2))
    its.delegated_agent("Night Owl", key=AGENT)
    assertion = asserted(AGENT, "night-owl", its.clock.now())

    def send(server: House, nonce: str | None) -> Any:
        return by_assertion(server.door(), assertion, headers=sent(proof(KEY, server.clock.now(), nonce=nonce)))

    first = send(its, None)
    assert told(first) == (400, "use_dpop_nonce", "use_dpop_nonce")
    assert first.json()["retryable"] is True
    nonce = first.headers["DPoP-Nonce"]
    assert claims(send(second, nonce))["cnf"]
    second.clock.at += timedelta(seconds=299)
    assert told(send(second, nonce)) == (401, "invalid_client", "attestation_invalid"), "the nonce is valid"
    second.clock.at += timedelta(seconds=1)
    late = send(second, nonce)
    assert told(late)[1] == "use_dpop_nonce"
    assert late.headers["DPoP-Nonce"] != nonce
    assert claims(ask(its))["scope"] == "customers:read", "without DPoP, no nonce is needed"
    assert [each.event.reason for each in its.events() if each.event.kind == "token.refused"] == ["attestation_invalid"]


def test_no_nonce_is_needed_unless_a_setting_says_so(its: House) -> None:
    its.delegated_agent("Night Owl", key=AGENT)
    answer = bound(its)
    assert answer.status_code == 200
    assert "DPoP-Nonce" not in answer.headers


def test_a_proof_is_forgotten_once_it_is_too_old(its: House) -> None:
    its.delegated_agent("Night Owl", key=AGENT)
    one = proof(KEY, its.clock.now())
    assert ask(its, one).status_code == 200

    def rows() -> int:
        database = its.authority.database
        database.append(lambda tx: attestation.forget_used(tx, its.clock.now()))
        count = "SELECT count(*) FROM used_assertions WHERE client_id = 'dpop'"
        return int(database.read(lambda tx: tx.connection.exec_driver_sql(count).scalar_one()))

    for _ in range(12):
        its.clock.at += timedelta(seconds=10)
        assert told(ask(its, one))[1] == "invalid_dpop_proof"
        assert rows() == 1
    its.clock.at += timedelta(seconds=1)
    assert rows() == 0
    assert "iat" in ask(its, one).json()["details"]


def test_the_audit_log_has_the_check_that_a_proof_failed(its: House) -> None:
    its.delegated_agent("Night Owl", key=AGENT)
    now = its.clock.now()
    used = proof(KEY, now)
    claims(ask(its, used))
    for each in (used, proof(KEY, now - timedelta(minutes=2)), proof(KEY, now, htu=f"{URL}x"), "no-proof", "no proof"):
        assert told(ask(its, each))[1] == "invalid_dpop_proof"
    refusals = [each.event for each in its.events() if each.event.kind == "token.refused"]
    assert [(each.detail["failed"], each.client is None or each.client.name == "") for each in refusals] == [
        ("This DPoP proof was already used.", False),
        ("The proof's iat must be within 60 seconds of this server's clock.", True),
        ("The proof's htu must be the URL of the request, without query and fragment.", True),
        ("The proof is not a signed JWT", True),
    ]


def test_the_metadata_say_which_proofs_are_read(its: House) -> None:
    metadata = its.door().get("/.well-known/oauth-authorization-server").json()
    assert {"ES256", "EdDSA", "RS256"} <= set(metadata["dpop_signing_alg_values_supported"])
    assert metadata["token_endpoint"] == URL
