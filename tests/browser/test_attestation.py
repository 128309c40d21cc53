"""What a person sees of attestation: what will prove selectors, what a token would prove, how one differed."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from workload_evidence import Issuer, kubernetes

CHECK = "**/console/clients/selectors"
NEAR = "namespace matches; service account is customer-support, registered customer-support-sa"


@pytest.fixture(scope="module")
def cluster(place: Any) -> Issuer:
    """A cluster that the authority trusts; its pods' tokens are for this authority."""
    its = replace(kubernetes(), now=datetime.now(UTC))
    place.its.post(
        "issuers",
        name="Production",
        kind="kubernetes",
        issuer=its.trusted_issuer.issuer,
        keys_from="given",
        given_keys=its.jwks,
    )
    return its


def token(place: Any, cluster: Issuer, account: str = "customer-support-sa", **changes: Any) -> str:
    """What a pod of that account sends."""
    bound = cluster.claims()["kubernetes.io"] | {"serviceaccount": {"name": account, "uid": "1"}}
    sub = f"system:serviceaccount:production:{account}"
    made: str = cluster.token(**({"aud": [place.url], "kubernetes.io": bound, "sub": sub} | changes))
    return made


def fill(page: Page, row: int, key: str, value: str) -> None:
    page.get_by_label(f"Key of selector {row}").filter(visible=True).select_option(key)
    page.get_by_label(f"Value of selector {row}").filter(visible=True).fill(value)


@pytest.mark.soak  # test_selectors_while_typing.py types them
def test_onboarding_says_how_each_selector_is_proved_before_it_is_sent(
    place: Any, cluster: Issuer, browse: Any, axe: Any
) -> None:
    page = browse(place.url, storage_state=place.mary)
    page.goto("/console/clients/onboard")
    page.get_by_label("AI Agent Name").fill("Customer Support")
    page.get_by_role("radio", name="Kubernetes").check()
    expect(page.get_by_text("Production (Kubernetes cluster) can prove the client")).to_be_visible()
    fill(page, 1, "k8s:ns", "production")
    fill(page, 2, "k8s:container-name", "agent")
    value = page.get_by_label("Value of selector 2").filter(visible=True)
    expect(value).to_have_accessible_description(re.compile("^✗ .* cannot be proved by this trusted issuer$"))
    expect(value).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_text("These values would be refused").filter(visible=True)).to_have_count(2)  # and why
    assert axe(page) == []
    fill(page, 2, "k8s:sa", "customer-support-sa")
    expect(value).to_have_accessible_description("✓ the pod's service account · proved by the token")
    expect(page.get_by_text("Production (Kubernetes cluster) proves the client")).to_be_visible()
    button = page.get_by_role("button", name="+ Onboard")
    button.focus()
    expect(page.get_by_role("heading", name="Onboard New Client").filter(visible=True)).to_be_in_viewport()
    button.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Customer Support")
    expect(page.get_by_text("proved by the token")).to_have_count(2)


@pytest.mark.soak
def test_a_token_is_tried_and_an_agent_s_closest_miss_is_seen(
    place: Any, cluster: Issuer, browse: Any, axe: Any
) -> None:
    selectors = [{"key": "k8s:ns", "value": "production"}, {"key": "k8s:sa", "value": "customer-support-sa"}]
    agent = place.its.agent("Refund Desk", platform="kubernetes", selectors=selectors)
    page = browse(place.url, storage_state=place.mary)
    page.goto("/console/issuers/production")
    page.get_by_label("Token", exact=True).fill(f"Bearer {token(place, cluster, 'customer-support')}")
    page.get_by_role("button", name="Try this token").click()
    expect(page.get_by_role("heading", name="no agent is registered for this workload")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="Refund Desk")).to_contain_text(NEAR)
    expect(page.get_by_label("Token", exact=True)).to_have_value("")
    assert axe(page) == []
    hour = int(cluster.now.timestamp()) - 3600
    page.get_by_label("Token", exact=True).fill(token(place, cluster, exp=hour, iat=hour - 3600, nbf=hour - 3600))
    page.get_by_role("button", name="Try this token").click()
    expect(page.get_by_role("listitem").filter(has_text="Times")).to_contain_text("Expired 1 hour ago")

    assert place.its.ask(agent, proof=token(place, cluster, "customer-support")).status_code == 403
    page.goto(f"/console/clients/{agent.client_id}")
    expect(page.get_by_role("paragraph").filter(has_text="Closest mismatch:")).to_contain_text(NEAR)
    assert axe(page) == []
    page.get_by_role("link", name="1 time, last").click()
    expect(page.get_by_text("selectors_mismatch").first).to_be_visible()
