"""The second factor of an administrator, as a person with a phone uses it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pyotp
from pages import Page, get
from people import PASSWORD
from starlette.testclient import TestClient

SETTING = "/console/account/second-factor"


def setup_page(door: TestClient) -> Page:
    return get(door, SETTING).form().send(current=PASSWORD)


def phone_of(page: Page) -> pyotp.TOTP:
    """The app after a look at the page."""
    (secret,) = re.findall(r'data-copy="([A-Z2-7]{32})"', page.html)
    return pyotp.TOTP(secret)


def turn_on(its: Any, door: TestClient) -> tuple[pyotp.TOTP, list[str]]:
    page = setup_page(door)
    phone = phone_of(page)
    shown = page.form().send(code=phone.at(its.clock.now()))
    assert shown.status == 200, shown.text
    its.clock.at += timedelta(seconds=30)
    return phone, re.findall(r"[A-Z2-7]{4}(?:-[A-Z2-7]{4}){3}", shown.text)


def sign_in(door: TestClient, email: str = "ada@example.com", to: str = "/console") -> Page:
    return get(door, f"/console/sign-in?next={to}").form().send(email=email, password=PASSWORD)


def with_code(its: Any, door: TestClient, code: str, email: str = "ada@example.com") -> Page:
    return sign_in(door, email).follow().form().send(code=code)
