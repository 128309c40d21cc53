"""Somebody plants a session's cookie in another's browser, waits until that person signs in, and is signed in as well.

A sign-in always makes a new session with a new secret; what the browser had before is ended, whosever it was.
"""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from authsec_server.principal import Role
from authsec_server.web.errors import Unauthenticated
from starlette.requests import Request

Entrance = Any


def test_a_made_up_cookie_opens_nothing_after_the_sign_in(entrance: Entrance) -> None:
    entrance.first()
    planted = "A" * 43
    new = entrance.sign_in.by_password("ann@example.com", entrance.password, entrance.caller(cookie=planted))
    assert new.cookie != planted
    with pytest.raises(Unauthenticated):
        entrance.principal(planted)
    assert entrance.principal(new.cookie).name == "Ann"


def test_the_planters_own_session_ends_instead_of_becoming_the_victims(entrance: Entrance) -> None:
    entrance.first()
    mallory = entrance.another("mallory@example.com", Role.VIEWER, "Mallory")
    new = entrance.sign_in.by_password("ann@example.com", entrance.password, entrance.caller(cookie=mallory.cookie))
    with pytest.raises(Unauthenticated):
        entrance.principal(mallory.cookie)
    assert entrance.principal(new.cookie).name == "Ann"


def test_the_same_browser_signs_in_twice(entrance: Entrance) -> None:
    first = entrance.first()
    second = entrance.sign_in.by_password("ann@example.com", entrance.password, entrance.caller(cookie=first.cookie))
    assert (second.cookie != first.cookie, second.session.id != first.session.id) == (True, True)
    with pytest.raises(Unauthenticated):
        entrance.principal(first.cookie)


def test_two_cookies_are_none(entrance: Entrance) -> None:
    """On loopback another program's page can set a cookie for our name beside ours: which one counts is not guessed."""
    ann, mallory = entrance.first(), entrance.another("mallory@example.com", Role.VIEWER, "Mallory")
    header = f"authsec-session={mallory.cookie}; authsec-session={ann.cookie}".encode()
    with pytest.raises(Unauthenticated):
        anyio.run(entrance.sessions, Request({"type": "http", "headers": [(b"cookie", header)]}))
