"""What a style must not take away: the tone of a warning, badges on a new row, the end of a line of code."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

pytestmark = pytest.mark.soak  # test_every_page looks at each page

COLOUR = "element => getComputedStyle(element).color"
BACKGROUND = "element => getComputedStyle(element).backgroundColor"
BESIDE = "element => element.scrollWidth - element.clientWidth"
BELOW = "element => element.scrollHeight - element.clientHeight"
SCROLLS = "element => getComputedStyle(element).overflowY"
LONGEST = """select => {
  const { font, paddingLeft, paddingRight } = getComputedStyle(select);
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = font;
  const arrow = 16;
  const room = select.clientWidth - parseFloat(paddingLeft) - parseFloat(paddingRight) - arrow;
  return [...select.options].map((option) => option.text).filter((text) => pen.measureText(text).width > room);
}"""  # the options that a select cuts once they are chosen
SCHEMES = ("light", pytest.param("dark", marks=pytest.mark.soak))
WIDTHS = (320, pytest.param(1280, marks=pytest.mark.soak))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_warning_that_is_a_hint_is_amber(company: Any, browse: Any, scheme: str) -> None:
    page = browse(company.url, storage_state=company.mary, color_scheme=scheme)
    chosen = {"role": "reporting", "client": "claims-triage", "actions": "customers:delete"}
    page.goto(f"/console/delegations/new?{urlencode(chosen)}")
    warning = page.get_by_text("This role does not have")
    assert warning.evaluate(COLOUR) != page.locator("#field-amount-hint").evaluate(COLOUR)
    amber = warning.evaluate(COLOUR)
    page.goto("/console/clients?state=unproved")
    assert page.get_by_role("main").locator("td").get_by_text("Can't authenticate").first.evaluate(COLOUR) == amber


@pytest.mark.soak
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_badges_of_a_new_row_stand_out_from_it(company: Any, browse: Any, scheme: str) -> None:
    page = browse(company.url, storage_state=company.mary, color_scheme=scheme)
    live = next(each for each in company.its.admin.get("delegations").json()["items"] if each["state"] == "live")
    page.goto(f"/console/delegations?new={live['id']}")
    row = page.locator("tr.new")
    assert row.get_by_text("New", exact=True).is_visible()
    for badge in row.locator(".badge").all():
        assert badge.evaluate(BACKGROUND) != row.evaluate(BACKGROUND), badge.inner_text()


@pytest.mark.soak
@pytest.mark.parametrize("width", WIDTHS)
def test_tabs_have_no_place_to_scroll_up_and_down(company: Any, browse: Any, width: int) -> None:
    page = browse(company.url, storage_state=company.mary, viewport={"width": width, "height": 800})
    page.goto("/console/clients/claims-triage")
    tabs = page.get_by_role("navigation", name="Client")
    assert tabs.evaluate(BELOW) == 0
    assert tabs.evaluate(SCROLLS) == "hidden"


@pytest.mark.parametrize("width", WIDTHS)
def test_the_end_of_a_line_of_code_is_seen(company: Any, browse: Any, width: int) -> None:
    page = browse(company.url, storage_state=company.mary, viewport={"width": width, "height": 800})
    for path in ("/console/apis/claims-api", "/console/clients/claims-triage/connect"):
        page.goto(path)
        for block in page.locator(".code pre").all():
            assert block.evaluate(BESIDE) <= 0, block.inner_text()


@pytest.mark.parametrize("width", WIDTHS)
def test_the_picture_of_authority_is_whole_and_can_be_read(company: Any, browse: Any, width: int) -> None:
    page = browse(company.url, storage_state=company.mary, viewport={"width": width, "height": 800})
    page.goto("/console/picture")
    picture = page.locator("svg.picture")
    edge = picture.evaluate("svg => svg.getBoundingClientRect().right")
    for box in picture.locator("rect").all():
        assert box.evaluate("rect => rect.getBoundingClientRect().right") < edge  # its line is half outside of it
    for head in picture.locator(".picture-head").all():
        assert head.evaluate("text => text.getBoundingClientRect().height") > 12
    for name in picture.locator("p span:first-child, small").all():
        assert name.evaluate("element => getComputedStyle(element).textOverflow") == "ellipsis"
    for end in picture.locator("p span + span").all():
        assert end.evaluate("element => element.scrollWidth - element.clientWidth") <= 0, end.inner_text()


def test_the_actions_of_a_token_request_are_seen_whole(company: Any, browse: Any) -> None:
    page = browse(company.url, storage_state=company.mary, viewport={"width": 1280, "height": 800})
    page.goto("/console/activity?what=issued")
    did = page.locator("td.log-did")
    assert did.filter(has_text="claims:decide, claims:read").count() > 0
    assert [each.inner_text() for each in did.all() if each.evaluate(BESIDE) > 0] == []


@pytest.mark.parametrize("width", [390, 1024, 1280])
def test_the_act_and_the_reason_of_each_event_are_seen_whole(company: Any, browse: Any, width: int) -> None:
    page = browse(company.url, storage_state=company.mary, viewport={"width": width, "height": 800})
    page.goto("/console/activity")
    assert page.locator("td.log-result code").count() > 0
    parts = page.locator(".log-link, .log-result").all()
    assert [each.inner_text() for each in parts if max(each.evaluate(BESIDE), each.evaluate(BELOW)) > 0] == []


@pytest.mark.parametrize("width", [390, 800, 1024, 1280])
def test_the_api_of_each_issued_token_is_seen(company: Any, browse: Any, width: int) -> None:
    page = browse(company.url, storage_state=company.mary, viewport={"width": width, "height": 800})
    page.goto("/console/activity?what=issued")
    rows = page.get_by_role("region", name="Events").locator("tbody tr")
    apis = page.locator("td.log-api").filter(has_text="claims.example.com").locator("visible=true")
    assert apis.count() == rows.filter(has_text="claims:decide").count() > 0
    assert [each.inner_text() for each in apis.all() if each.evaluate(BESIDE) > 0] == []


@pytest.mark.parametrize("width", [390, 1280])
def test_no_selector_key_is_cut(company: Any, browse: Any, width: int) -> None:
    page = browse(company.url, storage_state=company.mary, viewport={"width": width, "height": 800})
    page.goto("/console/clients/onboard")
    page.get_by_role("radio", name="Kubernetes").check()
    key = page.get_by_role("combobox", name="Key of selector 1")
    assert key.evaluate(LONGEST) == []
    key.select_option("k8s:pod-label:")
    assert page.get_by_role("textbox", name="Label of selector 1").is_visible()
    chosen = key.evaluate("select => select.selectedOptions[0].text")
    assert chosen not in key.evaluate(LONGEST)
