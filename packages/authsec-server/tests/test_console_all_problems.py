"""A refused form shows the problems of all its fields at once, each with a link to its field."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pages import Page, get, selector_rows
from starlette.testclient import TestClient

House = Any
API = "/authsec/api/v1"
UNSEEN = "Pay\u202eroll"  # has a character that turns the text round
PAST = "2020-01-31T18:00"
NEW = "/console/delegations/new"


def summary(page: Page) -> list[str]:
    """The fields to which the summary leads, in its order. Each has its message beside it."""
    (alert,) = re.findall(r'<div class="alert bad" role="alert" tabindex="-1" id="problem">.*?</ul>', page.html, re.S)
    fields = re.findall(r'<a href="#(field-[^"]+)">', alert)
    assert f"{len(fields)} problems" in alert
    for field in fields:
        assert page.html.count(f'id="{field}"') == 1, field
    return [field.removeprefix("field-") for field in fields]


def test_a_role(door: TestClient, opened: House) -> None:
    typed = {"name": UNSEEN, "slug": "Not One", "other_actions": "payroll\nmoney"}
    page = get(door, "/console/roles/new").form("/console/roles/new").send(**typed)
    assert page.status == 400
    assert summary(page) == ["name", "slug", "other_actions"]
    assert "Line 1:" in page.text
    assert "Line 2:" in page.text
    assert all(each.event.kind != "role.created" for each in opened.events())


def test_a_taken_name_and_a_wrong_action(door: TestClient) -> None:
    door.post(f"{API}/roles", json={"name": "Paying", "actions": ["payroll:read"]})
    page = get(door, "/console/roles/new").form("/console/roles/new").send(name="Paying", other_actions="payroll")
    assert summary(page) == ["name", "other_actions"]
    assert "Open Paying" in page.text


def test_an_edited_role(door: TestClient) -> None:
    door.post(f"{API}/roles", json={"name": "Paying", "actions": ["payroll:read"]})
    page = get(door, "/console/roles/paying/edit").form().send(name="", other_actions="payroll")
    assert summary(page) == ["name", "other_actions"]


def test_an_api(door: TestClient) -> None:
    rows = {"action": ["payroll", "a:b", "a:b"], "action_description": ["", "", "Twice"]}
    typed = {"name": "", "identifier": "not an audience", "slug": "Not One"}
    page = get(door, "/console/apis/new").form("/console/apis/new").send(**typed, **rows)
    rows_wrong = ["actions.0.action", "actions.0.description", "actions.1.description"]
    assert summary(page) == ["name", "identifier", "slug", *rows_wrong]


def test_a_taken_name_and_a_taken_audience_of_an_api(door: TestClient) -> None:
    door.post(f"{API}/apis", json={"name": "CRM", "identifier": "https://crm.example.com"})
    typed = {"name": "CRM", "identifier": "https://crm.example.com"}
    page = get(door, "/console/apis/new").form("/console/apis/new").send(**typed)
    assert page.status == 409
    assert summary(page) == ["name", "identifier"]


def test_a_client(door: TestClient, opened: House) -> None:
    rows = selector_rows("kubernetes", ("k8s:ns", "Production"), ("k8s:sa", "support"), ("k8s:sa", ""))
    typed = {"name": UNSEEN, "platform": "kubernetes", "slug": "Not One", "labels": "team"}
    page = get(door, "/console/clients/onboard").form("/console/clients/onboard").send(**typed, **rows)
    assert summary(page) == ["name", "selectors.0", "selectors.2", "slug", "labels"]
    assert '<details class="more" open>' in page.html.partition("Optional details")[0][-200:]
    assert all(each.event.kind != "client.created" for each in opened.events())


def test_a_client_without_a_platform_whose_name_is_taken(door: TestClient) -> None:
    door.post(f"{API}/clients", json={"name": "Payer", "platform": "unattested"})
    page = get(door, "/console/clients/onboard").form("/console/clients/onboard").send(name="Payer")
    assert summary(page) == ["name", "platform"]


def test_a_client_with_a_wrong_key(door: TestClient) -> None:
    typed = {"name": "", "platform": "key", "public_key": "no key"}
    page = get(door, "/console/clients/onboard").form("/console/clients/onboard").send(**typed)
    assert summary(page) == ["name", "public_key"]


@pytest.mark.parametrize("kind", ["kubernetes", "oidc"])
def test_a_trusted_issuer(door: TestClient, kind: str) -> None:
    typed = {"name": "", "issuer": "nowhere", "keys_from": "given", "given_keys": "no keys", "audience": " " * 3 + "\n"}
    page = get(door, f"/console/issuers/new?kind={kind}").form("/console/issuers/new").send(**typed)
    assert summary(page) == ["name", "issuer", "given_keys", *(["claims"] if kind == "oidc" else [])]


def test_a_new_delegation(door: TestClient, opened: House) -> None:
    typed = {"amount": "99999", "ends_at": PAST, "owner": UNSEEN}
    page = get(door, NEW).form(NEW).send(**typed)
    assert summary(page) == ["role", "client", "amount", "ends_at", "owner"]
    opened.delegated_agent()
    its = door.get(f"{API}/delegations").json()["items"][0]
    chosen = {"role": its["role"]["slug"], "client": its["client"]["id"]}
    page = get(door, f"{NEW}?role={chosen['role']}&client={chosen['client']}").form(NEW).send(amount="x", ends_at="y")
    assert summary(page) == ["actions", "amount", "ends_at"]


def test_an_edited_delegation(door: TestClient, opened: House) -> None:
    opened.delegated_agent()
    its = door.get(f"{API}/delegations").json()["items"][0]
    form = get(door, f"/console/delegations/{its['id']}/edit").form()
    assert summary(form.send(actions=[], amount="x", owner="")) == ["actions", "amount", "owner"]
