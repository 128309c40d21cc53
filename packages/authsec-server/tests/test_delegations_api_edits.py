"""Editing trust delegations over HTTP: in parts, by slug, with what it stops said before; filtered lists of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authsec_server.revocations import service as revocations
from databases import settings_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

pytestmark = pytest.mark.sqlite_suffices

API = "/authsec/api/v1"
PATH = f"{API}/delegations"
TOKENS = "/authsec/uflow/sdk/delegation-token"
House = Any


@pytest.fixture
def its(house: Callable[..., House], database_url: str, tmp_path: Path) -> House:
    """An authority on each database, as its operator has it before them."""
    return house(local_operator=True, **settings_for(database_url, tmp_path))


def edit(door: TestClient, where: str, tag: str = "*", query: str = "", **what: Any) -> Any:
    return door.patch(f"{PATH}/{where}{query}", json=what, headers={"If-Match": tag})


def endings(its: House) -> list[str]:
    """What has ended, in order."""
    return [each.subject_id for each in its.authority.database.read(lambda tx: revocations.since(tx, 0))]


def test_what_narrowing_stops_is_said_before_and_is_so(its: House) -> None:
    door = its.door()
    agent = its.delegated_name("Helper", actions=("customers:delete", "customers:read"))
    (slug,) = [each["slug"] for each in door.get(PATH).json()["items"]]
    for _ in range(2):
        token = door.get(TOKENS, params={"client_id": agent}).json()
    before = door.get(f"{PATH}/{slug}")
    told = edit(door, slug, before.headers["ETag"], "?dry_run=1", actions=["customers:read"]).json()
    assert (endings(its), door.get(f"{PATH}/{slug}").json()) == ([], before.json())
    stops = told["would_stop"]
    assert stops["agents"] == [{"client_id": agent, "name": "Helper", "goes_on": True}]
    assert (stops["live_tokens"], stops["until"]) == (2, token["expires_at"])
    assert told["would_change"][0]["detail"]["after"] == {"actions": ["customers:read"]}
    narrowed = edit(door, slug, before.headers["ETag"], actions=["customers:read"])
    assert (narrowed.status_code, narrowed.headers["ETag"][:2]) == (200, '"2')
    changed = {name for name, value in narrowed.json().items() if value != before.json()[name]}
    assert changed == {"actions", "revision", "changed_at", "changed_by", "warnings"}
    assert told["would_answer"] == narrowed.json()
    assert endings(its) == [narrowed.json()["id"]]
    wider = edit(door, slug, '"2"', "?dry_run=1", max_duration=7200)
    assert (wider.status_code, wider.json()["would_stop"]) == (200, None)
    again = edit(door, slug, '"1"', description="Mine")
    assert (again.status_code, again.json()["changed_fields"]) == (412, ["actions"])


def test_an_edit_warns_of_an_added_audience_that_no_api_has(its: House) -> None:
    door = its.door()
    its.delegated_name("Helper", actions=("customers:read",))
    (slug,) = [each["slug"] for each in door.get(PATH).json()["items"]]

    def warned(**what: Any) -> list[str]:
        warnings = edit(door, slug, **what).json()["warnings"]
        return [each["message"] for each in warnings if each["code"] == "audience_misspelt"]

    early = warned(audiences=["https://crm.example", "crm", "mail"])
    assert early == ["No API is registered yet, and crm, mail are not URLs."]
    door.post(f"{API}/apis", json={"name": "CRM", "identifier": "https://crm.example"})
    assert warned(audiences=[]) == warned(audiences=["crm"]) == []
    assert warned(audiences=["crm", "crn"]) == ["There is no API crn; the nearest is crm."]
    assert warned(audiences=["https://crm.example", "crn"], description="Mine") == []


def test_each_member_means_what_it_says(its: House) -> None:
    door = its.door()
    its.delegated_name("Helper")
    slug = door.get(PATH).json()["items"][0]["slug"]
    ends = edit(door, slug, ends_at="2099-01-01T00:00:00Z", audiences=["payments"], excluded_proofs=["secret"]).json()
    assert (ends["ends_at"], ends["audiences"]) == ("2099-01-01T00:00:00Z", ["payments"])
    assert ends["excluded_proofs"] == ["secret"]
    later = edit(door, slug, ends_at=None, all_actions=True, slug="nightly").json()
    assert (later["ends_at"], later["actions"]) == (None, ["customers:delete", "customers:read"])
    assert (later["slug"], later["audiences"]) == ("nightly", ["payments"])
    assert edit(door, "nightly", all_actions=False).json()["actions"] == later["actions"]
    for body, field in (
        ({"all_actions": True, "actions": ["customers:read"]}, "actions"),
        ({"actions": []}, "actions"),
        ({"actions": ["customers:lose"]}, "actions.0"),
        ({"ends_at": "tomorrow"}, "ends_at"),
        ({"ends_at": "2020-01-01T00:00:00Z"}, "ends_at"),
        ({"max_duration": 1}, "max_duration"),
        ({"slug": "No Slug"}, "slug"),
        ({"slug": None}, "slug"),
        ({"role": "other"}, "role"),
        ({"revision": 1}, "revision"),
    ):
        refused = edit(door, "nightly", **body)
        assert (refused.status_code, refused.json()["field"]) == (400, field), body
    door.post(f"{PATH}/nightly/revoke").raise_for_status()
    over = edit(door, "nightly", description="Late")
    assert (over.status_code, "cannot be undone" in over.json()["error"]) == (409, True)
    assert door.delete(f"{PATH}/nightly").status_code == 405


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "max_duration": st.sampled_from([60, 3600]),
            "actions": st.sampled_from([["customers:read"], ["customers:delete", "customers:read"]]),
            "audiences": st.sampled_from([[], ["payments"]]),
            "ends_at": st.sampled_from([None, "2099-01-01T00:00:00Z"]),
            "owner": st.sampled_from(["Ann", "Team"]),
            "target_type": st.sampled_from(["CrewAI AI agent", "Other AI agent"]),
        },
    )
)
def test_what_is_left_out_always_stays(admin: TestClient, changes: dict[str, Any]) -> None:
    where = "helper-support"
    if admin.get(f"{PATH}/{where}").status_code == 404:
        role = {"name": "Support", "actions": ["customers:delete", "customers:read"]}
        admin.post(f"{API}/roles", json=role).raise_for_status()
        admin.post(f"{API}/clients", json={"name": "Helper", "platform": "unattested"}).raise_for_status()
        asked = {"role": "support", "client": "helper", "target_type": "MCP server", "max_duration": 600}
        admin.post(PATH, json=asked | {"all_actions": True}).raise_for_status()
    before = admin.get(f"{PATH}/{where}")
    after = edit(admin, where, before.headers["ETag"], **changes).json()
    counted = {"revision", "changed_at", "changed_by", "warnings"}
    assert {**before.json(), **changes} == {**after, **{name: before.json()[name] for name in counted}}


def test_a_slug_is_given_to_whoever_comes_after_what_is_over(its: House) -> None:
    door, agent = its.door(), its.delegated_name("Helper")
    first = door.get(PATH).json()["items"][0]
    asked = {"role": first["role"]["slug"], "client": agent, "target_type": "Other AI agent", "max_duration": 60}
    asked |= {"actions": ["customers:read"], "slug": first["slug"]}
    refused = door.post(PATH, json=asked)
    assert (refused.status_code, refused.json()["field"]) == (409, "slug")
    assert first["id"] in refused.json()["error"]
    door.post(f"{PATH}/{first['slug']}/revoke").raise_for_status()
    foreseen = door.post(f"{PATH}?dry_run=1", json=asked).json()
    assert [each["kind"] for each in foreseen["would_change"]] == ["delegation.edited", "delegation.created"]
    assert door.get(f"{PATH}/{first['slug']}").json()["id"] == first["id"]
    second = door.post(PATH, json=asked).json()
    assert door.get(f"{PATH}/{first['slug']}").json()["id"] == second["id"]
    assert door.get(f"{PATH}/{first['id']}").json()["slug"] is None


def test_lists_are_filtered(its: House) -> None:
    door = its.door()
    for name, what in (("Alpha", {"audiences": ("payments",)}), ("Beta", {"target_type": "MCP server"}), ("Gamma", {})):
        its.delegated_name(name, **what)
    listed = {each["client"]["name"][0]: each for each in door.get(PATH).json()["items"]}
    door.post(f"{PATH}/{listed['G']['slug']}/revoke").raise_for_status()
    edit(door, listed["A"]["slug"], slug="nightly", owner="Ann", ends_at="2099-01-01T00:00:00Z")

    def names(**query: str) -> str:
        answer = door.get(PATH, params=query)
        assert answer.status_code == 200, answer.text
        return "".join(each["client"]["name"][0] for each in answer.json()["items"])

    for query, found in (
        ({"state": "revoked"}, "G"),
        ({"client": "alpha"}, "A"),
        ({"client": listed["B"]["client"]["id"], "state": "live"}, "B"),
        ({"role": listed["G"]["role"]["slug"]}, "G"),
        ({"text": "NIGHT"}, "A"),
        ({"text": "\0"}, ""),
        ({"target_type": "MCP server"}, "B"),
        ({"audience": "payments"}, "A"),
        ({"owner": "Ann"}, "A"),
        ({"sort": "ends", "state": "live"}, "AB"),
    ):
        assert names(**query) == found, query
    for query in ({"state": "off"}, {"client": "nobody"}, {"role": "nobody"}, {"sort": "name"}, {"cursor": "x"}):
        refused = door.get(PATH, params=query)
        assert (refused.status_code, refused.json()["field"]) == (400, next(iter(query))), query
