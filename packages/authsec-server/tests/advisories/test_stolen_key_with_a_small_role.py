"""Somebody has a viewer's key, or a viewer's session, and tries what it does not reach; quietly, or to fill the disk.

Whoever asks for more than they may is in the audit log by name, with what they asked for, before they are told no. Many
such requests are counted and not listed; and nobody gets anything else than a no because the record failed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from admin_api import Estate, estate_of
from authsec_server.audit import refusal_counts
from authsec_server.audit.model import Recorded
from authsec_server.failures import Unavailable
from authsec_server.principal import PrincipalKind
from authsec_server.web.operations import API
from pages import get
from people import first_administrator, invited
from sqlalchemy import Connection

pytestmark = pytest.mark.sqlite_suffices

House = Any
WANTED = {"name": "mine", "role": "admin"}


@pytest.fixture
def estate(house: Callable[..., House], database_url: str, tmp_path: Path) -> Estate:
    """On each database."""
    return estate_of(house, database_url, tmp_path)


def refusals(its: House) -> list[Recorded]:
    return [each for each in its.events() if each.event.kind == "admin.refused"]


def who(each: Recorded) -> str:
    assert each.event.principal is not None
    return each.event.principal.name


def ask(estate: Estate, way: str = "admin-keys", *, role: str = "viewer", body: Any = WANTED) -> Any:
    key = {"Authorization": f"Bearer {estate.keys[role]}"}
    answer = estate.its.door("192.0.2.9").post(f"{API}/{way}", headers=key, json=body)
    assert (answer.status_code, answer.json()["reason"]) == (403, "not_permitted"), answer.text
    return answer


def test_who_asked_for_what_is_told_of_the_request(estate: Estate) -> None:
    answer = ask(estate)
    (told,) = refusals(estate.its)
    event, its = told.event, told.event.principal
    assert its is not None
    assert (its.kind, its.name, its.role.name) == (PrincipalKind.ADMIN_KEY, "viewer", "VIEWER")
    assert (event.request_id, event.reason, event.decision) == (
        answer.headers["X-Request-ID"],
        "not_permitted",
        "denied",
    )
    assert (event.address, event.detail) == ("192.0.2.9", {"operation": f"POST {API}/admin-keys"})
    found = estate.its.door().get(
        f"{API}/events/{event.request_id}", headers={"Authorization": f"Bearer {estate.keys['viewer']}"}
    )
    assert [each["event"]["kind"] for each in found.json()["items"] if each["event"]["decision"] == "denied"] == [
        "admin.refused"
    ]
    by_reason = estate.its.door().get(
        f"{API}/events",
        params={"reason": "not_permitted"},
        headers={"Authorization": f"Bearer {estate.keys['viewer']}"},
    )
    assert [each["id"] for each in by_reason.json()["items"]] == [told.id]


@pytest.mark.soak
def test_a_dry_run_too_and_what_only_the_handler_refuses(estate: Estate) -> None:
    ask(estate, "admin-keys?dry_run=1")
    ask(estate, "roles", body={"name": "Mine", "actions": ["a:b"]})
    ask(estate, "setup-links", role="admin", body={"purpose": "set_password", "email": "ada@example.com"})
    assert [(who(each), each.event.detail["operation"]) for each in refusals(estate.its)] == [
        ("viewer", f"POST {API}/admin-keys?dry_run=1"),
        ("viewer", f"POST {API}/roles"),
        ("admin", f"POST {API}/setup-links"),
    ]


def test_a_flood_is_one_row_a_minute_for_each_principal(estate: Estate) -> None:
    first = ask(estate)
    for _ in range(24):
        ask(estate)
    ask(estate, role="operator")
    assert [(who(each), each.count, each.counted) for each in refusals(estate.its)] == [
        ("viewer", 25, True),
        ("operator", 1, True),
    ]
    assert refusals(estate.its)[0].event.request_id == first.headers["X-Request-ID"]
    estate.its.clock.at += timedelta(minutes=1)
    ask(estate)
    assert len(refusals(estate.its)) == 3


def test_of_many_operations_ten_are_told_apart(estate: Estate) -> None:
    refused = 0
    for operation in estate.operations():
        if operation.least != "viewer":
            assert estate.call(operation, estate.keys["viewer"]).status_code == 403, operation.id
            refused += 1
    assert refused > refusal_counts.MOST_APART
    counted = refusals(estate.its)
    assert (len(counted), sum(each.count for each in counted)) == (refusal_counts.MOST_APART, refused)


def test_nothing_that_was_sent_is_in_it(estate: Estate) -> None:
    key = {"Authorization": f"Bearer {estate.keys['viewer']}"}
    secret = estate.keys["admin"]
    ask(estate, body=WANTED | {"name": secret})
    assert estate.its.door().delete(f"{API}/roles/{secret}", headers=key).status_code == 403
    kept = json.dumps([repr(each) for each in refusals(estate.its)])
    assert f"DELETE {API}/roles/{{role}}" in kept
    assert not [each for each in estate.secrets if each in kept]


@pytest.mark.parametrize("failure", [Unavailable("The disk is full."), RuntimeError("what nobody thought of")])
def test_without_a_record_the_answer_is_no_all_the_same(
    estate: Estate,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failure: Exception,
) -> None:
    ask(estate)  # that the key came in is recorded by now

    def fails(_connection: Connection, *_: Any) -> None:
        raise failure

    monkeypatch.setattr(refusal_counts, "count", fails)
    request_id = ask(estate).headers["X-Request-ID"]
    (told,) = refusals(estate.its)
    assert told.count == 1
    logged = capsys.readouterr()
    (line,) = [
        each for each in (logged.out + logged.err).splitlines() if "could not be recorded in the audit log" in each
    ]
    assert request_id in line
    assert "admin_key" in line


def test_in_the_console_as_well(house: Callable[..., House]) -> None:
    its = house()
    vic = invited(its, first_administrator(its), "viewer")
    assert get(vic, "/console/settings").status == 403
    (told,) = refusals(its)
    assert who(told) == "Vic"
    assert told.event.detail == {"operation": "GET /console/settings"}
    page = get(vic, f"/console/activity/{told.id}")
    assert "Vic was not permitted: GET /console/settings" in page.text


def test_a_form_of_another_site_is_not_laid_at_the_persons_door(house: Callable[..., House]) -> None:
    its = house()
    ada = first_administrator(its)
    answer = ada.post("/console/roles/new", headers={"Sec-Fetch-Site": "cross-site"}, data={"name": "Mine"})
    assert answer.status_code == 403
    assert refusals(its) == []
