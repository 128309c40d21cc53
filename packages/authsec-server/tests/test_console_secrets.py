"""A client's secret in the console: shown once, called weak wherever the client is, rotated."""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any

import pytest
from authsec.client_secret import is_client_secret
from pages import Page, get
from starlette.testclient import TestClient

API = "/authsec/api/v1"
ONBOARD = "/console/clients/onboard"
WEAK = "Anybody who has read the secret can use it until it is rotated"


@pytest.fixture
def its(house: Any) -> Any:
    """An authority at whose machine we sit."""
    return house(local_operator=True)


@pytest.fixture
def door(its: Any) -> TestClient:
    """The browser of its operator."""
    browser: TestClient = its.door()
    return browser


def secret_on(page: Page) -> str:
    assert page.status == 200, page.text
    (secret,) = {word for word in re.findall(r"authsec_cs_[\w-]+", page.html) if is_client_secret(word)}
    return secret


def onboard(door: TestClient) -> str:
    """A new agent `legacy-host`: its secret."""
    return secret_on(get(door, ONBOARD).form(ONBOARD).send(name="Legacy Host", platform="secret"))


def held(door: TestClient, slug: str = "legacy-host") -> list[dict[str, Any]]:
    proofs: list[dict[str, Any]] = door.get(f"{API}/clients/{slug}").json()["proofs"]
    return proofs


def lets_in(door: TestClient, secret: str) -> bool:
    """Whether the secret proves the agent; what is delegated to it is another matter."""
    client_id = door.get(f"{API}/clients/legacy-host").json()["client_id"]
    credential = b64encode(f"{client_id}:{secret}".encode()).decode()
    asked = door.get(
        "/authsec/uflow/sdk/delegation-token",
        params={"client_id": client_id},
        headers={"Authorization": f"Basic {credential}"},
    )
    return bool(asked.json()["reason"] == "no_delegation")


def test_the_secret_is_shown_on_the_answer_to_onboarding_and_on_no_page_after_it(door: TestClient) -> None:
    form = get(door, ONBOARD)
    assert "The last resort." in form.text
    assert WEAK in form.text
    answer = form.form(ONBOARD).send(name="Legacy Host", platform="secret")
    secret = secret_on(answer)
    assert "shown only once" in answer.text
    assert WEAK in answer.text
    assert lets_in(door, secret)
    home = answer.links["Done"]
    assert f"The Client ID, which is not secret: {home.rpartition('/')[2]}" in answer.text
    assert "If they stop working now There are no live tokens to revoke." in get(door, f"{home}/secret").text
    for path in (home, f"{home}/connect", f"{home}/test", f"{home}/secret", "/console/clients", "/console/activity"):
        assert "authsec_cs_" not in get(door, path).html.replace("authsec_cs_…", "")


def test_no_browser_and_no_proxy_keeps_the_page_with_the_secret(door: TestClient) -> None:
    headers = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
    answer = door.post(ONBOARD, content="name=Legacy+Host&platform=secret", headers=headers)
    assert "authsec_cs_" in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    again = door.post(ONBOARD, content="name=Legacy+Host&platform=secret", headers=headers)
    assert (again.status_code, "authsec_cs_" in again.text) == (409, False), "reloading shows no secret"


def test_wherever_the_client_is_its_secret_is_marked(door: TestClient) -> None:
    onboard(door)
    page = get(door, "/console/clients?warning=secret")
    assert "Legacy Host" in page.text
    assert "No delegation Client secret" in page.text
    home = "/console/clients/legacy-host"
    for path in (home, f"{home}/connect"):
        assert "No delegation Client secret" in get(door, path).text
    overview = get(door, home).text
    assert "Weak: a secret" in overview
    assert "Last used never" in overview
    assert "1 client: Client secret" in get(door, "/console").text
    door.post(f"{API}/roles", json={"name": "Support", "actions": ["customers:read"]})
    wanted = {"role": "support", "client": "legacy-host", "target_type": "Other AI agent", "max_duration": 3600}
    made = door.post(f"{API}/delegations", json=wanted | {"all_actions": True}).json()
    assert "client_holds_secret" in [each["code"] for each in made["warnings"]]
    assert (
        "anybody who reads the secret can get tokens for this delegation"
        in get(door, f"/console/delegations/{made['id']}").text
    )
    for path in (f"/console/delegations/{made['id']}", "/console/delegations", "/console/roles/support", "/console"):
        assert "Ready Client secret" in get(door, path).text


def test_connect_names_the_file_and_no_other_agents_proof(door: TestClient) -> None:
    onboard(door)
    page = get(door, "/console/clients/legacy-host/connect")
    assert 'export AUTHSEC_AGENT_SECRET_FILE="$PWD/agent-secret"' in page.text
    assert "unset AUTHSEC_AGENT_KEY_FILE AUTHSEC_WORKLOAD_TOKEN_FILE" in page.text
    assert '$env:AUTHSEC_AGENT_SECRET_FILE = "$PWD\\agent-secret"' in page.text


def test_a_secret_is_added_beside_another_proof(door: TestClient) -> None:
    door.post(f"{API}/clients", json={"name": "Legacy Host", "platform": "unattested"})
    form = get(door, "/console/clients/legacy-host/proofs/add").form()
    secret = secret_on(form.send(platform="secret", expires_at="2026-12-01T00:00"))
    assert lets_in(door, secret)
    assert {each["kind"]: each["expires_at"] for each in held(door)} == {
        "unattested": None,
        "secret": "2026-12-01T00:00:00Z",
    }


def test_rotating_shows_a_new_secret_and_ends_the_old_one_later(its: Any, door: TestClient) -> None:
    first = onboard(door)
    home = "/console/clients/legacy-host"
    way = get(door, home).links["Rotate secret"]
    its.clock.at = its.clock.at.replace(hour=14)
    second = secret_on(get(door, way).form().send())
    old, new = held(door)
    assert (old["expires_at"], new["expires_at"]) == ("2026-11-26T14:00:00Z", None)
    assert lets_in(door, first)
    assert lets_in(door, second)
    assert "rotated the secret of Legacy Host" in get(door, "/console/activity").text
    third = secret_on(get(door, way).form().send(overlap="0"))
    assert [lets_in(door, each) for each in (first, second, third)] == [False, False, True]


def test_what_cannot_be_rotated_says_why(door: TestClient) -> None:
    onboard(door)
    page = get(door, "/console/clients/legacy-host/secret").form().send(overlap="999999999999")
    assert (page.status, "0 to 7 days" in page.text) == (400, True)
    door.post(f"{API}/clients", json={"name": "Keyless", "platform": "unattested"})
    assert "Rotate secret" not in get(door, "/console/clients/keyless").links
    page = get(door, "/console/clients/keyless/secret").form().send()
    assert (page.status, "no valid secret" in page.text) == (409, True)
    assert len(held(door)) == 1
