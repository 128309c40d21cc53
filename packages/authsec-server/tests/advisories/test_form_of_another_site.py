"""A page of somebody else sends a form to the console, from the browser of somebody who is signed in there.

What counts is where the browser says that the form comes from, scheme, name and port together. Behind a proxy that ends
TLS all requests reach us as http; a page at http://our-name, which anybody on the network can put there, is not ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from long_runs import some_of
from starlette.testclient import TestClient

OURS = "https://authsec.example.com"
FORM = {"email": "ada@example.com", "password": "no password of hers"}


@pytest.fixture
def behind_a_proxy(house: Callable[..., Any]) -> Iterator[TestClient]:
    """The console at a public URL with https, as the proxy in front of it asks it."""
    app = house(public_url=OURS, allowed_hosts="console.internal.example").authority.app
    with closing(TestClient(app, base_url="http://authsec.example.com")) as door:
        yield door


def sent(door: TestClient, **headers: str) -> int:
    """How a form with these headers is answered: 400 where it was read, since nobody has that password."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return door.post("/console/sign-in", data=FORM, headers=named, follow_redirects=False).status_code


@pytest.mark.parametrize(
    "origin",
    some_of(
        [
            *(
                "http://authsec.example.com",
                "https://authsec.example.com:8443",
                "https://authsec.example.com.evil.example",
            ),
            *("https://sub.authsec.example.com", "https://example.com", "https://evil.example", "null", "", "file://"),
            *("https://authsec.example.com/", "https://authsec.example.com@evil.example"),
            *("http://console.internal.example", "https://console.internal.example"),
        ]
    ),
)
def test_other_schemes_names_and_ports_are_other_sites(behind_a_proxy: TestClient, origin: str) -> None:
    assert sent(behind_a_proxy, Origin=origin) == 403
    assert sent(behind_a_proxy, Origin=origin, Sec_Fetch_Site="same-origin") == 403


def test_two_origins_are_none(behind_a_proxy: TestClient) -> None:
    headers = [("Origin", OURS), ("Origin", "https://evil.example")]
    assert behind_a_proxy.post("/console/sign-in", data=FORM, headers=headers).status_code == 403


@pytest.mark.parametrize("headers", [{"Origin": OURS}, {"Sec_Fetch_Site": "same-origin"}])
def test_our_own_are_read(behind_a_proxy: TestClient, headers: dict[str, str]) -> None:
    assert sent(behind_a_proxy, **headers) == 400


def test_another_name_of_ours_is_ours_when_it_was_asked(behind_a_proxy: TestClient) -> None:
    its = {"Host": "console.internal.example", "Origin": "https://console.internal.example"}
    assert sent(behind_a_proxy, **its) == 400
    assert sent(behind_a_proxy, **its | {"Origin": "http://console.internal.example"}) == 403


def test_a_host_that_is_not_ours_makes_no_origin_ours(behind_a_proxy: TestClient) -> None:
    assert sent(behind_a_proxy, Host="evil.example", Origin="https://evil.example") == 421
