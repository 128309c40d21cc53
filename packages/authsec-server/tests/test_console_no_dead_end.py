"""Small places of the walk-through where a new user hesitated: each says what comes next, or leads there."""

from __future__ import annotations

import ast
import re
from html import unescape
from typing import Any

from authsec_server.clients.model import Platform
from authsec_server.console.clients.selector_fields import feedback_on
from authsec_server.console.impact_text import at_apis
from pages import get, selector_rows
from starlette.testclient import TestClient

House = Any
API = "/authsec/api/v1"
ONBOARD = "/console/clients/onboard"


def plain(door: TestClient, name: str = "Plain") -> str:
    made = door.post(f"{API}/clients", json={"name": name, "platform": "unattested"})
    return str(made.json()["client_id"])


def test_who_opens_the_page_of_the_client_and_the_event_leads_to_its_events(door: TestClient) -> None:
    agent = plain(door)
    door.get(f"/authsec/uflow/sdk/delegation-token?client_id={agent}")
    assert get(door, "/console/activity").links["Plain"] == f"/console/clients/{agent}"
    event = get(door, "/console/activity?what=refused").links["asked for a token"]
    assert get(door, event).links["Only events of this client"] == f"/console/activity?client={agent}"


def test_a_taken_name_opens_the_details_with_the_slug(door: TestClient) -> None:
    plain(door)
    page = get(door, ONBOARD).form(ONBOARD).send(name="Plain", platform="unattested")
    assert page.status == 409
    assert '<details class="more" open>' in page.html.partition("Optional details")[0][-200:]


def test_a_missing_issuer_does_not_stop_the_onboarding(door: TestClient) -> None:
    fields = selector_rows("kubernetes", ("k8s:ns", "production"))
    page = get(door, ONBOARD).form(ONBOARD).send(name="", platform="kubernetes", **fields)
    assert "Can't authenticate yet: no trusted issuer. You can go on and add it afterwards." in page.text


def test_a_chosen_key_is_no_error_before_something_is_typed() -> None:
    rows = (("k8s:pod-label:", ""), ("k8s:pod-label:", "support"))
    untouched, typed = feedback_on(Platform.KUBERNETES, rows, [], named="", trust_domain="d", judged=False).rows
    assert (untouched.wrong, typed.wrong) == (False, True)
    sent = feedback_on(Platform.KUBERNETES, rows[:1], [], named="", trust_domain="d", judged=True).rows
    assert sent[0].wrong


def test_connect_says_that_a_clone_needs_no_installation_and_has_a_whole_conversation(
    door: TestClient, opened: House
) -> None:
    page = get(door, f"/console/clients/{opened.delegated_agent().client_id}/connect")
    install = page.text.partition("2. Install")[2]
    assert install.index("install nothing") < install.index("pip install")
    conversation = page.text.partition("5. Conversation")[2]
    assert "uv run authsec demo-api --issuer" in conversation
    assert "uv run python examples/autogen_conversation.py" in conversation


def test_an_administrator_is_not_told_to_ask_an_administrator(door: TestClient, opened: House) -> None:
    agent = opened.delegated_agent()
    its = door.get(f"{API}/delegations").json()["items"][0]
    door.post(f"{API}/delegations/{its['id']}/revoke")
    proof = {"Authorization": f"Bearer {agent.assertion()}"}
    door.get("/authsec/uflow/sdk/delegation-token", params={"client_id": agent.client_id}, headers=proof)
    page = get(door, f"/console/clients/{agent.client_id}").text
    assert "delegation_ended" in page
    assert "Ask an administrator" not in page


def test_two_codes_are_told_apart_by_the_time_of_their_creation(door: TestClient, opened: House) -> None:
    agent = plain(door)
    for _ in range(2):
        assert door.post(f"{API}/clients/{agent}/enrolments", json={"hours": 8}).status_code == 201
        opened.clock.at = opened.clock.at.replace(second=opened.clock.at.second + 7)
    page = get(door, f"/console/clients/{agent}").text
    assert "created a code at 12:00:00." in page
    assert "created a code at 12:00:07." in page


def test_an_audience_without_a_registered_api_is_not_counted_as_an_api() -> None:
    api = {"name": "authsec-api", "api": None, "following": True, "proved": False, "until": None, "seen_at": None}
    (line,) = at_apis({"apis": [api], "as_of": "2026-11-25T12:00:00+00:00"})
    assert line.startswith("A program without an API credential follows the revocation feed for the audience authsec")


def test_a_page_that_answers_a_form_says_so_to_its_script(door: TestClient) -> None:
    assert "data-answers-form" not in get(door, ONBOARD).html
    assert "data-answers-form" in get(door, ONBOARD).form(ONBOARD).send(name="").html


def test_missing_keys_are_asked_for_with_the_command_that_prints_them(door: TestClient) -> None:
    form = get(door, "/console/issuers/new?kind=kubernetes").form("/console/issuers/new")
    page = form.send(name="Prod", issuer="https://prod.example", keys_from="given", given_keys="")
    assert "No keys were pasted. Paste the output of kubectl get --raw /openid/v1/jwks" in page.text


def test_the_code_to_copy_has_no_gap(door: TestClient, opened: House) -> None:
    agent = opened.delegated_agent(audiences=("https://crm.example.com/mcp",))
    page = get(door, f"/console/clients/{agent.client_id}/connect")
    programs = [each for each in copied(page.html) if each.startswith("import ") and not each.startswith("import {")]
    assert len(programs) == 7  # of the frameworks, and of the MCP SDK for Python
    for program in programs:
        gaps = [each for each in ast.walk(ast.parse(program)) if isinstance(each, ast.Constant) and each.value is ...]
        assert gaps == [], program
    assert "The model never sees the token. Set OPENAI_API_KEY for the model." in page.text


def copied(html: str) -> list[str]:
    """The texts that the page's buttons copy."""
    return [unescape(each) for each in re.findall(r'data-copy="([^"]*)"', html)]


def test_activity_says_that_a_token_was_issued_without_a_proof(door: TestClient, opened: House) -> None:
    agent = opened.delegated_name()
    door.get(f"/authsec/uflow/sdk/delegation-token?client_id={agent}")
    assert "Issued Unattested" in get(door, "/console/activity?what=issued").text
