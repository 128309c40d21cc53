"""A delegation requires DPoP, and a thief of an agent's credential asks for a token that anybody may use.

The thief tries each door, each way of authentication, and facts and templates that were kept from before.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec.jose import PrivateKey, parse_compact
from dpop_proofs import KEY, proof, sent
from token_endpoint import asserted, by_assertion, by_grant, post
from trusted_issuers import ENDPOINT, agent, trust
from workload_evidence import github

API = "/authsec/api/v1"
AGENT = PrivateKey.generate_ec()


def old_door(its: Any, client_id: str, credential: str, *, scheme: str = "Bearer", **query: str) -> Any:
    headers = {"Authorization": f"{scheme} {credential}"}
    return its.door().get(ENDPOINT, params={"client_id": client_id, **query}, headers=headers)


def require(its: Any, required: bool) -> None:
    (found,) = its.door().get(f"{API}/delegations").json()["items"]
    assert (
        its.door(**{"If-Match": "*"})
        .patch(f"{API}/delegations/{found['id']}", json={"require_dpop": required})
        .status_code
        == 200
    )


@pytest.mark.sqlite_suffices  # test_dpop.py requires DPoP on PostgreSQL
def test_neither_door_issues_one(house_on_each: Any) -> None:
    its = house_on_each(local_operator=True)
    client_id = its.delegated_agent("Night Owl", key=AGENT, require_dpop=True).client_id
    secret = its.door().post(f"{API}/clients/{client_id}/proofs", json={"platform": "secret"}).json()["client_secret"]

    def assertion() -> str:
        return asserted(AGENT, client_id, its.clock.now())

    refused = [
        old_door(its, client_id, assertion()),
        old_door(its, client_id, assertion(), scope="customers:read", resource="authsec-api"),
        old_door(its, client_id, secret, scheme="Basic"),
        by_assertion(its.door(), assertion()),
        by_assertion(its.door(), assertion(), scope="customers:read", resource="authsec-api"),
        by_assertion(its.door(), assertion(), headers={"DPoP-Nonce": "x"}),
        post(its.door(), client_id=client_id, client_secret=secret),
        post(its.door(), auth=(client_id, secret)),
    ]
    assert [each.json()["reason"] for each in refused[:2] + refused[3:]] == ["proof_not_accepted"] * 7
    assert all(each.status_code in {400, 401, 403} for each in refused)
    assert not any("access_token" in each.json() or "token" in each.json() for each in refused)
    assert [each.event for each in its.events() if each.event.kind == "token.issued"] == []


def test_a_workload_s_token_alone_gets_none_either(house: Any) -> None:
    its, issuer = house(local_operator=True), github()
    trust(its, issuer)
    client_id = agent(its, issuer, ("github:repository", "example/support-agent"))
    require(its, required=True)
    assert by_grant(its.door(), issuer.token()).json()["error"] == "invalid_dpop_proof"
    assert old_door(its, client_id, issuer.token()).json()["reason"] == "proof_not_accepted"
    answer = by_grant(its.door(), issuer.token(), headers=sent(proof(KEY, its.clock.now())))
    assert answer.json()["token_type"] == "DPoP"


@pytest.mark.sqlite_suffices  # test_dpop.py requires DPoP on PostgreSQL
def test_kept_facts_and_templates_do_not_outlive_the_requirement(house_on_each: Any) -> None:
    """And the other way round: the template of a bearer token makes no bound one, and that of a bound one no other."""
    its, second = house_on_each(local_operator=True), house_on_each(local_operator=True)
    client_id = its.delegated_agent("Night Owl", key=AGENT).client_id
    servers = (its, second)

    def plain(server: Any) -> list[int]:
        now = server.clock.now()
        return [
            by_assertion(server.door(), asserted(AGENT, client_id, now)).status_code,
            old_door(server, client_id, asserted(AGENT, client_id, now)).status_code,
        ]

    def bound(server: Any, key: PrivateKey) -> Any:
        now = server.clock.now()
        answer = by_assertion(server.door(), asserted(AGENT, client_id, now), headers=sent(proof(key, now)))
        return parse_compact(answer.json()["access_token"]).claims["cnf"]["jkt"]

    keys = [KEY, PrivateKey.generate_ec(), KEY]
    for required, expected in ((False, [200, 200]), (True, [400, 403]), (False, [200, 200]), (True, [400, 403])):
        require(its, required=required)
        for server in servers:
            for key in keys:
                assert plain(server) == expected
                assert bound(server, key) == key.public.thumbprint()
            assert plain(server) == expected


@pytest.mark.parametrize("member", [{"require_dpop": None}, {"require_dpop": 0}, {"require_dpop": "no"}])
def test_an_edit_with_something_else_than_true_or_false_changes_nothing(house: Any, member: dict[str, Any]) -> None:
    its = house(local_operator=True)
    its.delegated_agent("Night Owl", require_dpop=True)
    (found,) = its.door().get(f"{API}/delegations").json()["items"]
    assert its.door(**{"If-Match": "*"}).patch(f"{API}/delegations/{found['id']}", json=member).status_code == 400
    assert its.door().get(f"{API}/delegations/{found['id']}").json()["require_dpop"] is True


def test_an_edit_that_does_not_name_it_keeps_it(house: Any) -> None:
    its = house(local_operator=True)
    its.delegated_agent("Night Owl", require_dpop=True)
    (found,) = its.door().get(f"{API}/delegations").json()["items"]
    answer = its.door(**{"If-Match": "*"}).patch(f"{API}/delegations/{found['id']}", json={"max_duration": 600})
    assert (answer.status_code, answer.json()["require_dpop"]) == (200, True)
