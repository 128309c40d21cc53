"""A link to our sign-in page leads, after the sign-in, to an attacker's copy of it: "your password again, please"."""

from __future__ import annotations

from typing import Any
from urllib.parse import urljoin

import httpx2
import pytest
from authsec_server.accounts.oidc.transaction import Transaction, local_path
from hypothesis import given
from hypothesis import strategies as st

OURS = "https://authsec.example.com"


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "\\\\evil.example/",
        "/\t/evil.example/",
        "/\r\n/evil.example/",
        " //evil.example/",
        "javascript:alert(1)",
        "console",
        "",
        "/é",
        "/" + "a" * 1000,
    ],
)
def test_other_places_become_the_first_page(provider: Any, wanted: str) -> None:
    assert provider.walk(provider.sign_in(), wanted).next == "/console"


@pytest.mark.parametrize(
    "wanted", ["/console/clients?page=2&q=a%2F%2Fb", "/", "/console/audit?at=2026-11-25T12:00:00Z"]
)
def test_our_own_places_stay(provider: Any, wanted: str) -> None:
    assert provider.walk(provider.sign_in(), wanted).next == wanted


def test_nor_does_a_cookie_lead_elsewhere(provider: Any) -> None:
    its = provider.sign_in()
    begun = its.begin()
    honest = Transaction.read(begun.transaction)
    assert honest is not None
    planted = Transaction(
        state=honest.state, nonce=honest.nonce, verifier=honest.verifier, begun=honest.begun, next="//evil.example/"
    )
    assert its.finish(planted.cookie(), provider.approve(begun.url)).next == "/console"


@given(st.text(alphabet="/\\.:@?#%0aé\t\r\n \u3002ex", max_size=12))
def test_no_path_leaves_this_server(wanted: str) -> None:
    path = local_path(wanted)
    assert str(httpx2.URL(OURS).join(path)).startswith(f"{OURS}/")
    assert urljoin(f"{OURS}/console/sign-in", path).startswith(f"{OURS}/")
