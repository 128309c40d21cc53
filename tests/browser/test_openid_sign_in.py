"""Coming in through a real OpenID Connect provider, by its own pages: the role is what its claim says that day."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect


@pytest.fixture(scope="module")
def its(serving: Any, oidc_provider: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An authority that signs people in through the provider."""
    with serving(tmp_path_factory.mktemp("authority"), "") as serve:
        yield serve(**oidc_provider.settings())


@pytest.fixture
def page(its: Any, oidc_provider: Any, browse: Any) -> Page:
    """A browser that may go to the provider as well."""
    window: Page = browse(its.url, besides=oidc_provider.issuer)
    return window


def sign_in(page: Page) -> None:
    page.get_by_role("link", name="Sign in with single sign-on").click()


def log_in_there(page: Page, login: str) -> None:
    page.get_by_placeholder("Enter any login").fill(login)
    page.get_by_placeholder("and password").fill("any")
    page.get_by_role("button", name="Sign-in").click()
    consent(page)


def consent(page: Page) -> None:
    page.get_by_role("button", name="Continue").click()


@pytest.mark.soak  # test_single_sign_on.py has the same without a browser
def test_the_claim_gives_the_role(its: Any, oidc_provider: Any, page: Page) -> None:
    oidc_provider.account("ann", roles=["authsec-operator"])
    page.goto("/console/clients?text=a+b")
    sign_in(page)
    log_in_there(page, "ann")
    expect(page).to_have_url(f"{its.url}/console/clients?text=a+b")
    menu, settings = page.get_by_text("Your account: Ann"), page.get_by_role("link", name="Settings")
    expect(menu).to_be_visible()
    expect(page.get_by_role("link", name="Onboard New Client").first).to_be_visible()
    expect(settings).to_have_count(0)

    oidc_provider.account("ann", roles=["authsec-admin"])
    menu.click()
    page.get_by_role("button", name="Sign out").click()
    sign_in(page)
    consent(page)  # it knows her still
    expect(settings).to_be_visible()


@pytest.mark.soak  # test_single_sign_on.py has the same without a browser
def test_without_a_role_nobody_comes_in(its: Any, oidc_provider: Any, page: Page) -> None:
    oidc_provider.account("bob", roles=["cleaning"])
    page.goto("/console")
    sign_in(page)
    log_in_there(page, "bob")
    expect(page.get_by_role("heading", name="You were not signed in")).to_be_visible()
    expect(page.get_by_text("you have no role here")).to_be_visible()
    page.goto("/console")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


@pytest.mark.soak  # test_open_id.py has the same without a browser
def test_who_changes_their_mind_at_the_provider_is_led_back(page: Page) -> None:
    page.goto("/console")
    sign_in(page)
    page.get_by_role("link", name="Cancel").click()
    expect(page.get_by_role("heading", name="You were not signed in")).to_be_visible()
    page.get_by_role("link", name="To the sign-in").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
