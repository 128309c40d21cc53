"""A code outlives what it stood on: its client was deleted or turned off, or whoever made it has lost their role.

A code is good for 15 minutes, and so are second thoughts.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from databases import settings_for
from laptops import CLIENTS, Laptop, code_for, pod_of
from pages import get
from people import first_administrator, invited

pytestmark = pytest.mark.sqlite_suffices

API = "/authsec/api/v1"
SELECTORS = [{"key": "k8s:ns", "value": "production"}]


@pytest.fixture
def its(house: Callable[..., Any], database_url: str, tmp_path: Path) -> Any:
    """An authority at whose machine we sit, on either database."""
    return house(local_operator=True, **settings_for(database_url, tmp_path))


def test_a_client_that_was_turned_off_or_deleted(its: Any) -> None:
    door = its.door()
    off, gone, many = (pod_of(its, name) for name in ("Off", "Gone", "Many"))
    codes = {pod: code_for(its, pod) for pod in (off, gone, many)}
    door.post(f"{CLIENTS}/{off}/disable")
    assert door.post(f"{CLIENTS}/{off}/enrolments", json={}).status_code == 409
    door.post(f"{CLIENTS}/{off}/enable")
    page = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
    for path, form in ((f"/console/clients/{gone}/delete", ""), ("/console/clients/disable", f"client={many}")):
        assert door.post(path, content=form, headers=page, follow_redirects=False).status_code == 303
    door.post(f"{CLIENTS}/{many}/enable")
    for pod, code in codes.items():
        assert Laptop(its).enrols(pod, code).json()["reason"] == "enrolment_refused"


@pytest.mark.parametrize("endings", [("revoked", "demoted"), ("expired", "disabled")])
def test_whoever_made_it_may_make_none_any_more(house: Callable[..., Any], endings: tuple[str, str]) -> None:
    """An admin key, and a person."""
    local, its = house(local_operator=True).door(), house()
    operator = invited(its, first_administrator(its), "operator")
    (person,) = [each for each in local.get(f"{API}/administrators").json()["items"] if each["role"] == "operator"]
    robot = local.post(f"{API}/admin-keys", json={"name": "robot", "role": "operator", "expires_in": 600}).json()
    pod = local.post(CLIENTS, json={"name": "Pod", "platform": "kubernetes", "selectors": SELECTORS}).json()
    path, form = f"{CLIENTS}/{pod['client_id']}/enrolments", f"/console/clients/{pod['client_id']}/enrol"
    by_key = [its.door(Authorization=f"Bearer {robot['key']}").post(path, json={}).json()["code"] for _ in range(2)]
    by_person = [get(operator, form).form(form).send().html.partition("authsec enrol ")[2][:39] for _ in range(2)]
    for code in (by_key[0], by_person[0]):
        assert Laptop(its).enrols(pod["client_id"], code).status_code == 201
    for ending in endings:
        if ending == "revoked":
            local.post(f"{API}/admin-keys/{robot['id']}/revoke")
        if ending == "expired":
            its.clock.at += timedelta(minutes=10)
        if ending == "demoted":
            read = {"If-Match": f'"{person["revision"]}"'}
            changed = local.patch(f"{API}/administrators/{person['id']}", json={"role": "viewer"}, headers=read)
            assert changed.status_code == 200
        if ending == "disabled":
            local.post(f"{API}/administrators/{person['id']}/disable")
    for code in (by_key[1], by_person[1]):
        assert Laptop(its).enrols(pod["client_id"], code).json()["reason"] == "enrolment_refused"
    (refused,) = [each for each in its.events() if each.event.kind == "enrolment.refused"]
    assert (refused.event.reason, refused.event.client.id, refused.count) == ("maker_gone", pod["client_id"], 2)
