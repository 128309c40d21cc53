"""Somebody leaves the company, and the provider gives them no role any more. The sessions that they have go on.

A smaller role ends them at the next sign-in. None at all is smaller than any: who comes back without one is not let in,
and is shut out wherever they still were.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from long_runs import some_of
from starlette.testclient import TestClient

House = Any
CALLBACK = "/console/sign-in/callback"


@pytest.fixture
def its(house: Callable[..., House], provider: Any) -> House:
    """An authority that people come to through the provider."""
    return house(**provider.settings)


def come_in(door: TestClient, provider: Any) -> int:
    """Sign in through the provider, in this browser."""
    out = door.get("/console/sign-in/open-id", follow_redirects=False)
    return door.get(CALLBACK, params=provider.approve(out.headers["location"]), follow_redirects=False).status_code


def is_in(door: TestClient) -> bool:
    return door.get("/console", follow_redirects=False).status_code == 200


@pytest.mark.parametrize("roles", some_of([None, [], "", ["former-admins"], {"admins": True}]))
def test_who_has_no_role_any_more_is_in_nowhere(its: House, provider: Any, roles: object) -> None:
    office, home, colleague = its.door(), its.door(), its.door()
    assert come_in(office, provider) == 303
    provider.claims |= {"sub": "oda", "email": "oda@example.com"}
    assert come_in(colleague, provider) == 303
    assert is_in(office)

    provider.claims |= {"sub": "248289761001", "email": "mary@example.com", "roles": roles}
    assert come_in(home, provider) == 403
    assert not is_in(home)
    assert not is_in(office)
    assert is_in(colleague)
    (ended,) = [each.event for each in its.events() if each.event.kind == "session.ended"]
    assert ended.detail["because"] == "no role at the provider"
    refused = [each.event for each in its.events() if each.event.kind == "admin.sign_in_refused"]
    assert [each.subject.name for each in refused] == ["Mary"]


def test_nobody_elses_word_ends_a_session(its: House, provider: Any) -> None:
    """Not an answer that is refused for another reason, whomever it names."""
    office, elsewhere = its.door(), its.door()
    assert come_in(office, provider) == 303
    provider.claims |= {"roles": [], "aud": "another-client"}
    assert come_in(elsewhere, provider) == 403
    assert is_in(office)


def test_a_stranger_without_a_role_is_just_turned_away(its: House, provider: Any) -> None:
    provider.claims["roles"] = []
    assert come_in(its.door(), provider) == 403
    assert [str(each.event.reason) for each in its.events() if each.event.reason] == ["oidc_no_role"]
