"""Onboarding over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from authsec.jose import PrivateKey
from starlette.testclient import TestClient

PATH = "/authsec/api/v1/clients"
PAIR = PrivateKey.generate_ed25519()
# The walk-through's agent, word for word.
CUSTOMER_SUPPORT = {
    "name": "Customer Support",
    "platform": "kubernetes",
    "selectors": [
        {"key": "k8s:ns", "value": "production"},
        {"key": "k8s:sa", "value": "customer-support-sa"},
        {"key": "k8s:pod-label:app", "value": "customer-support"},
        {"key": "k8s:container-name", "value": "agent"},
    ],
}
WITH_KEY = {"name": "Customer Support", "platform": "key", "public_key": PAIR.public.to_pem().decode()}
UNATTESTED = {"name": "Customer Support", "platform": "unattested"}


def create(admin: TestClient, body: dict[str, Any]) -> dict[str, Any]:
    answer = admin.post(PATH, json=body)
    assert answer.status_code == 201, answer.text
    client: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == f"{PATH}/{client['client_id']}"
    return client


def test_the_walk_throughs_agent(admin: TestClient) -> None:
    client = create(admin, CUSTOMER_SUPPORT)
    assert client["spiffe_id"] == f"spiffe://authsec.internal/agent/{client['client_id']}"
    assert (client["slug"], client["kind"], client["enabled"]) == ("customer-support", "ai_agent", True)
    assert (client["can_prove_itself"], client["unattested"]) == (False, False)
    (proof,) = client["proofs"]
    assert (proof["kind"], proof["selectors"]) == ("selectors", CUSTOMER_SUPPORT["selectors"])
    assert admin.get(f"{PATH}/customer-support").json() == client
    assert admin.get(f"{PATH}/{client['client_id']}").json() == client
    assert admin.get(PATH).json() == {"items": [client], "next": None}


def test_an_agent_with_a_key(admin: TestClient) -> None:
    client = create(admin, {**WITH_KEY, "owner": "Team", "labels": {"team": "crm"}, "kind": "mcp_server"})
    assert (client["can_prove_itself"], client["unattested"]) == (True, False)
    assert (client["owner"], client["labels"], client["kind"]) == ("Team", {"team": "crm"}, "mcp_server")
    (proof,) = client["proofs"]
    assert proof["thumbprint"] == PAIR.public.thumbprint()
    assert proof["public_key"] == PAIR.public.to_jwk()


def test_an_unattested_agent_never_passes_for_one_that_proves_itself(admin: TestClient) -> None:
    client = create(admin, UNATTESTED)
    assert (client["can_prove_itself"], client["unattested"]) == (False, True)
    assert [proof["kind"] for proof in client["proofs"]] == ["unattested"]


def test_no_answer_ever_has_room_for_a_secret(admin: TestClient) -> None:
    client = create(admin, WITH_KEY)
    assert not any("secret" in name for name in (*client, *client["proofs"][0]))


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({**CUSTOMER_SUPPORT, "selectors": []}, "selectors"),
    ({**CUSTOMER_SUPPORT, "selectors": [{"key": "k8s:nss", "value": "x"}]}, "selectors.0"),
    ({**CUSTOMER_SUPPORT, "selectors": [{"key": "k8s:ns"}]}, "selectors.0.value"),
    ({**CUSTOMER_SUPPORT, "selectors": ["k8s:ns=production"]}, "selectors.0"),
    ({**CUSTOMER_SUPPORT, "platform": "nomad"}, "platform"),
    ({**CUSTOMER_SUPPORT, "kind": "human"}, "kind"),
    ({**CUSTOMER_SUPPORT, "client_id": "6f1d2a34-0000-4000-8000-000000000001"}, "client_id"),
    ({**UNATTESTED, "name": "x" * 10_000}, "name"),
    ({**UNATTESTED, "labels": {"team": 7}}, "labels.team"),
    ({"platform": "unattested"}, "name"),
    ({**WITH_KEY, "public_key": None}, "public_key"),
]


def test_what_is_refused_is_named_and_leaves_nothing(admin: TestClient) -> None:
    for body, field in REFUSED:
        answer = admin.post(PATH, json=body)
        assert (answer.status_code, answer.json()["field"]) == (400, field), body
    assert admin.get(PATH).json()["items"] == []


def test_a_private_key_is_refused_and_repeated_nowhere(admin: TestClient, capfd: pytest.CaptureFixture[str]) -> None:
    private = PAIR.to_pem().decode()
    answer = admin.post(PATH, json={**WITH_KEY, "public_key": private})
    assert answer.status_code == 400
    assert "PRIVATE key" in answer.json()["error"]
    said = answer.text + "".join(capfd.readouterr())
    assert private.splitlines()[1] not in said


def test_turning_off_and_on(admin: TestClient) -> None:
    client = create(admin, UNATTESTED)
    changed = {"revision", "changed_at", "changed_by"}
    for handle, tag in ((client["client_id"], '"2'), ("customer-support", '"3')):
        answer = admin.post(f"{PATH}/{handle}/disable")
        assert (answer.status_code, answer.headers["ETag"][:2], answer.json()["enabled"]) == (200, tag, False)
        assert {name for name, value in answer.json().items() if value != client[name]} == {"enabled", *changed}
    assert admin.get(f"{PATH}/customer-support").json()["enabled"] is False
    again = admin.post(f"{PATH}/customer-support/enable").json()
    assert again.pop("state") == "undelegated"
    assert {name for name, value in again.items() if value != client[name]} == changed
    assert admin.get(f"{PATH}/customer-support/enable").status_code == 405
    assert admin.post(f"{PATH}/nobody/enable").status_code == 404
