"""The page of one client: what it is, how it proves itself, what it may do, what it did; Connect and Test."""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from authsec_server.console.clients.lines import Connection
from pages import Page, get
from starlette.testclient import TestClient

House = Any
API = "/authsec/api/v1"
LIST = "/console/clients"
TOKEN = "/authsec/uflow/sdk/delegation-token"
CRM = {
    "name": "CRM",
    "identifier": "https://crm.example.com",
    "actions": [{"action": "customers:read", "description": "Read a customer"}],
}


@pytest.fixture
def opened(house: Callable[..., House]) -> House:
    """An authority at whose machine we sit."""
    return house(local_operator=True)


@pytest.fixture
def door(opened: House) -> TestClient:
    """The browser of its operator."""
    return opened.door()


def make(door: TestClient, noun: str, **what: Any) -> dict[str, Any]:
    answer = door.post(f"{API}/{noun}", json=what)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def delegate(door: TestClient, client: str, **what: Any) -> dict[str, Any]:
    role = f"role-of-{door.get(f'{API}/clients/{client}').json()['slug']}"
    values = {"target_type": "AutoGen AI agent", "actions": ["customers:read"], "max_duration": 900} | what
    return make(door, "delegations", role=role, client=client, **values)


def codes(page: Page) -> list[str]:
    """The blocks of code on the page, as they are copied."""
    return [unescape(part.partition("</code>")[0]) for part in page.html.split('<pre tabindex="0"><code>')[1:]]


def test_identity_and_every_way_to_it(door: TestClient, opened: House) -> None:
    client_id = opened.delegated_name("Open")
    for address in (f"{LIST}/{client_id}", f"{LIST}/open"):
        page = get(door, address)
        assert f"spiffe://authsec.internal/agent/{client_id}" in page.text
        assert "local operator" in page.text
        assert page.links["Connect"] == f"{address}/connect"
    assert get(door, f"{LIST}/nobody").status == 404
    assert get(door, f"{LIST}/nobody/connect").status == 404
    assert get(door, f"{LIST}/nobody/test").status == 404


def test_proofs_say_how_they_are_proved_and_when_they_were_used(door: TestClient, opened: House) -> None:
    agent = opened.delegated_agent()
    page = get(door, f"{LIST}/{agent.client_id}")
    assert "Proved by signature" in page.text
    assert agent.key.public.thumbprint() in page.text
    assert "Last used never" in page.text
    token = door.get(
        f"{TOKEN}?client_id={agent.client_id}", headers={"Authorization": f"Bearer {agent.assertion(opened.clock.at)}"}
    )
    assert token.status_code == 200, token.text
    opened.clock.at += timedelta(minutes=5)
    assert "Last used 5 minutes ago" in get(door, f"{LIST}/{agent.client_id}").text


def test_effective_actions_are_traced_to_role_and_delegation(door: TestClient, opened: House) -> None:
    make(door, "apis", **CRM)
    client_id = opened.delegated_name("Open")
    second = delegate(door, client_id, actions=["customers:delete"], audiences=["crm"])
    page = get(door, f"{LIST}/{client_id}")
    assert "Read a customer" in page.text
    assert "https://crm.example.com" in page.text
    assert "15 minutes" in page.text
    assert page.links[second["id"][:8]] == f"/console/delegations/{second['id']}"
    assert page.links["Role of Open"].startswith("/console/roles/")
    assert '<span class="badge warn" title="The shared default' in page.html
    door.post(f"{API}/delegations/{second['id']}/disable")
    page = get(door, f"{LIST}/{client_id}")
    assert "1 trust delegation that gives nothing now" in page.text
    door.post(f"{API}/clients/{client_id}/disable")
    assert "It is disabled: this is what it could do once enabled." in get(door, f"{LIST}/{client_id}").text


def test_who_has_no_delegation_is_led_to_one(door: TestClient) -> None:
    client = make(door, "clients", name="New", platform="unattested", kind="mcp_server")
    page = get(door, f"{LIST}/{client['client_id']}")
    assert "No trust delegation has been created for it." in page.text
    way = f"/console/delegations/new?client={client['client_id']}&target_type=MCP+server"
    assert page.links["Create trust delegation"] == way


