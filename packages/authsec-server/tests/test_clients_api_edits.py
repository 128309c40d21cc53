"""Editing, deleting and listing clients over HTTP, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from databases import settings_for
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

pytestmark = pytest.mark.sqlite_suffices

API = "/authsec/api/v1"
TOKENS = "/authsec/uflow/sdk/delegation-token"
POD = {"platform": "kubernetes", "selectors": [{"key": "k8s:ns", "value": "production"}]}
CLUSTER = {"name": "Prod", "kind": "oidc", "issuer": "https://ci.example.com", "keys_from": "discovery"}
House = Any


@pytest.fixture
def placed(database_url: str, tmp_path: Path) -> dict[str, Any]:
    """Settings for each database."""
    return settings_for(database_url, tmp_path)


@pytest.fixture
def its(house: Callable[..., House], placed: dict[str, Any]) -> House:
    """An authority on each database, as its operator has it before them."""
    return house(local_operator=True, **placed)


@pytest.fixture
def operator(house: Callable[..., House], its: House, placed: dict[str, Any]) -> TestClient:
    """Somebody else, who comes with an admin key."""
    key = its.door().post(f"{API}/admin-keys", json={"name": "Bob's key", "role": "operator"}).json()["key"]
    door: TestClient = house(**placed).door(Authorization=f"Bearer {key}")
    return door


def make(door: TestClient, name: str = "Helper", **what: Any) -> Any:
    answer = door.post(f"{API}/clients", json={"name": name, "platform": "unattested", **what})
    assert (answer.status_code, answer.headers["ETag"][:2]) == (201, '"1'), answer.text
    return answer.json()


def edit(door: TestClient, tag: str, where: str = "helper", **what: Any) -> Any:
    return door.patch(f"{API}/clients/{where}", json=what, headers={"If-Match": tag})


def test_whoever_edits_what_others_changed_is_told_who_and_what(its: House, operator: TestClient) -> None:
    door = its.door()
    made = make(door, labels={"team": "crm"})
    edited = edit(operator, '"1"', owner="Team", description="Ours").json()
    differing = {name for name in made if made[name] != edited[name]}
    assert differing == {"owner", "description", "revision", "changed_at", "changed_by"}
    late = edit(door, '"1"', made["client_id"], slug="desk")
    told = late.json()
    assert (late.status_code, told["reason"], late.headers["ETag"][:2]) == (412, "outdated", '"2')
    assert (told["changed_by"], told["changed_fields"]) == ("Bob's key", ["description", "owner"])
    assert edit(door, '"2"', slug="desk").json()["slug"] == "desk"
    assert door.get(f"{API}/clients/helper").status_code == 404
    assert door.patch(f"{API}/clients/desk", json={"slug": "x"}).status_code == 428
    make(door, "Other")
    taken = edit(door, "*", "desk", slug="other")
    assert (taken.status_code, taken.json()["field"]) == (409, "slug")
    for body, field in (
        ({"labels": {"": "x"}}, "labels"),
        ({"kind": "mcp_server"}, "kind"),
        ({"owner": None}, "owner"),
    ):
        refused = edit(door, "*", "desk", **body)
        assert (refused.status_code, refused.json()["field"]) == (400, field), body


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.sampled_from(["One", "Two"]),
            "owner": st.sampled_from(["Ann", "Team"]),
            "description": st.sampled_from(["", "For the pilot"]),
            "labels": st.sampled_from([{}, {"team": "crm"}]),
        },
    )
)
def test_what_is_left_out_always_stays(admin: TestClient, changes: dict[str, Any]) -> None:
    where = f"{API}/clients/helper"
    if admin.get(where).status_code == 404:
        make(admin)
    before = admin.get(where)
    after = admin.patch(where, json=changes, headers={"If-Match": before.headers["ETag"]}).json()
    counted = {"revision", "changed_at", "changed_by"}
    assert {**before.json(), **changes} == {**after, **{name: before.json()[name] for name in counted}}


def test_what_deleting_a_client_stops_is_said_before_and_is_so(its: House) -> None:
    door, agent = its.door(), its.delegated_name("Helper")
    assert door.get(TOKENS, params={"client_id": agent}).status_code == 200
    where = f"{API}/clients/helper"
    shown = door.get(where).json()
    assert door.delete(f"{where}?dry_run=1", headers={"If-Match": '"7"'}).status_code == 412
    foreseen = door.delete(f"{where}?dry_run=1").json()
    stops = foreseen["would_stop"]
    assert stops["agents"] == [{"client_id": agent, "name": "Helper", "goes_on": False}]
    assert (stops["live_tokens"], len(stops["delegations"])) == (1, 1)
    assert foreseen["would_answer"] == shown == door.get(where).json()
    written = len(its.events())
    assert door.delete(where, headers={"If-Match": '"1"'}).json() == shown
    kinds = [each.event.kind for each in its.events()[written:]]
    assert kinds == [each["kind"] for each in foreseen["would_change"]] == ["delegation.revoked", "client.deleted"]
    assert door.get(where).status_code == door.delete(where).status_code == 404
    assert door.get(f"{API}/delegations").json()["items"] == []
    assert door.get(TOKENS, params={"client_id": agent}).json()["reason"] == "client_not_found"
    make(door, "Helper")  # its slug is free


def test_no_rehearsal_gives_away_a_secret_and_a_question_has_none(its: House) -> None:
    door = its.door()
    make(door)
    for path, body in (
        ("clients", {"name": "New", "platform": "secret"}),
        ("clients/helper/proofs", {"platform": "secret"}),
        ("clients/helper/enrolments", {"hours": 1}),
    ):
        would = door.post(f"{API}/{path}?dry_run=1", json=body).json()["would_answer"]
        assert would.get("client_secret", would.get("code")) is None, path
        assert door.post(f"{API}/{path}", json=body).headers["Cache-Control"] == "no-store"
    trusted_issuer = door.post(f"{API}/issuers", json={**CLUSTER, "preset": "gitlab"}).json()["slug"]
    for question in ("try", "refresh", "lookups"):
        refused = door.post(f"{API}/issuers/{trusted_issuer}/{question}?dry_run=1", json={"token": "x"})
        assert (refused.status_code, refused.json()["field"]) == (400, "dry_run"), question


def test_lists_are_filtered_and_come_in_pages(its: House) -> None:
    door = its.door()
    for name, what in (
        ("Alpha desk", {"owner": "Ann", "labels": {"team": "crm"}}),
        ("Beta desk", {"kind": "mcp_server", **POD}),
        ("Gamma", {"labels": {"team": "ops"}}),
    ):
        make(door, name, **what)
    door.post(f"{API}/clients/gamma/disable").raise_for_status()

    def names(**query: Any) -> Any:
        answer = door.get(f"{API}/clients", params=query)
        assert answer.status_code == 200, answer.text
        return "".join(each["name"][0] for each in answer.json()["items"])

    assert names() == "ABG"
    for query, found in (
        ({"text": "DESK"}, "AB"),
        ({"kind": "mcp_server"}, "B"),
        ({"platform": "unattested"}, "AG"),
        ({"enabled": "false"}, "G"),
        ({"owner": "ann"}, "A"),
        ({"label": "team"}, "AG"),
        ({"label": "team=ops"}, "G"),
        ({"attention": "cannot_prove"}, "B"),
        ({"text": "desk", "enabled": "true", "platform": "kubernetes"}, "B"),
        ({"text": "\0"}, ""),
        ({"owner": "\0"}, ""),
    ):
        assert names(**query) == found, query
    for query in ({"enabled": "yes"}, {"platform": "nomad"}, {"kind": ""}, {"cursor": "nobody"}, {"txt": "a"}):
        answer = door.get(f"{API}/clients", params=query)
        assert (answer.status_code, answer.json()["field"]) == (400, next(iter(query))), query
    seen, cursor = "", ""
    while True:
        page = door.get(f"{API}/clients", params={"limit": 1, **({"cursor": cursor} if cursor else {})}).json()
        seen += page["items"][0]["name"][0]
        if (cursor := page["next"]) is None:
            break
    assert seen == "ABG"
