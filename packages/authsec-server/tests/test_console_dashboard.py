"""The dashboard: figures, what needs attention, the steps to the first token, and the delegation diagram."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from authsec.jose import PrivateKey
from authsec_server.console import dashboard
from authsec_server.delegations.model import UNUSED_FOR
from databases import settings_for
from pages import Page, get
from people import first_administrator, invited
from starlette.testclient import TestClient

House = Any
API = "/authsec/api/v1"
DASHBOARD = "/console"
PICTURE = "/console/picture"
MARKUP = "<script>alert(1)</script>\"'&"
AUDIENCE = "https://customers.example.com"
GRANTS, SHARED = "customers:read, 1 hour", "authsec-api, shared audience"
FIRST_STEPS = "Steps to the first token"


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


def agent(door: TestClient, name: str = "Night Owl", platform: str = "key", **what: Any) -> str:
    """An agent, by default one that proves itself by a key pair: its client_id."""
    if platform == "key":
        what["public_key"] = PrivateKey.generate_ed25519().public.to_pem().decode()
    client_id: str = make(door, "clients", name=name, platform=platform, **what)["client_id"]
    return client_id


def delegate(door: TestClient, client: str, **what: Any) -> str:
    """A delegation that nothing is to be said about, unless `what` gives a reason: its id."""
    if door.get(f"{API}/roles/support").status_code == 404:
        make(door, "roles", name="Support", actions=["customers:read", "customers:write"])
    asked = {"target_type": "AutoGen AI agent", "actions": ["customers:read"], "max_duration": 3600}
    asked |= {"role": "support", "audiences": [AUDIENCE]} | what
    delegation_id: str = make(door, "delegations", client=client, **asked)["id"]
    return delegation_id


def ask(door: TestClient, client_id: str, times: int = 1) -> None:
    for _ in range(times):
        door.get("/authsec/uflow/sdk/delegation-token", params={"client_id": client_id})


def matters(door: TestClient) -> dict[str, tuple[str, str]]:
    """What needs attention: each sentence with its tone and where it leads."""
    page = get(door, DASHBOARD)
    listed = page.html.partition("<h2>Needs attention</h2>")[2].partition("</ul>")[0]
    found = re.findall(r'<li class="(\w+)">.*?<a href="(.*?)">(.*?)</a>', listed, re.DOTALL)
    return {html.unescape(text): (tone, html.unescape(path)) for tone, path, text in found}


def boxes(page: Page) -> dict[str, str]:
    """The boxes of the picture, by their names in full, and where each leads."""
    found = re.findall(r'<a href="([^"]*)" class="picture-box [^"]*"><title>(.*?)</title>', page.html)
    return {html.unescape(name): html.unescape(path) for path, name in found}


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
    assert "<title>2026-11-25 12:00: 2 issued, 0 refused</title>" in page.html
    told = page.text.partition("As a table")[2]
    assert told.startswith(" From Issued Refused 2026-11-25 12:00 2 0")


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
    while opened.authority.dropper.sealer.seal():
        pass
    assert text not in matters(door)
    assert door.get("/authsec/api/v1/events/checkpoint").json()["overdue"] is False
    make(door, "roles", name="Later", actions=["tickets:close"])
    opened.clock.at += timedelta(minutes=11)
    assert door.get("/authsec/api/v1/events/checkpoint").json()["overdue"] is True


def test_unattested_agents_need_attention(door: TestClient) -> None:
    agent(door, "Open One", "unattested")
    assert matters(door) == {"1 client: Unattested": ("bad", "/console/clients?status=enabled&warning=unattested")}
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
    shown = boxes(get(door, found[1][1]))
    assert {"By default, Ready", "By name, Ready"} <= set(shown)
    assert "Apart, Ready" not in shown


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


def test_every_box_of_the_picture_leads_to_a_picture_around_it(door: TestClient) -> None:
    make(door, "apis", name="Customer API", identifier=AUDIENCE)
    first = delegate(door, agent(door, "First"), owner="Ann & Bob", audiences=[AUDIENCE, "authsec-api"])
    delegate(door, agent(door, "Second"), owner="Cem", audiences=[])
    page = get(door, DASHBOARD)
    around = boxes(page)
    assert set(around) == {"Ann & Bob", "Cem", "Support", GRANTS, "First, Ready", "Second, Ready", AUDIENCE, SHARED}
    shared = {"Support", SHARED}
    for name in {"Ann & Bob", "First, Ready", AUDIENCE} | shared:
        picture = get(door, around[name])
        assert picture.status == 200, name
        assert {"Ann & Bob", "First, Ready"} <= set(boxes(picture)), name
        assert ("Second, Ready" in boxes(picture)) is (name in shared), name
        assert boxes(get(door, picture.links["Show all"])).keys() == around.keys()
    assert f"/console/delegations/{first}" in page.html
    assert "Owner: Ann & Bob ." in get(door, around["Ann & Bob"]).text
    assert get(door, around["First, Ready"]).links["Open client"] == "/console/clients/first"
    assert get(door, around["Support"]).links["Open role"] == "/console/roles/support"
    assert get(door, around[AUDIENCE]).links["Open API"] == "/console/apis/customer-api"
    assert "an audience without a registered API" in get(door, around[SHARED]).text
    assert boxes(get(door, f"{PICTURE}?api=customer-api")).keys() == boxes(get(door, around[AUDIENCE])).keys()


def test_the_picture_is_told_in_words_as_well(door: TestClient) -> None:
    delegate(door, agent(door, "Open One", "unattested"), owner="Ann", all_actions=True, actions=[])
    told = get(door, DASHBOARD).text.partition("Picture as a table Owner Role Trust delegation Agent APIs ")[2]
    assert told.startswith(
        f"Ann Support customers:read, customers:write 1 hour at most Open One Ready Unattested {AUDIENCE}"
    )


def test_the_picture_marks_who_gets_no_token(door: TestClient) -> None:
    """A live delegation alone gives nothing: its agent must be enabled, and able to authenticate."""
    selectors = [{"key": "k8s:ns", "value": "production"}]
    delegate(door, agent(door, "Able"), max_duration=5400)
    delegate(door, agent(door, "In a pod", "kubernetes", selectors=selectors))
    delegate(door, agent(door, "For All", "unattested"))
    delegate(door, agent(door, "Off", "unattested"))
    assert door.post(f"{API}/clients/off/disable").status_code == 200
    page = get(door, PICTURE)
    drawn = {title: tone for tone, title in re.findall(r'class="picture-box (\w*)"><title>(.*?)</title>', page.html)}
    assert {
        "Able, Ready": "good",
        "In a pod, Can&#39;t authenticate": "warn",
        "For All, Ready, Unattested": "bad",
        "Off, Disabled, Unattested": "quiet",
        "customers:read, 1 hour 30 minutes": "",
    }.items() <= drawn.items()
    told = page.text.partition("Picture as a table")[2]
    for name, mark in (
        ("In a pod", "Can't authenticate"),
        ("For All", "Ready Unattested"),
        ("Off", "Disabled Unattested"),
    ):
        assert f"{name} {mark}" in told, name


def test_only_what_lives_is_in_the_picture(door: TestClient) -> None:
    kept, disabled, revoked = (delegate(door, agent(door, name)) for name in ("Kept", "Disabled", "Revoked"))
    assert door.post(f"{API}/delegations/{disabled}/disable").status_code == 200
    assert door.post(f"{API}/delegations/{revoked}/revoke").status_code == 200
    page = get(door, PICTURE)
    assert f"/console/delegations/{kept}" in page.html
    assert not {"Disabled", "Revoked"} & set(boxes(page))


def test_a_large_picture_shows_the_newest_and_says_so(
    opened: House, door: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dashboard, "IN_THE_PICTURE", 2)
    monkeypatch.setattr(dashboard, "IN_ITS_OWN_PICTURE", 3)
    for number in range(4):
        delegate(door, agent(door, f"Agent {number}"), audiences=[])
        opened.clock.at += timedelta(minutes=1)
    page = get(door, DASHBOARD)
    assert {"Agent 2, Ready", "Agent 3, Ready"} == {name for name in boxes(page) if name.startswith("Agent")}
    assert page.links["Newest 2 of 4: show more"] == PICTURE
    for path in (PICTURE, f"{PICTURE}?api=authsec-api", f"{PICTURE}?role=support"):
        picture = get(door, path)
        assert "the newest 3." in picture.text, path
        assert "Agent 0, Ready" not in boxes(picture), path


def test_what_an_address_says_is_not_said_again(door: TestClient) -> None:
    for kind in ("owner", "api"):
        page = get(door, f"{PICTURE}?{kind}=Your%20session%20ended")
        assert page.status == 200
        assert "Nothing is delegated here" in page.text
        assert "Your session ended" not in page.text
    for kind in ("role", "client"):
        assert get(door, f"{PICTURE}?{kind}=nobody").status == 404


def test_odd_characters_are_looked_for_as_they_are(
    house: Callable[..., House], database_url: str, tmp_path: Path
) -> None:
    door = house(local_operator=True, **settings_for(database_url, tmp_path)).door()
    delegate(door, agent(door, "Plain"), owner=MARKUP)
    for text in ("\0", "%", "_", "\\", "'", "\N{SNOWMAN}", "x" * 4000):
        for kind in ("owner", "api"):
            page = get(door, f"{PICTURE}?{kind}={quote(text)}")
            assert (page.status, "Plain" in boxes(page)) == (200, False), (kind, text[:4])
        for kind in ("role", "client"):
            assert get(door, f"{PICTURE}?{kind}={quote(text)}").status == 404, (kind, text[:4])
    page = get(door, f"{PICTURE}?owner={quote(MARKUP)}")
    assert boxes(page)[MARKUP] == f"{PICTURE}?owner={quote(MARKUP, safe='')}".replace("%20", "+")
    assert "<script>alert" not in page.html