def test_refusals_show_reason_closest_miss_and_remedy(door: TestClient, opened: House) -> None:
    agent = opened.delegated_agent()
    proof = {"Authorization": f"Bearer {agent.assertion(opened.clock.at)}"}
    asked = f"{TOKEN}?client_id={agent.client_id}&scope=customers:read+customers:delete"
    assert door.get(asked, headers=proof).status_code == 403
    door.get(f"{TOKEN}?client_id={agent.client_id}")
    page = get(door, f"{LIST}/{agent.client_id}")
    assert "action_not_allowed" in page.text
    assert "Closest that would pass: scope=customers:read" in page.text
    assert "Allow it in a trust delegation" in page.text
    assert page.links["Its trust delegations"] == f"/console/delegations?client={agent.client_id}"
    assert "attestation_required" in page.text
    assert page.links["All its activity"] == f"/console/activity?client={agent.client_id}"


def test_requests_are_charted_with_a_table_beside(door: TestClient, opened: House) -> None:
    client_id = opened.delegated_name("Open")
    assert "It has not asked for a token in this time." in get(door, f"{LIST}/{client_id}").text
    door.get(f"{TOKEN}?client_id={client_id}")
    door.get(f"{TOKEN}?client_id={client_id}")
    door.get(f"{TOKEN}?client_id={client_id}&scope=a:b")
    opened.clock.at += timedelta(minutes=1)
    page = get(door, f"{LIST}/{client_id}")
    assert '<svg class="chart"' in page.html
    assert "2 issued, 1 refused" in page.html
    assert "Wed 25 Nov 2 1" in page.text


def test_connect_has_the_lines_with_this_clients_values(door: TestClient, opened: House) -> None:
    make(door, "apis", **CRM)
    agent = opened.delegated_agent(audiences=("crm",))
    page = get(door, f"{LIST}/{agent.client_id}/connect")
    bash, powershell = (next(code for code in codes(page) if code.startswith(start)) for start in ("export", "$env:"))
    assert bash.splitlines() == [
        'export AUTHSEC_BASE_URL="http://127.0.0.1:7468"',
        f'export AUTHSEC_AGENT_CLIENT_ID="{agent.client_id}"',
        'export DOWNSTREAM_URL="https://crm.example.com"',
        'export AUTHSEC_AGENT_KEY_FILE="$PWD/customer-support.pem"',
    ]
    assert powershell.splitlines()[1] == f'$env:AUTHSEC_AGENT_CLIENT_ID = "{agent.client_id}"'
    assert any('scope="customers:read")' in code for code in codes(page))
    assert "python examples/smoke_local.py" in codes(page)
    assert any("pip install ./packages/authsec ./packages/authsec-autogen" in code for code in codes(page))
    assert "authsec keygen customer-support.pem" in codes(page)


def test_where_several_apis_are_delegated_for_the_lines_name_one(door: TestClient, opened: House) -> None:
    make(door, "apis", **CRM)
    client_id = opened.delegated_name("Open")
    delegate(door, client_id, audiences=["crm"])
    page = get(door, f"{LIST}/{client_id}/connect")
    # Both APIs would do; which one it is depends on the delegations' random ids.
    (named,) = [
        name
        for name in ("authsec-api", "https://crm.example.com")
        if f'authsec smoke --resource "{name}"' in codes(page)
    ]
    assert any(f'resource="{named}")' in code for code in codes(page))
    assert "AUTHSEC_AGENT_KEY_FILE" not in page.text


def test_who_cannot_prove_itself_is_told_at_connect(door: TestClient) -> None:
    selectors = [{"key": "k8s:ns", "value": "production"}]
    make(door, "clients", name="Pod", platform="kubernetes", selectors=selectors)
    page = get(door, f"{LIST}/pod/connect")
    assert "It cannot prove itself yet" in page.text
    assert "attestation_required" in page.text


def connection(**values: Any) -> Connection:
    its = {"base_url": "https://a.example", "client_id": "id", "slug": "s", "has_key": False}
    return Connection(**(its | values))


