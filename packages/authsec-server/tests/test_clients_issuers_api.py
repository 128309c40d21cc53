"""Trusted issuers and the proofs that rest on them, over HTTP."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient
from workload_evidence import kubernetes

ROOT = "/authsec/api/v1"
SELECTORS = [{"key": "k8s:ns", "value": "production"}, {"key": "k8s:sa", "value": "support"}]
AGENT = {"name": "Support", "platform": "kubernetes", "selectors": SELECTORS}


def post(admin: TestClient, path: str, body: dict[str, Any] | None = None, status: int = 200) -> Any:
    answer = admin.post(f"{ROOT}/{path}", json=body or {})
    assert answer.status_code == status, answer.text
    return answer.json()


def register(admin: TestClient, name: str = "prod") -> Any:
    body = {"name": name, "kind": "kubernetes", "issuer": f"https://{name}.example", "keys_from": "given"}
    return post(admin, "issuers", body | {"given_keys": kubernetes().jwks}, 201)


def agent(admin: TestClient) -> Any:
    return admin.get(f"{ROOT}/clients/support").json()


def test_an_agent_is_onboarded_at_a_trusted_issuer(admin: TestClient) -> None:
    trusted_issuer = register(admin)
    register(admin, "staging")
    refused = post(admin, "clients", AGENT, 400)
    assert refused["field"] == "trusted_issuer"
    client = post(admin, "clients", AGENT | {"trusted_issuer": "prod"}, 201)
    (proof,) = client["proofs"]
    assert proof["trusted_issuer"] == {"id": trusted_issuer["id"], "slug": "prod", "name": "prod"}
    assert proof["provenance"] == {"k8s:ns": "token", "k8s:sa": "token"}
    assert (proof["state"], proof["missing"]) == ("proves", None)
    assert admin.get(f"{ROOT}/clients").json()["items"] == [client] == [agent(admin)]


def test_one_that_waited_is_bound_disabled_and_taken_away(admin: TestClient) -> None:
    client = post(admin, "clients", AGENT, 201)
    (proof,) = client["proofs"]
    assert (proof["trusted_issuer"], proof["provenance"], proof["state"]) == (None, None, "cannot_prove")
    assert "Kubernetes cluster" in proof["missing"]
    register(admin)
    users = admin.get(f"{ROOT}/issuers/prod/users").json()
    assert (users["proofs"], users["waiting_proofs"]) == (0, 1)
    assert users["waiting"] == [
        {"client_id": client["client_id"], "name": "Support", "proof_id": proof["id"], "selectors": SELECTORS}
    ]
    bound = post(admin, "issuers/prod/bind", {"proofs": [proof["id"]]})
    assert ([each["name"] for each in bound["bound"]], bound["more"]) == (["Support"], False)
    assert agent(admin)["can_prove_itself"]
    post(admin, "issuers/prod/disable")
    assert not agent(admin)["can_prove_itself"], "the verbs of clients are what turns a trusted issuer off"
    assert agent(admin)["proofs"][0]["state"] == "trusted_issuer_disabled"
    post(admin, "issuers/prod/enable")
    assert agent(admin)["can_prove_itself"]
    users = admin.get(f"{ROOT}/issuers/prod/users").json()
    assert (users["stranded"], users["more_stranded"]) == (
        [{"client_id": client["client_id"], "name": "Support"}],
        False,
    )
    refused = admin.delete(f"{ROOT}/issuers/prod")
    assert (refused.status_code, "--with-proofs" in refused.json()["details"]) == (409, True)
    removed = admin.delete(f"{ROOT}/issuers/prod?with_proofs=true").json()
    assert [removed[name] for name in ("slug", "removed", "proofs", "left")] == ["prod", True, 1, 0]
    assert agent(admin)["proofs"] == []
    assert admin.get(f"{ROOT}/issuers/prod").status_code == 404


def test_nothing_named_is_not_all(admin: TestClient) -> None:
    register(admin)
    post(admin, "issuers/prod/bind", {"proofs": []}, 400)
    assert post(admin, "issuers/prod/bind") == {"bound": [], "more": False}
