"""Two servers on one database: what may be used once is used once at both together. Each has its own rate limits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from authsec.jose import PrivateKey
from databases import settings_for
from dpop_proofs import proof, sent
from laptops import CLIENTS, ENDPOINT, Laptop, code_for, pod_of
from pages import get
from people import PASSWORD, first_administrator
from token_endpoint import asserted, by_assertion

House = Any
AGENT = PrivateKey.generate_ec()
LIMITS = {"address_limit": 3, "unproved_limit": 3, "client_limit": 3}

pytestmark = [pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)]


@pytest.fixture
def both(house: Callable[..., House], database_url: str, tmp_path: Any) -> tuple[House, House]:
    """Two servers; we sit at the machine of both."""
    where = settings_for(database_url, tmp_path)
    return house(local_operator=True, **where), house(local_operator=True, **where)


@pytest.fixture
def limited(house: Callable[..., House], database_url: str, tmp_path: Any) -> tuple[House, House]:
    where = settings_for(database_url, tmp_path)
    return house(**where, **LIMITS), house(**where, **LIMITS)


@pytest.fixture
def served(house: Callable[..., House], database_url: str, tmp_path: Any) -> tuple[House, House]:
    """Two servers that people sign in to."""
    where = settings_for(database_url, tmp_path)
    return house(**where), house(**where)


def test_an_assertion_is_used_once(both: tuple[House, House]) -> None:
    agent = both[0].delegated_agent()
    headers = {"Authorization": f"Bearer {agent.assertion()}"}
    statuses = [its.door().get(ENDPOINT, params={"client_id": agent.client_id}, headers=headers) for its in both]
    assert [each.status_code for each in statuses] == [200, 401]
    assert "already used" in statuses[1].text


def test_a_dpop_proof_is_used_once(both: tuple[House, House]) -> None:
    both[0].delegated_agent("Night Owl", key=AGENT)
    now = both[0].clock.now()
    headers = sent(proof(PrivateKey.generate_ec(), now))
    answers = [by_assertion(its.door(), asserted(AGENT, "night-owl", now), headers=headers) for its in both]
    assert [each.status_code for each in answers] == [200, 400]
    assert "already used" in answers[1].text


def test_an_enrolment_code_is_used_once(both: tuple[House, House]) -> None:
    pod = pod_of(both[0])
    code = code_for(both[0], pod)
    assert [Laptop(its).enrols(pod, code).status_code for its in both] == [201, 403]


def test_a_sign_in_link_is_used_once(served: tuple[House, House]) -> None:
    first, second = served
    link = f"/console/set-up?code={first.authority.sign_in.first_link().code}"
    form = {"name": "Ada", "email": "ada@example.com", "password": PASSWORD, "again": PASSWORD}
    assert get(first.door(), link).form().send(**form).status == 303
    assert "was already used" in get(second.door(), link).text


def test_a_session_that_ends_at_one_server_ends_at_both(served: tuple[House, House]) -> None:
    first, second = served
    browser, elsewhere = first_administrator(first), second.door()
    elsewhere.cookies.update(browser.cookies)
    assert get(elsewhere, "/console/account").status == 200
    assert get(browser, "/console/account").form("/console/sign-out").send().status == 303
    assert elsewhere.get("/console/account", follow_redirects=False).status_code == 303


def test_a_revoked_admin_key_is_refused_at_both(house: Callable[..., House], database_url: str, tmp_path: Any) -> None:
    where = settings_for(database_url, tmp_path)
    operator, *both = house(local_operator=True, **where), house(**where), house(**where)
    made = operator.door().post("/authsec/api/v1/admin-keys", json={"name": "ci", "role": "viewer"}).json()
    doors = [its.door("192.0.2.1", Authorization=f"Bearer {made['key']}") for its in both]
    assert [door.get(CLIENTS).status_code for door in doors] == [200, 200]
    assert operator.door().post(f"/authsec/api/v1/admin-keys/{made['id']}/revoke").is_success
    assert [door.get(CLIENTS).status_code for door in doors] == [401, 401]


def test_each_server_has_its_own_rate_limit_of_a_client(limited: tuple[House, House]) -> None:
    agent = limited[0].delegated_agent()
    for its in limited:
        door = its.door()
        proofs = [{"Authorization": f"Bearer {agent.assertion()}"} for _ in range(4)]
        asked = [door.get(ENDPOINT, params={"client_id": agent.client_id}, headers=each) for each in proofs]
        assert [each.status_code for each in asked] == [200, 200, 200, 429]


def test_each_server_has_its_own_rate_limit_of_an_address(limited: tuple[House, House]) -> None:
    for its in limited:
        door = its.door("192.0.2.9")
        asked = [door.get(ENDPOINT, params={"client_id": str(uuid4())}).status_code for _ in range(4)]
        assert asked == [404, 404, 404, 429]
