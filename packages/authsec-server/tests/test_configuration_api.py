"""The configuration over HTTP: exported, compared, rehearsed and applied, on either database."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authsec_server.configuration import api
from authsec_server.configuration.api import MAX_DOCUMENT
from authsec_server.configuration.planning import MOST_WORK, planned
from authsec_server.configuration.steps import Plan
from authsec_server.db import Tx
from authsec_server.db.database import Access
from databases import settings_for
from laptops import Laptop, code_for, pod_of

pytestmark = pytest.mark.sqlite_suffices

CONFIGURATION = "/authsec/api/v1/configuration"
ROLE = {"support": {"name": "Support", "actions": ["customers:read"]}}
House = Any


@pytest.fixture
def its(house: Callable[..., House], database_url: str, tmp_path: Path) -> House:
    """An authority on each database, as its operator has it before them."""
    return house(local_operator=True, **settings_for(database_url, tmp_path))


def apply(its: House, query: str = "", **body: Any) -> Any:
    return its.door().post(f"{CONFIGURATION}{query}", json=body)


def version(its: House) -> int:
    found: int = its.authority.database.read(lambda tx: tx.version)
    return found


def test_what_was_shown_is_what_is_done_and_twice_is_once(its: House) -> None:
    shown = its.door().get(CONFIGURATION).json()
    assert list(shown["configuration"]) == ["issuers", "apis", "roles", "agents", "delegations"]
    assert not any(shown["configuration"].values())
    compared = its.door().post(f"{CONFIGURATION}/compare", json={"configuration": {"roles": ROLE}}).json()
    assert compared["authority_version"] == shown["authority_version"] == version(its)
    (change,) = compared["changes"]
    assert (change["verb"], change["section"], change["slug"]) == ("create", "roles", "support")
    asked = {"configuration": {"roles": ROLE}, "authority_version": compared["authority_version"]}
    rehearsed = apply(its, "?dry_run=1", **asked).json()
    assert rehearsed["would_answer"] == compared
    assert [event["kind"] for event in rehearsed["would_change"]] == ["role.created"]
    assert apply(its, **asked).json() == compared
    overtaken = apply(its, **asked | {"configuration": {"roles": {}}, "prune": True})
    assert (overtaken.status_code, overtaken.json()["reason"]) == (412, "outdated")
    before = version(its)
    assert apply(its, configuration={"roles": ROLE}).json()["changes"] == []
    assert version(its) == before, "nobody waited for a change that changes nothing"


def test_what_would_stop_is_said_before(its: House) -> None:
    agent = its.delegated_agent()
    assert its.door().get("/authsec/uflow/sdk/delegation-token", params={"client_id": agent.client_id},
                          headers={"Authorization": f"Bearer {agent.assertion()}"}).status_code == 200  # fmt: skip
    whole = its.door().get(CONFIGURATION).json()["configuration"]
    without = {"agents": {}, "delegations": {}}
    told = apply(its, "?dry_run=1", configuration=without, prune=True).json()
    assert told["would_stop"]["live_tokens"] == 1
    assert [each["name"] for each in told["would_stop"]["agents"]] == ["Customer Support"]
    assert its.door().get(CONFIGURATION).json()["configuration"] == whole
    assert [each["verb"] for each in apply(its, configuration=without, prune=True).json()["changes"]] == ["remove"] * 2


def test_all_of_one_document_is_one_request_in_the_audit_log(its: House) -> None:
    answer = apply(its, configuration={"roles": ROLE, "agents": {"open": {"proofs": [{"platform": "unattested"}]}}})
    events = [each.event for each in its.events() if each.event.request_id == answer.headers["X-Request-ID"]]
    assert [event.kind for event in events] == ["role.created", "client.created"]


def test_a_laptop_that_visits_is_in_no_document_and_stays(its: House) -> None:
    pod = pod_of(its)
    Laptop(its).enrols(pod, code_for(its, pod))
    whole = its.door().get(CONFIGURATION).json()["configuration"]
    (agent,) = whole["agents"].values()
    assert [each["platform"] for each in agent["proofs"]] == ["kubernetes"]
    assert apply(its, configuration=whole, prune=True).json()["changes"] == []


def test_what_is_refused_names_its_place(its: House) -> None:
    for configuration, field in (
        ({"roles": {"support": {"actions": ["*"]}}}, "roles.support.actions.0"),
        ({"roles": {"support": {"action": ["a:b"]}}}, "configuration.roles.support.action"),
        ({"things": {}}, "configuration.things"),
    ):
        answer = apply(its, configuration=configuration)
        assert (answer.status_code, answer.json()["field"]) == (400, field), answer.text
    taken = apply(its, configuration={"apis": {"a": {"identifier": "one"}, "b": {"identifier": "one"}}})
    assert (taken.status_code, taken.json()["field"]) == (409, "apis.b.identifier")


def test_a_document_may_be_large_but_not_of_any_size(its: House) -> None:
    roles = {f"role-{n}": {"actions": ["customers:read"], "description": "x" * 1000} for n in range(200)}
    assert len(json.dumps(roles)) > 3 * 64 * 1024
    assert len(apply(its, "/compare", configuration={"roles": roles}).json()["changes"]) == 200
    huge = its.door().post(f"{CONFIGURATION}/compare", content=b" " * (MAX_DOCUMENT + 1))
    assert huge.status_code == 413


def test_it_is_compared_again_under_the_lock_only_where_something_came_between(
    its: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = list[Access]()

    def watched(tx: Tx, *rest: Any) -> Plan:
        compared.append(tx.access)
        return planned(tx, *rest)

    monkeypatch.setattr(api, "planned", watched)
    assert apply(its, configuration={"roles": ROLE}).status_code == 200
    assert compared == [Access.READ], "tokens do not wait for that"

    def overtaken(tx: Tx, *rest: Any) -> Plan:
        found = watched(tx, *rest)
        if tx.access is Access.READ:
            made = its.door().post("/authsec/api/v1/roles", json={"name": "Sales", "actions": ["customers:read"]})
            assert made.status_code == 201, made.text
        return found

    compared.clear()
    monkeypatch.setattr(api, "planned", overtaken)
    sales = {"sales": {"name": "Sales", "actions": ["customers:read", "orders:read"]}}
    done = apply(its, configuration={"roles": sales})
    assert (done.status_code, [each["verb"] for each in done.json()["changes"]]) == (200, ["edit"]), done.text
    assert compared == [Access.READ, Access.CHANGE]


def test_a_cluster_is_asked_before_look_ups_in_it_are_turned_on(house: Callable[..., House], tmp_path: Path) -> None:
    (tmp_path / "credentials").mkdir()
    (tmp_path / "credentials" / "token").write_text("abc")
    its = house(local_operator=True, credentials_dir=tmp_path / "credentials")
    trusted_issuer = {"kind": "kubernetes", "issuer": "https://k.example.com", "keys_from": "discovery"}
    assert apply(its, configuration={"issuers": {"production": trusted_issuer}}).status_code == 200
    looked_up = {**trusted_issuer, "api_server": "https://127.0.0.1:1", "credentials": "token", "token_review": True}
    silent = apply(its, configuration={"issuers": {"production": looked_up}})
    assert (silent.status_code, silent.json()["field"]) == (409, "issuers.production.anyway")
    assert "trusted issuer production: The cluster does not answer" in silent.json()["error"]
    done = apply(its, configuration={"issuers": {"production": looked_up}}, anyway=True).json()
    assert [each["field"] for each in done["changes"][0]["differences"]] == [
        "api_server",
        "credentials",
        "token_review",
    ]
    assert apply(its, configuration={"issuers": {"production": trusted_issuer}}).json()["changes"][0]["verb"] == "edit"


def test_so_many_changes_at_once_that_tokens_would_wait_long_are_refused(its: House) -> None:
    many = {f"role-{n}": {"actions": ["customers:read"]} for n in range(MOST_WORK + 1)}
    refused = apply(its, configuration={"roles": many})
    assert (refused.status_code, "in parts" in refused.json()["details"]) == (400, True)
    assert its.door().get(CONFIGURATION).json()["configuration"]["roles"] == {}
    assert apply(its, "/compare", configuration={"roles": many}).json() | {"request_id": ""} == refused.json() | {
        "request_id": ""
    }, "whoever looks first is told so at once"
