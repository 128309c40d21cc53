"""Two people edit one thing: the second is told what the first made of it, keeps what they typed, and may overrule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

SAVE, REVIEW = ("Save",), ("Review the changes", "Save the changes")


def client(its: Any) -> str:
    return f"/console/clients/{its.agent('Contested').client_id}/edit"


def role(its: Any) -> str:
    return f"/console/roles/{its.role('Contested', 'customers:read')}/edit"


def api(its: Any) -> str:
    slug = its.post("apis", name="Contested", identifier="contested", actions=[])["slug"]
    return f"/console/apis/{slug}/edit"


def delegation(its: Any) -> str:
    agent, held = its.agent("Delegated"), its.role("Delegated", "customers:read")
    return f"/console/delegations/{its.delegate(held, agent, 'customers:read')}/edit"


def administrator(its: Any) -> str:
    return (
        f"/console/administrators/{its.post('administrators', name='Cy', email='cy@example.com', role='viewer')['id']}"
    )


@pytest.fixture(scope="module")
def ben(place: Any, invite: Any) -> dict[str, Any]:
    """The browser of another administrator."""
    state: dict[str, Any] = invite(place.its, "Ben", "admin")
    return state


def edit(page: Page, field: str, text: str, buttons: tuple[str, ...]) -> None:
    page.get_by_label(field).fill(text)
    for name in buttons:
        page.get_by_role("button", name=name, exact=True).click()


def is_told(page: Page, field: str, text: str) -> None:
    """That Mary was first, what she wrote, and that what was typed is kept."""
    told = page.get_by_role("alert").filter(has_text="meanwhile")
    expect(told).to_contain_text("Mary")
    expect(told).to_contain_text("Your entries are kept.")
    expect(told).to_be_focused()
    expect(page.get_by_label(field)).to_have_value(text)
    expect(page.get_by_text("Now: The first one's")).to_be_visible()


@pytest.mark.soak  # test_edit_undoes_an_edit.py has the same without a browser
@pytest.mark.parametrize(
    ("thing", "field", "buttons"),
    [
        (client, "Owner", SAVE),
        pytest.param(role, "Description", SAVE, marks=pytest.mark.soak),
        pytest.param(api, "Description", SAVE, marks=pytest.mark.soak),
        pytest.param(delegation, "Owner", REVIEW, marks=pytest.mark.soak),
        pytest.param(administrator, "Name", SAVE, marks=pytest.mark.soak),
    ],
)
def test_the_second_is_told_and_may_overrule(
    place: Any, browse: Any, ben: Any, thing: Callable[[Any], str], field: str, buttons: tuple[str, ...]
) -> None:
    path = thing(place.its)
    first, second = browse(place.url, storage_state=place.mary), browse(place.url, storage_state=ben)
    for page in (first, second):
        page.goto(path)
    edit(first, field, "The first one's", buttons)
    expect(first.get_by_text("Saved.")).to_be_visible()

    edit(second, field, "The second one's", buttons[:1])
    is_told(second, field, "The second one's")
    edit(second, field, "The second one's", buttons)
    expect(second.get_by_text("Saved.")).to_be_visible()
    first.goto(path)
    expect(first.get_by_label(field)).to_have_value("The second one's")


@pytest.mark.soak
def test_who_has_reviewed_before_the_other_saves_is_told_as_well(place: Any, browse: Any, ben: Any) -> None:
    agent, held = place.its.agent("Reviewed"), place.its.role("Reviewed", "customers:read")
    path = f"/console/delegations/{place.its.delegate(held, agent, 'customers:read')}/edit"
    first, second = browse(place.url, storage_state=place.mary), browse(place.url, storage_state=ben)
    for page in (first, second):
        page.goto(path)
    edit(second, "Owner", "The second one's", REVIEW[:1])
    edit(first, "Owner", "The first one's", REVIEW)
    second.get_by_role("button", name="Save the changes").click()
    is_told(second, "Owner", "The second one's")
