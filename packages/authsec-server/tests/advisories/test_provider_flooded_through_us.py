"""A stranger brings back made-up codes, as fast as they can: each has us ask the provider, in our name.

A provider that is asked too often hears nobody from us any more, and our few places for sign-ins are taken: single
sign-on is shut for everybody. So an address from which too many have failed is turned away before anything is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from authsec_server.accounts.sign_in import FAILURES_A_MINUTE
from starlette.testclient import TestClient

House = Any
CALLBACK = "/console/sign-in/callback"


@pytest.fixture
def its(house: Callable[..., House], provider: Any) -> House:
    """An authority that people come to through the provider."""
    return house(**provider.settings)


def bring_back(door: TestClient, provider: Any, **made_up: str) -> int:
    out = door.get("/console/sign-in/open-id", follow_redirects=False)
    answer = provider.approve(out.headers["location"], **made_up)
    return door.get(CALLBACK, params=answer, follow_redirects=False).status_code


def test_made_up_codes_reach_the_provider_only_so_often(its: House, provider: Any) -> None:
    stranger = its.door("198.51.100.7")
    statuses = [bring_back(stranger, provider, code="made-up") for _ in range(FAILURES_A_MINUTE + 15)]
    assert statuses == [403] * FAILURES_A_MINUTE + [429] * 15
    assert provider.asked.count("/token") == FAILURES_A_MINUTE
    assert bring_back(its.door("192.0.2.1"), provider) == 303  # others are not concerned


def test_and_the_stranger_is_counted_and_heard_again(its: House, provider: Any) -> None:
    stranger = its.door("198.51.100.7")
    for _ in range(FAILURES_A_MINUTE + 1):
        bring_back(stranger, provider, code="made-up")
    counted = {str(each.event.reason): each.count for each in its.events() if each.event.reason}
    assert counted == {"oidc_code_refused": FAILURES_A_MINUTE, "rate_limited": 1}
    its.clock.at = its.clock.at.replace(minute=1)
    provider.wait(minutes=1)
    assert bring_back(stranger, provider) == 303
