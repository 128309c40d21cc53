"""The signing keys in the console: where in its life each is, and rotating them by hand."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.keys.model import PUBLISH_AHEAD
from pages import Page, get, post
from sqlalchemy import text
from starlette.testclient import TestClient

House = Any
KEYS, ROTATE = "/console/keys", "/console/keys/rotate"


def states(page: Page) -> dict[str, str]:
    """Each key with its state, as the list shows them."""
    return {kid: state for state, kid in re.findall(r"(Active|Prepared|Retired|Gone) ([\w-]{43})", page.text)}


def published(door: TestClient) -> set[str]:
    return {key["kid"] for key in door.get("/.well-known/jwks.json").json()["keys"]}


def kid_in(page: Page, state: str) -> str:
    (kid,) = [kid for kid, its in states(page).items() if its == state]
    return kid


def test_the_list_says_which_key_signs_and_which_comes_next(door: TestClient) -> None:
    page = get(door, KEYS)
    assert sorted(states(page).values()) == ["Active", "Prepared"]
    assert set(states(page)) == published(door)
    assert "The active key rotates automatically after 30 days." in page.text
    for path in ("jwks.json", "oauth-authorization-server"):
        assert f"http://127.0.0.1:7468/.well-known/{path}" in page.text
    assert page.links["Rotate key"] == ROTATE


def test_no_private_part_is_on_any_page(door: TestClient, opened: House) -> None:
    sealed = opened.authority.database.read(
        lambda tx: list(tx.connection.execute(text("SELECT sealed_private FROM signing_keys")).scalars())
    )
    assert len(sealed) == 2
    for path in (KEYS, ROTATE):
        html = get(door, path).html
        assert "PRIVATE" not in html
        assert not any(each.hex() in html for each in sealed)


def test_a_rotation_is_asked_for_first(door: TestClient, opened: House) -> None:
    opened.clock.at += PUBLISH_AHEAD
    before = states(get(door, KEYS))
    page = get(door, ROTATE)
    assert f"The prepared key {kid_in(get(door, KEYS), 'Prepared')} becomes active." in page.text
    assert "no token becomes invalid" in page.text
    assert "Force the rotation now" not in page.text
    assert states(get(door, KEYS)) == before


def test_a_rotation_moves_each_key_on(door: TestClient, opened: House) -> None:
    opened.clock.at += PUBLISH_AHEAD
    listed = get(door, KEYS)
    active, prepared = kid_in(listed, "Active"), kid_in(listed, "Prepared")
    page = get(door, ROTATE).form().send().follow()
    assert page.path == KEYS
    assert "The prepared key is now active." in page.text
    now = states(page)
    assert (now[active], now[prepared]) == ("Retired", "Active")
    assert kid_in(page, "Prepared") not in (active, prepared)
    assert published(door) == set(now)
    assert "in 7 days" in page.text


def test_how_long_a_retired_key_stays_published_is_said_before_and_kept(door: TestClient, opened: House) -> None:
    """As long as any setting lets a token live, and an hour for clocks: the setting of today may be lower."""
    opened.clock.at += PUBLISH_AHEAD
    assert (
        "A retired key stays published for 7 days 1 hour, which is longer than the maximum lifetime of any token."
        in get(door, KEYS).text
    )
    page = get(door, ROTATE)
    assert "It stays published for 7 days 1 hour, longer than any token lives" in page.text
    shown = page.form().send().follow().html
    assert f'title="{opened.clock.at + timedelta(days=7, hours=1):%Y-%m-%d %H:%M:%S} UTC"' in shown


def test_too_early_it_says_when_and_does_nothing(door: TestClient, opened: House) -> None:
    opened.clock.at += PUBLISH_AHEAD - timedelta(seconds=90)
    before = states(get(door, KEYS))
    page = get(door, ROTATE)
    assert "Verifiers may not have seen the prepared key yet" in page.text
    assert "You can rotate safely in 1 minute 30 seconds." in page.text
    page = page.form().send()
    assert page.status == 409
    assert "published recently, so some verifiers may not know it yet" in page.text
    assert "Rotate in 90 seconds, or force the rotation" in page.text
    assert states(get(door, KEYS)) == before


@pytest.mark.parametrize(
    ("state", "said"),
    [("Prepared", "This key has signed no token."), ("Active", "No live token depends on this key.")],
)
def test_the_question_about_a_key_without_tokens_counts_none(door: TestClient, state: str, said: str) -> None:
    page = get(door, f"{KEYS}/{kid_in(get(door, KEYS), state)}/revoke")
    assert said in page.text
    assert "refuse forged tokens of this key after they fetch the key set again" in page.text
    assert "0 agents" not in page.text
    assert "These agents" not in page.text


def test_by_force_it_is_done_all_the_same(door: TestClient) -> None:
    prepared = kid_in(get(door, KEYS), "Prepared")
    assert get(door, ROTATE).form().send(force="yes").status == 303
    assert kid_in(get(door, KEYS), "Active") == prepared


def test_two_who_rotate_at_once_rotate_once(door: TestClient, opened: House) -> None:
    """The second one's prepared key has just been made: no verifier has seen it."""
    opened.clock.at += PUBLISH_AHEAD
    first, second = get(door, ROTATE).form(), get(door, ROTATE).form()
    assert first.send().status == 303
    assert second.send().status == 409
    assert sorted(states(get(door, KEYS)).values()) == ["Active", "Prepared", "Retired"]


def test_with_no_key_prepared_there_is_nothing_to_rotate_to(door: TestClient, opened: House) -> None:
    opened.authority.database.change(
        lambda tx: tx.connection.execute(text("DELETE FROM signing_keys WHERE state = 'prepared'"))
    )
    page = get(door, ROTATE)
    assert "There is no key to rotate to" in page.text
    assert "0 seconds" not in page.text
    assert ">Rotate<" not in page.html
    refused = post(door, ROTATE, [("force", "yes")])
    assert refused.status == 503
    assert "There is no prepared signing key." in refused.text


def test_a_rotation_is_in_the_trail_under_the_name_of_who_did_it(door: TestClient, opened: House) -> None:
    get(door, ROTATE).form().send(force="yes")
    (event,) = [each.event for each in opened.events() if each.event.kind == "key.rotated"]
    assert event.principal.name == "local operator"
    assert "local operator activated the signing key" in get(door, "/console/activity?what=keys").text
