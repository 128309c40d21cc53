"""The browsers of administrators who have signed in."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from pages import get
from starlette.testclient import TestClient

PASSWORD = "correct horse battery staple"


def first_administrator(its: Any, name: str = "Ada Admin") -> TestClient:
    """The browser of the first administrator of the authority `its`."""
    door: TestClient = its.door()
    link = f"/console/set-up?code={its.authority.sign_in.first_link().code}"
    page = get(door, link).form().send(name=name, email="ada@example.com", password=PASSWORD, again=PASSWORD)
    assert page.status == 303, page.text
    return door


def invited(its: Any, by: TestClient, role: str) -> TestClient:
    """The browser of somebody whom `by` has invited with that role."""
    shown = get(by, "/console/administrators/invite").form().send(name="Vic", email="vic@example.com", role=role)
    (link,) = [urlsplit(word) for word in shown.text.split() if "/console/set-up?code=" in word]
    door: TestClient = its.door()
    page = get(door, f"{link.path}?{link.query}").form().send(password=PASSWORD, again=PASSWORD)
    assert page.status == 303, page.text
    return door
