"""/.well-known/security.txt (RFC 9116): the contacts of the setting, and an end in the future."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from authsec_server.failures import StartupRefused
from authsec_server.settings import load_settings

from .conftest import NOW

House = Any
PATH = "/.well-known/security.txt"
CONTACTS = "https://example.com/report, mailto:security@example.com,tel:+1-201-555-0123"


def test_the_file_has_the_contacts_in_their_order_and_ends_in_the_future(house: Callable[..., House]) -> None:
    its = house(security_contact=CONTACTS, public_url="https://authsec.example.com", allowed_hosts="testserver")
    answer = its.door().get(PATH)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    fields = [line.split(": ", 1) for line in answer.text.splitlines()]
    assert fields[:-1] == [
        ["Contact", "https://example.com/report"],
        ["Contact", "mailto:security@example.com"],
        ["Contact", "tel:+1-201-555-0123"],
        ["Canonical", f"https://authsec.example.com{PATH}"],
    ]
    name, expires = fields[-1]
    assert name == "Expires"
    assert timedelta(days=29) <= datetime.fromisoformat(expires) - NOW < timedelta(days=365)


def test_an_authority_over_plain_http_names_no_canonical_address(house: Callable[..., House]) -> None:
    answer = house(security_contact=CONTACTS).door().get(PATH)
    assert (answer.status_code, "Canonical" in answer.text) == (200, False)


def test_without_a_contact_there_is_no_file(house: Callable[..., House]) -> None:
    assert house().door().get(PATH).status_code == 404


@pytest.mark.parametrize(
    "contact",
    [
        "security@example.com",
        "mailto:security",
        "http://example.com/report",
        "https:///report",
        "https://user:password@example.com/",
        "https://[example.com/",
        "tel:help",
        "javascript:alert(1)",
        "mailto:security@example.com\nExpires: 2099-01-01T00:00:00Z",
    ],
)
def test_a_contact_that_is_no_uri_for_reports_stops_the_start(monkeypatch: pytest.MonkeyPatch, contact: str) -> None:
    monkeypatch.setenv("AUTHSEC_SERVER_SECURITY_CONTACT", f"https://example.com/report,{contact}")
    with pytest.raises(StartupRefused, match="SECURITY_CONTACT: name URIs like mailto"):
        load_settings()
