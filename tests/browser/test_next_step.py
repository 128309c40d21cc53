"""The page of a client: the checklist, the panel with the next step, and the folded actions, as a person sees them."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

FOUR = {
    "k8s:ns": "production",
    "k8s:sa": "customer-support-sa",
    "k8s:pod-label:app": "customer-support",
    "k8s:container-name": "agent",
}
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
HEIGHT = "document.documentElement.scrollHeight"


@pytest.fixture(scope="module")
def pod(place: Any) -> str:
    """The page of the walk-through's agent. No trusted issuer can prove its selectors."""
    selectors = [{"key": key, "value": value} for key, value in FOUR.items()]
    return (
        f"/console/clients/{place.its.agent('Customer Support', platform='kubernetes', selectors=selectors).client_id}"
    )


@pytest.mark.parametrize(
    ("width", "script"),
    [
        (390, True),
        pytest.param(1440, False, marks=pytest.mark.soak),  # the first has the steps, and needs no script for them
        pytest.param(1440, True, marks=pytest.mark.soak),  # the two above have each check of this one
        pytest.param(390, False, marks=pytest.mark.soak),
    ],
)
def test_the_way_on_is_on_the_page(place: Any, pod: str, browse: Any, axe: Any, width: int, script: bool) -> None:
    page = browse(
        place.url,
        storage_state=place.mary,
        viewport={"width": width, "height": 900},
        java_script_enabled=script,
        color_scheme="dark" if script else "light",
    )
    page.goto(pod)
    steps = page.get_by_role("list", name="Steps to a token").get_by_role("listitem")
    expect(steps).to_have_text(
        [
            "Identity done: Registered",
            "Proof next step: Missing",
            "Delegation not done: None live",
            "Token not done: None yet",
        ]
    )
    if width == 1440:
        expect(page.get_by_role("region", name="Client ID")).to_be_in_viewport(ratio=1)
        expect(page.get_by_role("heading", name="Add the cluster")).to_be_in_viewport(ratio=1)
        expect(page.get_by_role("button", name="Create code")).to_be_in_viewport(ratio=1)
    page.get_by_text("EKS, GKE, AKS").click()
    expect(page.get_by_role("code").filter(has_text="--issuer ISSUER")).to_be_visible()
    if script:
        assert page.evaluate(OVERFLOW) == 0
        assert axe(page) == []
    page.get_by_role("link", name="Delegation not done").click()
    expect(page.get_by_role("heading", name="Permissions")).to_be_in_viewport()
    page.get_by_role("button", name="Check again").click()
    expect(page.get_by_role("heading", name="Next: prove where it runs")).to_be_visible()
    page.get_by_role("button", name="Create code").click()
    expect(page.get_by_role("heading", name="On the laptop, within 15 minutes")).to_be_visible()


@pytest.mark.soak
def test_many_actions_take_little_room(place: Any, browse: Any, axe: Any) -> None:
    its = place.its
    actions = [f"thing{number}:read" for number in range(65)]
    agent = its.agent("Back Office Robot")
    its.delegate(its.role("Many", *actions), agent, *actions)
    page = browse(place.url, storage_state=place.mary, viewport={"width": 1440, "height": 900})
    page.goto(f"/console/clients/{agent.client_id}")
    folded = page.evaluate(HEIGHT)
    page.get_by_text("65 actions").click()
    expect(page.get_by_text("thing64:read")).to_be_visible()
    assert axe(page) == []
    assert folded < page.evaluate(HEIGHT) < 2400
