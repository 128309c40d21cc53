"""The delegation diagram: who delegates what to whom, and what stands in the picture for many delegations."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from authsec_server.console import dashboard, delegation_graph, picture
from databases import settings_for
from delegating import AUDIENCE, agent, delegate, make
from pages import Page, get
from starlette.testclient import TestClient

House = Any
API = "/authsec/api/v1"
DASHBOARD, PICTURE = "/console", "/console/picture"
MARKUP = "<script>alert(1)</script>\"'&"
GRANTS, SHARED = "customers:read, 1 hour", "authsec-api, shared audience"


def boxes(page: Page) -> dict[str, str]:
    """The boxes of the picture, by their names in full, and where each leads."""
    found = re.findall(r'href="([^"]*)" class="picture-box [^"]*"><title>(.*?)</title>', page.html)
    return {html.unescape(name): html.unescape(path) for path, name in found}


def test_every_box_of_the_picture_leads_to_a_picture_around_it(door: TestClient) -> None:
    make(door, "apis", name="Customer API", identifier=AUDIENCE)
    first = delegate(door, agent(door, "First"), owner="Ann & Bob", audiences=[AUDIENCE, "authsec-api"])
    delegate(door, agent(door, "Second"), owner="Cem", audiences=[])
    page = get(door, DASHBOARD)
    around = boxes(page)
    assert set(around) == {"Ann & Bob", "Cem", "Support", GRANTS, "First, Ready", "Second, Ready", AUDIENCE, SHARED}
    shared = {"Support", SHARED}
    for name in {"Ann & Bob", "First, Ready", AUDIENCE} | shared:
        shown = get(door, around[name])
        assert shown.status == 200, name
        assert {"Ann & Bob", "First, Ready"} <= set(boxes(shown)), name
        assert ("Second, Ready" in boxes(shown)) is (name in shared), name
        assert boxes(get(door, shown.links["Show all"])).keys() == around.keys()
    assert f"/console/delegations/{first}" in page.html
    assert "Owner: Ann & Bob ." in get(door, around["Ann & Bob"]).text
    assert get(door, around["First, Ready"]).links["Open client"] == "/console/clients/first"
    assert get(door, around["Support"]).links["Open role"] == "/console/roles/support"
    assert get(door, around[AUDIENCE]).links["Open API"] == "/console/apis/customer-api"
    assert "Audience without a registered API: authsec-api" in get(door, around[SHARED]).text
    assert boxes(get(door, f"{PICTURE}?api=customer-api")).keys() == boxes(get(door, around[AUDIENCE])).keys()


def test_a_box_has_the_state_that_other_trust_delegations_give(door: TestClient) -> None:
    """A picture of one API leaves out the delegation under which the agent gets its tokens."""
    other = "https://orders.example.com"
    both, one = agent(door, "Both"), agent(door, "One")
    delegate(door, both, actions=["customers:write"])
    for client in (both, one):
        delegate(door, client, actions=["customers:read"], audiences=[other])
    revision = door.get(f"{API}/roles/support").json()["revision"]
    changed = {"json": {"actions": ["customers:write"]}, "headers": {"If-Match": f'"{revision}"'}}
    assert door.patch(f"{API}/roles/support", **changed).status_code == 200
    assert {"Both, Ready", "One, No delegation"} <= boxes(get(door, f"{PICTURE}?api={quote(other)}")).keys()


def test_the_picture_is_told_in_words_as_well(door: TestClient) -> None:
    delegate(door, agent(door, "Open One", "unattested"), owner="Ann", all_actions=True, actions=[])
    told = get(door, DASHBOARD).text.partition("Delegation diagram as a table Owner Role Trust delegation Agent APIs ")[
        2
    ]
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
    told = page.text.partition("Delegation diagram as a table")[2]
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
    monkeypatch.setattr(picture, "AT_MOST", 3)
    for number in range(4):
        delegate(door, agent(door, f"Agent {number}"), audiences=[])
        opened.clock.at += timedelta(minutes=1)
    page = get(door, DASHBOARD)
    assert {"Agent 2, Ready", "Agent 3, Ready"} == {name for name in boxes(page) if name.startswith("Agent")}
    assert page.links["Newest 2 of 4: show more"] == PICTURE
    for path in (PICTURE, f"{PICTURE}?api=authsec-api", f"{PICTURE}?role=support"):
        page = get(door, path)
        assert "3 live trust delegations, the newest." in page.text, path
        assert "Agent 0, Ready" not in boxes(page), path
    found = get(door, f"{PICTURE}?find=agent+0")
    assert "Agent 0, Ready" in boxes(found)


def test_identical_delegations_are_one_box(door: TestClient) -> None:
    for number in range(5):
        delegate(door, agent(door, f"Agent {number}"), owner="Ann")
    delegate(door, agent(door, "Other"), owner="Ann", max_duration=900)
    delegate(
        door, agent(door, "Waiting", "kubernetes", selectors=[{"key": "k8s:ns", "value": "production"}]), owner="Ann"
    )
    page = get(door, PICTURE)
    assert set(boxes(page)) == {
        *("Ann", "Support", AUDIENCE),
        *("customers:read, 1 hour, 6 agents", "customers:read, 15 minutes"),
        *("5 agents, Ready", "Other, Ready", "Waiting, Can't authenticate"),
    }
    group = boxes(page)["5 agents, Ready"]
    assert boxes(page)["customers:read, 1 hour, 6 agents"] == group
    shown = get(door, group)
    agents = {f"Agent {number}, Ready" for number in range(5)} | {"Waiting, Can't authenticate"}
    assert {name for name in boxes(shown) if "Ready" in name or "Can't" in name} == agents
    assert "Identical trust delegations: customers:read, 1 hour . 6 live trust delegations." in shown.text
    assert shown.html.count('href="/console/delegations/') == 12  # a box and a row for each


def test_boxes_and_lines_say_which_paths_they_are_on(door: TestClient) -> None:
    delegate(door, agent(door, "First"), owner="Ann", audiences=[AUDIENCE, "authsec-api"])
    delegate(door, agent(door, "Second"), owner="Cem", audiences=["authsec-api"])
    drawn = get(door, PICTURE).html
    found = re.findall(r'<a data-ways="([\d ]*)" [^>]*><title>(.*?)</title>', drawn)
    on = {name: set(ways.split()) for ways, name in found}
    assert on["Support"] == {"0", "1", "2"} == on["Ann"] | on["Cem"]
    assert on["Ann"] == on["First, Ready"]
    assert on["Cem"] == on["Second, Ready"]
    assert on[AUDIENCE] < on["Ann"]
    assert on[SHARED] == {"0", "1", "2"} - on[AUDIENCE]
    lines = {frozenset(ways.split()) for ways in re.findall(r'class="picture-line" data-ways="([\d ]*)"', drawn)}
    assert {frozenset(on["Ann"]), frozenset(on["Cem"]), frozenset(on[AUDIENCE])} <= lines


def test_a_column_with_too_many_boxes_ends_in_their_number(door: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delegation_graph, "MOST", 3)
    monkeypatch.setattr(picture, "PAGE", 3)
    for number in range(5):
        delegate(door, agent(door, f"Agent {number}"), owner=f"Owner {number}")
    page = get(door, PICTURE)
    shown = boxes(page)
    assert shown["3 more owners"] == shown["3 more agents"] == shown["3 more trust delegations"] == "#table"
    assert len([name for name in shown if name.startswith("Owner")]) == 2
    rows = {name for name in page.links if name.startswith("Agent ")}
    page = get(door, page.links["Next page"].removesuffix("#table"))
    assert rows | {name for name in page.links if name.startswith("Agent ")} >= {f"Agent {n}" for n in range(5)}
    assert shown.keys() == boxes(page).keys()


def test_a_text_finds_owners_roles_actions_agents_and_apis(door: TestClient) -> None:
    delegate(door, agent(door, "First"), owner="Ann")
    delegate(door, agent(door, "Second"), owner="Cem", actions=["customers:write"], audiences=["authsec-api"])
    for text, names in {
        "ANN": {"First"},
        "supp": {"First", "Second"},
        "write": {"Second"},
        "second": {"Second"},
        "customers.example": {"First"},
        "nobody": set(),
    }.items():
        page = get(door, f"{PICTURE}?find={text}")
        assert {name.partition(",")[0] for name in boxes(page) if name.endswith("Ready")} == names, text
        assert ("Nothing matches" in page.text) is (not names)
    page = get(door, f"{PICTURE}?owner=Ann&find=second")
    assert "Nothing matches" in page.text
    assert page.links["Show all"] in {f"{PICTURE}?owner=Ann", PICTURE}


def test_what_an_address_says_is_not_said_again(door: TestClient) -> None:
    for kind in ("owner", "api"):
        page = get(door, f"{PICTURE}?{kind}=Your%20session%20ended")
        assert page.status == 200
        assert "Nothing is delegated here" in page.text
        assert "Your session ended" not in page.text
    for kind in ("role", "client"):
        assert get(door, f"{PICTURE}?{kind}=nobody").status == 404


@pytest.mark.sqlite_suffices  # test_wildcards_in_a_search.py searches on PostgreSQL
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


def test_addresses_of_one_host_are_told_apart(door: TestClient) -> None:
    ends = ("claims", "payments")
    delegate(door, agent(door, "First"), audiences=[f"https://gateway.insurance.example.com/{each}" for each in ends])
    page = get(door, PICTURE)
    for each in ends:
        assert re.search(rf"<span>[^<]+</span><span>[^<]?{each[-7:]}</span>", page.html)
    assert "Scroll sideways" in page.text
