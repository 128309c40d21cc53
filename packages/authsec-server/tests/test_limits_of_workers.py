"""Each of several workers allows its share of a rate limit, rounded up; and of failures at least three."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from authsec_server.settings import load_settings
from authsec_server.web.throttle import Share
from hypothesis import given
from hypothesis import strategies as st
from pages import get, post
from starlette.testclient import TestClient

House = Any
WORKERS = 4
LIMITS = {"address_limit": 27, "unproved_limit": 18, "client_limit": 10}
ENDPOINT = "/authsec/uflow/sdk/delegation-token"
GUESS = {"Authorization": "Bearer authsec_api_" + "x" * 43}


def ask_unknown(door: TestClient, _client: str) -> int:
    return door.get(ENDPOINT, params={"client_id": str(uuid4())}).status_code


def ask_unproved(door: TestClient, client: str) -> int:
    return door.get(ENDPOINT, params={"client_id": client}).status_code


def ask_endpoint(door: TestClient, _client: str) -> int:
    return door.post("/oauth/token", data={"grant_type": "password"}).status_code


def revoke(door: TestClient, _client: str) -> int:
    return door.post("/authsec/v1/revoke", data={"token": "no token"}).status_code


def guess_admin_key(door: TestClient, _client: str) -> int:
    return door.get("/authsec/api/v1/roles", headers=GUESS).status_code


def guess_api_credential(door: TestClient, _client: str) -> int:
    return door.post("/authsec/v1/introspect", data={"token": "no token"}, headers=GUESS).status_code


def guess_enrolment_code(door: TestClient, client: str) -> int:
    body = {"client_id": client, "code": "x", "public_key": "x", "possession": "x", "machine": "x"}
    return door.post("/authsec/v1/enrolments", json=body).status_code


def guess_password(door: TestClient, _client: str) -> int:
    form = get(door, "/console/sign-in").form("/console/sign-in")
    pairs = [(name, value) for name, value in form.fields if name not in {"email", "password"}]
    page = post(door, form.action, [*pairs, ("email", "ada@example.com"), ("password", "wrong")])
    return 429 if "Too many sign-ins have failed" in page.text else page.status


@pytest.mark.parametrize(
    ("tries", "share"),
    [
        (ask_unknown, 7),
        (ask_unproved, 5),
        (ask_endpoint, 7),
        (revoke, 7),
        (guess_admin_key, 5),
        (guess_api_credential, 5),
        (guess_enrolment_code, 5),
        (guess_password, 3),
    ],
)
def test_one_of_four_allows_its_share(
    house: Callable[..., House], tries: Callable[[TestClient, str], int], share: int
) -> None:
    its = house(workers=WORKERS, **LIMITS)
    door, client = its.door(), its.delegated_name()
    statuses = [tries(door, client) for _ in range(share + 1)]
    assert [status == 429 for status in statuses] == [False] * share + [True], statuses


def test_one_of_four_allows_a_client_its_share(house: Callable[..., House]) -> None:
    its = house(workers=WORKERS, **LIMITS)
    agent, door = its.delegated_agent(), its.door()
    proofs = [{"Authorization": f"Bearer {agent.assertion()}"} for _ in range(4)]
    statuses = [
        door.get(ENDPOINT, params={"client_id": agent.client_id}, headers=proof).status_code for proof in proofs
    ]
    assert statuses == [200, 200, 200, 429]


@given(st.integers(1, 10_000), st.integers(1, 64))
def test_the_shares_are_a_little_more_than_the_limit_together(most: int, workers: int) -> None:
    share = Share(workers)
    assert most <= share.of(most) * workers < most + workers
    assert share.of(most) <= share.of_failures(most) <= most
    assert share.of_failures(most) >= min(3, most)


@pytest.mark.parametrize(
    ("cores", "workers", "signers"), [(1, 1, 0), (1, 4, 0), (2, 1, 2), (2, 2, 1), (16, 1, 4), (16, 4, 4), (16, 16, 1)]
)
def test_workers_divide_the_cores_for_their_signing_processes(
    monkeypatch: pytest.MonkeyPatch, cores: int, workers: int, signers: int
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert load_settings(workers=workers).signing_processes == signers


def test_up_to_sixteen_workers_fit_into_a_postgresql_as_it_is_installed() -> None:
    for workers in range(1, 17):
        assert workers * (load_settings(workers=workers).database_connections + 1) <= 97
