"""The proofs of a client over HTTP; secrets are in the answer that makes them, and in no other."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from authsec.client_secret import is_client_secret
from authsec.jose import PrivateKey, parse_compact
from long_runs import some_rows_of
from starlette.testclient import TestClient

PATH = "/authsec/api/v1/clients"
ENDPOINT = "/authsec/uflow/sdk/delegation-token"
POD = {"platform": "kubernetes", "selectors": [{"key": "k8s:ns", "value": "production"}]}


def post(admin: TestClient, path: str = "", status: int = 201, /, **body: Any) -> Any:
    answer = admin.post(f"{PATH}{path}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def pem() -> str:
    return PrivateKey.generate_ed25519().public.to_pem().decode()


def test_a_client_is_given_another_proof_and_loses_one(admin: TestClient) -> None:
    post(admin, name="Support", **POD)
    end = "2036-12-31T18:00:00Z"
    held = post(admin, "/support/proofs", platform="key", public_key=pem(), expires_at=end)
    place, key = held["proofs"]
    assert (place["kind"], key["kind"], key["expires_at"]) == ("selectors", "key_pair", end)
    assert (key["last_used_at"], held["can_prove_itself"]) == (None, True)
    assert admin.get(f"{PATH}/support").json() == held
    assert admin.delete(f"{PATH}/support/proofs/{key['id']}").json() == key
    assert admin.get(f"{PATH}/support").json()["proofs"] == [place]
    again = admin.delete(f"{PATH}/support/proofs/{key['id']}")
    assert (again.status_code, again.json()["error"].startswith("Support has no proof")) == (404, True)


@pytest.mark.parametrize(
    ("path", "body", "field"),
    some_rows_of(
        [
            ("/support/proofs", {}, "platform"),
            ("/support/proofs", {"platform": "secret", "client_secret": "mine"}, "client_secret"),
            ("/support/proofs", {"platform": "secret", "public_key": "x"}, "public_key"),
            ("/support/proofs", {"platform": "key"}, "public_key"),
            ("/support/proofs", {"platform": "unattested", "expires_at": "tomorrow"}, "expires_at"),
            ("/support/proofs", {"platform": "unattested", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
            ("/support/secret", {"overlap": -1}, "overlap"),
            ("/support/secret", {"overlap": 7 * 86_400 + 1}, "overlap"),
            ("/support/secret", {"overlap": 10**12}, "overlap"),
            ("/support/secret", {"overlap": "1h"}, "overlap"),
            ("/support/secret", {"secret": "mine"}, "secret"),
        ]
    ),
)
def test_what_is_refused_is_named(admin: TestClient, path: str, body: dict[str, Any], field: str) -> None:
    before = post(admin, name="Support", platform="secret")
    assert post(admin, path, 400, **body)["field"] == field
    assert admin.get(f"{PATH}/support").json()["proofs"] == before["proofs"]


def test_whoever_has_no_secret_has_none_to_rotate(admin: TestClient) -> None:
    post(admin, name="Support", **POD)
    refused = post(admin, "/support/secret", 409)
    assert refused["details"] == "Add a secret: authsec agents proofs add support --platform secret"
    assert post(admin, "/nobody/secret", 404)


def test_each_secret_is_in_one_answer_and_no_proxy_keeps_that(admin: TestClient) -> None:
    answers = [
        admin.post(PATH, json={"name": "Support", "platform": "secret"}),
        admin.post(f"{PATH}/support/proofs", json={"platform": "secret", "expires_at": "2036-12-31T18:00:00Z"}),
        admin.post(f"{PATH}/support/secret", json={"overlap": 0}),
    ]
    assert [answer.headers["Cache-Control"] for answer in answers] == ["no-store"] * 3
    secrets = [answer.json()["client_secret"] for answer in answers]
    assert all(map(is_client_secret, secrets))
    assert len(set(secrets)) == 3
    seen = admin.get(PATH).text + admin.get(f"{PATH}/support").text + admin.post(f"{PATH}/support/disable").text
    assert "authsec_cs_" not in seen
    assert "sha256" not in seen


def test_an_agent_gets_tokens_by_its_secret_until_that_is_rotated_out(house: Any) -> None:
    its = house(local_operator=True)
    client_id, door = its.delegated_name("Support"), its.door()
    unattested = door.get(f"{PATH}/support").json()["proofs"][0]["id"]
    first = post(door, "/support/proofs", platform="secret")
    door.delete(f"{PATH}/support/proofs/{unattested}").raise_for_status()

    def ask(secret: str) -> Any:
        credential = b64encode(f"{client_id}:{secret}".encode()).decode()
        headers = {"Authorization": f"Basic {credential}"}
        return door.get(ENDPOINT, params={"client_id": client_id}, headers=headers)

    answer = ask(first["client_secret"])
    claims = parse_compact(answer.json()["token"], max_bytes=8192).claims
    (proof,) = door.get(f"{PATH}/support").json()["proofs"]
    assert claims["attestation"] == {"method": "secret", "selectors": [], "proof": proof["id"]}
    assert (proof["kind"], proof["state"], proof["last_used_at"]) == ("secret", "weak", "2026-11-25T12:00:00Z")
    issued = its.events()[-1].event
    assert (issued.detail["attestation"], issued.detail["proof_id"]) == ("secret", proof["id"])

    second = post(door, "/support/secret", overlap=3600)
    assert [ask(each["client_secret"]).status_code for each in (first, second)] == [200, 200]
    assert ask(first["client_secret"]).json()["expires_in"] == 3600, "no longer than the secret"
    its.clock.at = its.clock.at.replace(hour=13)
    answers = [ask(each["client_secret"]) for each in (first, second)]
    assert [each.status_code for each in answers] == [401, 200]
    assert answers[0].json()["reason"] == "attestation_invalid"
    audit_log = json.dumps([str(recorded) for recorded in its.events()])
    assert not {first["client_secret"], second["client_secret"]} & set(audit_log.split('"'))
    assert "authsec_cs_" not in audit_log