@pytest.mark.parametrize("audience", ["https://crm.example/$(id)`id`", "https://crm.example/\\x"])
def test_no_value_is_read_by_the_shell(audience: str) -> None:
    lines = connection(audience=audience).bash
    script = f'{lines}\nprintf %s "$DOWNSTREAM_URL"'
    told = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=10)
    assert told.stdout == audience
    smoke = connection(resource=audience).smoke
    assert shlex.split(smoke.replace("\\`", "`").replace("\\$", "$"))[-1] == audience


def test_the_python_lines_are_python() -> None:
    its = connection(scope="customers:read", resource="https://crm.example.com")
    for code in (its.configure, its.tool, its.by_hand, connection().tool, connection().by_hand):
        compile(code, "lines", "exec")
    assert 'authsec.get_token(resource="https://crm.example.com").value' in its.by_hand
    assert "jwt_token = authsec.get_delegation_token()" in connection().by_hand


def test_the_test_shows_the_claims_that_the_token_then_has(door: TestClient, opened: House) -> None:
    client_id = opened.delegated_name("Open")
    events = len(opened.events())
    page = get(door, f"{LIST}/{client_id}/test")
    assert "It would get a token" in page.text
    shown = json.loads(next(code for code in codes(page) if code.startswith("{")))
    assert len(opened.events()) == events
    token = door.get(f"{TOKEN}?client_id={client_id}").json()
    assert (shown["scope"], shown["sub"], shown["aud"]) == (token["scope"], token["spiffe_id"], token["audience"])
    assert shown["exp"] - shown["iat"] == token["expires_in"]


def test_the_test_shows_reason_remedy_and_smaller_request(door: TestClient, opened: House) -> None:
    client_id = opened.delegated_name("Open")
    page = get(door, f"{LIST}/{client_id}/test").form().send(scope="customers:read customers:delete")
    assert "It would be refused: action_not_allowed" in page.text
    assert "Not delegated to it: customers:delete." in page.text
    assert page.form().value("scope") == "customers:read customers:delete"
    (smaller,) = [href for text, href in page.links.items() if text.startswith("Test the smaller request")]
    assert "It would get a token" in get(door, smaller).text


def test_the_test_assumes_the_chosen_proof_and_names_a_resource(door: TestClient, opened: House) -> None:
    agent = opened.delegated_agent(excluded_proofs=("key_pair",))
    (proof,) = door.get(f"{API}/clients/{agent.client_id}").json()["proofs"]
    page = get(door, f"{LIST}/{agent.client_id}/test").form().send(proof=proof["id"])
    assert "proof_not_accepted" in page.text
    assert page.form().value("proof") == proof["id"]
    page = page.form().send(proof="0" * 36)
    assert page.status == 404
    page = get(door, f"{LIST}/{agent.client_id}/test?resource=https://x.example&scope=nonsense")
    assert "invalid_scope" in page.text


def test_a_proof_that_cannot_be_checked_yet_is_said_in_the_test(door: TestClient) -> None:
    selectors = [{"key": "k8s:ns", "value": "production"}]
    client = make(door, "clients", name="Pod", platform="kubernetes", selectors=selectors)
    make(door, "roles", name="Role of Pod", slug="role-of-pod", actions=["customers:read"])
    delegate(door, client["client_id"])
    page = get(door, f"{LIST}/pod/test")
    assert "This authority cannot check that proof yet." in page.text


def test_the_second_of_two_editors_is_told_what_changed(door: TestClient, opened: House) -> None:
    edit = f"{LIST}/{opened.delegated_name('Open')}/edit"
    mine = get(door, edit).form()
    assert get(door, edit).form().send(name="Theirs", owner="Their team").status == 303
    page = mine.send(name="Mine", labels="team=mine")
    assert page.status == 412
    assert "Changed by local operator just now" in page.text
    assert "Now: Theirs" in page.text
    assert "Now: Their team" in page.text
    assert (page.form().value("name"), page.form().value("labels")) == ("Mine", "team=mine")
    assert "Saved." in page.form().send().follow().text  # told, they may overrule it
    assert get(door, edit).form().value("name") == "Mine"
