"""Attack: a slash too many, and the server sends whoever asked to the same address over plain HTTP.

Behind a proxy that ends TLS it knows itself by no other scheme. What follows a 307 sends everything again: an admin
key, an assertion, a token that is to be ended. So nothing that programs ask leads anywhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

House = Any
PATHS = (
    "/authsec/api/v1/clients",
    "/authsec/uflow/sdk/delegation-token",
    "/authsec/v1/revoke",
    "/authsec/v1/introspect",
    "/authsec/v1/enrolments",
    "/authsec/v1/revocations",
    "/.well-known/jwks.json",
)


@pytest.mark.parametrize("path", PATHS)
def test_a_slash_too_many_leads_nowhere(house: Callable[..., House], path: str) -> None:
    door = house(public_url="https://authsec.example.com").door(Host="authsec.example.com")
    for method in ("GET", "POST"):
        assert door.request(method, path).status_code != 404, "there is something without it"
        answer = door.request(method, f"{path}/", follow_redirects=False)
        assert (answer.status_code, answer.headers.get("location")) == (404, None), method
        assert answer.json()["details"] == "Remove the slash at the end of the address."
