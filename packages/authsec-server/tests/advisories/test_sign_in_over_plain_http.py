"""An authority is reached over plain http by its name. Whoever is on the way reads passwords, links and cookies.

Agents there are the SDK's business, which asks no such host unless it is told to. People cannot be expected to look at
the scheme: the console is not served at all, and says what the operator has to do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient


@pytest.mark.parametrize("path", ["/console", "/console/sign-in", "/console/set-up?code=x", "/console/clients"])
def test_no_page_is_shown(house: Callable[..., Any], path: str) -> None:
    app = house(public_url="http://authsec.example.com").authority.app
    page = TestClient(app, base_url="http://authsec.example.com").get(path, follow_redirects=False)
    assert page.status_code == 403
    assert "does not work over plain http" in page.text
    assert "AUTHSEC_SERVER_PUBLIC_URL" in page.text
    assert "set-cookie" not in page.headers


def test_no_form_is_read(house: Callable[..., Any]) -> None:
    opened = house(public_url="http://authsec.example.com").authority
    door = TestClient(opened.app, base_url="http://authsec.example.com")
    form = {"code": opened.sign_in.first_link().code, "name": "Eve", "email": "eve@example.com"}
    secret = {"password": "violet tram kiosk 7", "again": "violet tram kiosk 7"}
    sent = door.post("/console/set-up", data=form | secret, headers={"Origin": "http://authsec.example.com"})
    assert sent.status_code == 403
    assert "set-cookie" not in sent.headers


@pytest.mark.parametrize("url", ["http://127.0.0.1:7468", "http://localhost:7468", "http://[::1]:7468"])
def test_loopback_is_nobodys_way(house: Callable[..., Any], url: str) -> None:
    app = house(public_url=url).authority.app
    assert TestClient(app, base_url=url).get("/console/sign-in").status_code == 200
