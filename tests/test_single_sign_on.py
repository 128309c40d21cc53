"""Administrators come in through a real OpenID Connect provider, in the role that its claim gives them."""

from __future__ import annotations

import html
import re
import secrets
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from authsec_server.accounts.oidc import OpenIdSignIn, SignInRefused, sign_in_of
from authsec_server.outbound import outbound_of
from authsec_server.principal import Role
from authsec_server.settings import load_settings

pytestmark = pytest.mark.sqlite_suffices


@pytest.fixture
def open_id(oidc_provider: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., OpenIdSignIn]:
    """Sign-in in this process through the real provider, as one of its clients."""

    def build(client_id: str = "authsec", **more: str) -> OpenIdSignIn:
        for name, value in oidc_provider.settings(client_id, **more).items():
            monkeypatch.setenv(name, value)
        settings = load_settings()
        built = sign_in_of(
            settings,
            outbound_of(settings, time.monotonic),
            now=lambda: datetime.now(UTC),
            monotonic=time.monotonic,
            token_bytes=secrets.token_bytes,
        )
        assert built is not None
        return built

    return build


def come_back(provider: Any, open_id: OpenIdSignIn, login: str, wanted: str = "/console") -> Any:
    begun = open_id.begin(wanted)
    back = provider.walk(begun.url, login)
    return open_id.finish(begun.transaction, parse_qsl(urlsplit(back).query))


CLIENTS = ["authsec", "authsec-post", "authsec-public", "authsec-PS256", "authsec-ES256", "authsec-EdDSA"]


@pytest.mark.parametrize("client_id", CLIENTS)
def test_every_kind_of_client_and_signature_signs_in(
    oidc_provider: Any, open_id: Callable[..., OpenIdSignIn], client_id: str
) -> None:
    oidc_provider.account("mary", roles=["authsec-admin", "unrelated"])
    finished = come_back(oidc_provider, open_id(client_id), "mary", "/console/clients?page=2")
    identity = finished.identity
    assert (identity.issuer, identity.subject, identity.role) == (oidc_provider.issuer, "mary", Role.ADMIN)
    assert (identity.email, identity.email_verified, identity.name) == ("mary@example.com", True, "Mary")
    assert finished.next == "/console/clients?page=2"


def test_the_claim_may_lie_deeper(oidc_provider: Any, open_id: Callable[..., OpenIdSignIn]) -> None:
    oidc_provider.account("kay", realm_access={"roles": ["authsec-viewer", "authsec-operator"]})
    its = open_id(oidc_role_claim="realm_access.roles")
    assert come_back(oidc_provider, its, "kay").identity.role is Role.OPERATOR


def test_without_a_matching_value_nobody_is_anybody(oidc_provider: Any, open_id: Callable[..., OpenIdSignIn]) -> None:
    its = open_id()
    for roles in ([], ["Authsec-Admin"], ["authsec"], "authsec-admin authsec-viewer"):
        oidc_provider.account("bob", roles=roles)
        with pytest.raises(SignInRefused) as refused:
            come_back(oidc_provider, its, "bob")
        assert refused.value.code == "oidc_no_role"


def test_a_code_is_good_once_at_the_provider(oidc_provider: Any, open_id: Callable[..., OpenIdSignIn]) -> None:
    oidc_provider.account("mary", roles="authsec-admin")
    first, second = open_id(), open_id()  # two servers: the second does not know that the state is spent
    begun = first.begin()
    answer = parse_qsl(urlsplit(oidc_provider.walk(begun.url, "mary")).query)
    first.finish(begun.transaction, answer)
    with pytest.raises(SignInRefused) as refused:
        second.finish(begun.transaction, answer)
    assert refused.value.code == "oidc_code_refused"


def test_a_wrong_secret_is_the_operators_to_mend(
    oidc_provider: Any, open_id: Callable[..., OpenIdSignIn], tmp_path: Any
) -> None:
    oidc_provider.account("mary", roles="authsec-admin")
    file = tmp_path / "secret"
    file.write_text("of last year")
    its = open_id(oidc_client_secret_file=str(file))
    with pytest.raises(SignInRefused) as refused:
        come_back(oidc_provider, its, "mary")
    assert refused.value.code == "oidc_client_refused"
    file.write_text(f"{oidc_provider.client_secret}\n")  # renewed: counts from the next sign-in
    assert come_back(oidc_provider, its, "mary").identity.subject == "mary"


class Browser:
    """A browser before the console: keeps cookies, follows nothing by itself."""

    def __init__(self, its: Any, provider: Any) -> None:
        self.http = httpx2.Client(base_url=its.url, trust_env=False, timeout=30)
        self.provider = provider

    def sign_in(self, login: str, wanted: str = "/console") -> httpx2.Response:
        """The answer to coming back from the provider."""
        away = self.http.get("/console/sign-in/open-id", params={"next": wanted})
        assert away.status_code == 303, away.text
        return self.http.get(self.provider.walk(away.headers["location"], login))


@pytest.fixture
def browser(serve: Any, oidc_provider: Any) -> Iterator[Callable[[], Browser]]:
    """Opens browsers before one server that signs people in through the provider."""
    its = serve(**oidc_provider.settings())
    opened: list[Browser] = []

    def new() -> Browser:
        opened.append(Browser(its, oidc_provider))
        return opened[-1]

    new.its = its  # type: ignore[attr-defined] # for what only the server's operator sees
    yield new
    for each in opened:
        each.http.close()


def test_the_console_lets_in_by_the_providers_word(browser: Any, oidc_provider: Any) -> None:
    oidc_provider.account("ann", roles=["authsec-operator"])
    chrome = browser()
    assert "single sign-on" in chrome.http.get("/console/sign-in").text
    back = chrome.sign_in("ann", "/console/clients")
    assert (back.status_code, back.headers["location"]) == (303, "/console/clients"), back.text
    assert "Ann" in chrome.http.get("/console/account").text
    kept = {cookie.name for cookie in chrome.http.cookies.jar}
    assert kept == {f"authsec-session-{chrome.http.base_url.port}"}  # that of the transaction is gone

    people = browser.its.admin.get("administrators").json()["items"]
    assert [(each["email"], each["role"]) for each in people] == [("ann@example.com", "operator")]

    oidc_provider.account("ann", roles=["authsec-admin"])
    browser().sign_in("ann")
    people = browser.its.admin.get("administrators").json()["items"]
    assert [(each["email"], each["role"]) for each in people] == [("ann@example.com", "admin")]


def test_who_has_no_role_is_told_and_recorded(browser: Any, oidc_provider: Any) -> None:
    oidc_provider.account("bob", roles=["cleaning"])
    back = browser().sign_in("bob")
    assert back.status_code == 403
    said = html.unescape(re.sub(r"<[^>]*>", " ", back.text))
    assert "you have no role here" in said
    assert "cleaning" not in said
    assert browser.its.admin.get("administrators").json()["items"] == []
    reasons = [each["reason"] for each in browser.its.admin.get("events").json()["items"]]
    assert "oidc_no_role" in reasons
