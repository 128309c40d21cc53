"""The dashboard: figures, what needs attention, the steps to the first token, and the delegation diagram."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from authsec_server.console import dashboard
from authsec_server.delegations.model import UNUSED_FOR
from delegating import agent, delegate, make
from pages import get
from people import first_administrator, invited
from starlette.testclient import TestClient

House = Any
API = "/authsec/api/v1"
DASHBOARD = "/console"
PICTURE = "/console/picture"
FIRST_STEPS = "Steps to the first token"


def ask(door: TestClient, client_id: str, times: int = 1) -> None:
    for _ in range(times):
        door.get("/authsec/uflow/sdk/delegation-token", params={"client_id": client_id})


def matters(door: TestClient) -> dict[str, tuple[str, str]]:
    """What needs attention: each sentence with its tone and where it leads."""
    page = get(door, DASHBOARD)
    listed = page.html.partition("<h2>Needs attention</h2>")[2].partition("</ul>")[0]
    found = re.findall(r'<li class="(\w+)">.*?<a href="(.*?)">(.*?)</a>', listed, re.DOTALL)
    return {html.unescape(text): (tone, html.unescape(path)) for tone, path, text in found}


def test_an_empty_server_leads_to_the_first_token(door: TestClient) -> None:
    page = get(door, DASHBOARD)
    assert f"{FIRST_STEPS} Identity next step: Not registered" in page.text
    assert get(door, page.links["Onboard New Client"]).status == 200
    assert "Needs attention" not in page.text
    client = agent(door, "Open", "unattested")
    page = get(door, DASHBOARD)
    assert "Steps of Open to the first token" in page.text
    assert page.links["Open"] == f"/console/clients/{client}"
    assert "Onboard New Client" not in page.links
    assert get(door, page.links["Create trust delegation"]).status == 200
    delegate(door, client)
    assert "Next: get the first token" in get(door, DASHBOARD).text
    ask(door, client)
    assert "first token" not in get(door, DASHBOARD).text
    agent(door, "Later")
    assert "first token" not in get(door, DASHBOARD).text, "the page of the client has its steps"


def test_the_steps_are_those_of_the_newest_agent_with_its_buttons(opened: House, door: TestClient) -> None:
    agent(door)
    opened.clock.at += timedelta(minutes=1)
    client = agent(door, "Pod", "kubernetes", selectors=[{"key": "k8s:ns", "value": "a"}])
    page = get(door, DASHBOARD)
    assert page.text.count("No trusted issuer can prove these selectors yet.") == 1
    assert page.form(f"/console/clients/{client}/enrol").send().status == 200


def test_a_viewer_is_not_offered_what_a_viewer_may_not_do(house: Callable[..., House]) -> None:
    its = house()
    vic = invited(its, first_administrator(its), "viewer")
    page = get(vic, DASHBOARD)
    assert FIRST_STEPS in page.text
    assert not {"Onboard New Client", "Create trust delegation"} & set(page.links)


def test_figures_lead_to_what_they_count(opened: House, door: TestClient) -> None:
    for name in ("One", "Two"):
        delegate(door, agent(door, name, "unattested"))
    delegate(door, "one", actions=["customers:write"], description="a third")
    ask(door, door.get(f"{API}/clients/one").json()["client_id"], 3)
    ask(door, "00000000-0000-4000-8000-000000000000")
    opened.clock.at += timedelta(minutes=1)
    page = get(door, DASHBOARD)
    figures = re.findall(r'<a class="figure" href="(.*?)"><b>(.*?)</b><span>(.*?)</span></a>', page.html, re.DOTALL)
    assert [its[1:] for its in figures] == [
        ("2", "clients"),
        ("3", "live trust delegations"),
        ("3", "tokens issued in 24 hours"),
        ("1", "tokens refused in 24 hours"),
    ]
    for path, _, _ in figures:
        assert get(door, path).status == 200
    opened.clock.at += timedelta(days=2)
    assert "<b>0</b><span>tokens issued in 24 hours" in get(door, DASHBOARD).html


def test_tokens_by_the_hour_are_drawn_and_told(opened: House, door: TestClient) -> None:
    client = agent(door, platform="unattested")
    delegate(door, client)
    ask(door, client, 2)
    opened.clock.at += timedelta(hours=3)
    page = get(door, DASHBOARD)
    assert "<title>2026-11-25 12:00 UTC: 2 issued, 0 refused</title>" in page.html
    told = page.text.partition("As a table")[2]
    assert told.startswith(" From (UTC) Issued Refused 2026-11-25 12:00 2 0")


def test_refusals_by_reason_lead_to_the_events(opened: House, door: TestClient) -> None:
    assert "Refusals by reason, 24 hours None." in get(door, DASHBOARD).text
    ask(door, agent(door, platform="unattested"), 2)
    ask(door, "00000000-0000-4000-8000-000000000000")
    opened.clock.at += timedelta(minutes=1)
    page = get(door, DASHBOARD)
    told = page.text.partition("Refusals by reason in the last 24 hours ")[2]
    assert told.startswith("no_delegation 2 client_not_found 1")
    events = get(door, page.links["client_not_found"])
    assert events.html.count("<tr data-event=") == 1


def test_nothing_needs_attention_where_all_is_well(door: TestClient) -> None:
    delegate(door, agent(door))
    assert matters(door) == {}


def test_a_audit_log_that_nobody_seals_needs_attention(opened: House, door: TestClient) -> None:
    text = "New events of the audit log are not sealed"
    opened.clock.at += timedelta(minutes=9)
    assert text not in matters(door)
    opened.clock.at += timedelta(minutes=2)
    assert matters(door)[text] == ("bad", "/console/activity")
    assert "Run uv run authsec audit verify on the server's machine." in get(door, DASHBOARD).text
    while opened.authority.dropper.sealer.seal():
        pass
    assert text not in matters(door)
    assert door.get("/authsec/api/v1/events/checkpoint").json()["overdue"] is False
    make(door, "roles", name="Later", actions=["tickets:close"])
    opened.clock.at += timedelta(minutes=11)
    assert door.get("/authsec/api/v1/events/checkpoint").json()["overdue"] is True


def test_unattested_agents_need_attention(door: TestClient) -> None:
    agent(door, "Open One", "unattested")
    assert matters(door) == {
        "1 client: Unattested": ("bad", "/console/clients?status=enabled&warning=unattested"),
        "1 client: No delegation": ("warn", "/console/clients?state=undelegated"),
    }
    agent(door, "Open Two", "unattested")
    (path,) = [path for text, (_, path) in matters(door).items() if text == "2 clients: Unattested"]
    agent(door)
    listed = get(door, path).text
    assert "Open One" in listed
    assert "Open Two" in listed
    assert "Night Owl" not in listed
    assert door.post(f"{API}/clients/open-one/disable").status_code == 200
    assert "1 client: Unattested" in matters(door)
    assert "Open One" not in get(door, path).text


def test_agents_that_cannot_prove_themselves_need_attention(door: TestClient) -> None:
    agent(door, "In a pod", "kubernetes", selectors=[{"key": "k8s:ns", "value": "production"}])
    path = "/console/clients?state=unproved"
    assert matters(door) == {"1 client: Can't authenticate": ("warn", path)}
    assert "In a pod" in get(door, path).text


def test_a_client_that_is_refused_again_and_again_needs_attention(opened: House, door: TestClient) -> None:
    delegate(door, agent(door, "Lost"))
    client = door.get(f"{API}/clients/lost").json()["client_id"]
    ask(door, client, dashboard.REPEATED - 1)
    opened.clock.at += timedelta(minutes=1)
    assert matters(door) == {}
    ask(door, client)
    opened.clock.at += timedelta(minutes=1)
    assert matters(door) == {
        "Lost was refused 10 times in a day: attestation_required": ("warn", "/console/clients/lost")
    }


def test_deleted_clients_that_were_refused_more_often_displace_nobody(opened: House, door: TestClient) -> None:
    for name in ("Gone One", "Gone Two", "Gone Three", "Gone Four", "Lost"):
        delegate(door, agent(door, name))
        client = door.get(f"{API}/clients/{name.lower().replace(' ', '-')}").json()["client_id"]
        ask(door, client, dashboard.REPEATED + ("Gone" in name))
        if "Gone" in name:
            assert door.delete(f"{API}/clients/{name.lower().replace(' ', '-')}").status_code == 200
    opened.clock.at += timedelta(minutes=1)
    assert "Lost was refused 10 times in a day: attestation_required" in matters(door)


def test_delegations_that_end_soon_need_attention(opened: House, door: TestClient) -> None:
    client = agent(door)
    for days in (6, 8):
        ends_at = (opened.clock.at + timedelta(days=days)).isoformat()
        delegate(door, client, ends_at=ends_at, description=f"{days} days")
    (found,) = matters(door).items()
    assert found == (
        "1 trust delegation will end within 7 days",
        ("warn", "/console/delegations?sort=ends&state=live"),
    )
    assert "The first: Support → Night Owl" in get(door, DASHBOARD).text
    assert get(door, found[1][1]).status == 200


def test_the_shared_audience_needs_attention_and_its_picture_shows_who_uses_it(door: TestClient) -> None:
    delegate(door, agent(door, "By default"), audiences=[])
    delegate(door, agent(door, "By name"), audiences=["authsec-api"])
    delegate(door, agent(door, "Apart"))
    (found,) = matters(door).items()
    assert found == (
        "2 live trust delegations for the shared audience authsec-api",
        ("warn", f"{PICTURE}?api=authsec-api"),
    )
    shown = get(door, found[1][1]).html
    assert "By default, Ready" in shown
    assert "By name, Ready" in shown
    assert "Apart, Ready" not in shown


def test_the_shared_audience_leads_to_where_an_api_is_named(door: TestClient) -> None:
    made = delegate(door, agent(door, "By default"), audiences=[])
    way = get(door, DASHBOARD).links["Name the API"]
    assert way == f"/console/delegations/{made}/edit#field-audiences"
    assert 'id="field-audiences"' in get(door, way.partition("#")[0]).html
    delegate(door, agent(door, "By name"), audiences=["authsec-api"])
    assert "Name the API of the newest" in get(door, DASHBOARD).links


def test_delegations_that_nobody_uses_need_attention(opened: House, door: TestClient) -> None:
    client = agent(door, platform="unattested")
    delegate(door, client)
    opened.clock.at += UNUSED_FOR
    make(door, "roles", name="Unused", actions=["tickets:close"])
    assert not [text for text in matters(door) if "never used" in text]
    opened.clock.at += timedelta(minutes=1)
    path = matters(door)["1 trust delegation older than 30 days and never used"][1]
    assert path == "/console/delegations?sort=oldest&state=unused"
    ask(door, client)
    opened.clock.at += timedelta(minutes=1)
    assert not [text for text in matters(door) if "never used" in text]
