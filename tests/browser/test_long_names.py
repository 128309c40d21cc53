"""Long names, addresses and lists of actions: no page is wider than its window, and a title has each cut text."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from authsec_server.settings import load_settings
from console_pages import NOWHERE, console_routes, ways
from long_names import ACTIONS, CLERK, CLERK_ROLE, LONG
from offered import offered, signed_in
from playwright.sync_api import expect

pytestmark = pytest.mark.soak  # test_every_page looks at each page with usual names

WIDTHS = (390, pytest.param(1440, marks=pytest.mark.soak))
OPEN = "document.querySelectorAll('details:not(.menu)').forEach(each => { each.open = true; })"
# How much wider than the window the page is; the tables that hide something beside their edge; the texts that are cut,
# without a title that has them in full; the short keys of rows that break over lines; and the commas that begin a
# line. Code scrolls, and the breadcrumb's page has the whole name as its heading.
FAULTS = """() => {
  const IN_FULL = ".hidden, .crumbs, pre, [title]";
  const cuts = ({ overflowX, overflowY, textOverflow, webkitLineClamp }) =>
    textOverflow === "ellipsis" || overflowX === "hidden" || (webkitLineClamp !== "none" && overflowY === "hidden");
  const beyond = ({ clientWidth, clientHeight, scrollWidth, scrollHeight }) =>
    clientWidth > 1 && (scrollWidth > clientWidth + 1 || scrollHeight > clientHeight + 1);
  const titled = (element) =>
    element.closest(IN_FULL) || element.querySelector("[title]") || element.closest("a")?.querySelector("title");
  const cut = [...document.querySelectorAll("main :not(svg), dialog :not(svg)")].filter(
    (element) => element.checkVisibility() && cuts(getComputedStyle(element)) && beyond(element)
      && element.textContent.trim() && !titled(element));
  const broken = [...document.querySelectorAll("th code")].filter(
    (code) => code.textContent.length <= 12 && code.getClientRects().length > 1);
  const commas = [...document.querySelectorAll("main :not(pre)")].flatMap((element) => [...element.childNodes]).filter(
    (node) => node.nodeType === Node.TEXT_NODE && node.data.trim().startsWith(",") && node.previousElementSibling);
  const begins = (comma) => {
    const range = document.createRange();
    range.setStart(comma, comma.data.indexOf(","));
    range.setEnd(comma, comma.data.indexOf(",") + 1);
    const siblings = [...comma.parentElement.children].filter((each) => !each.matches(".hidden"));
    const before = siblings.findLast((each) => each.compareDocumentPosition(comma) & Node.DOCUMENT_POSITION_FOLLOWING);
    const place = range.getBoundingClientRect();
    return before && place.height && place.top >= [...before.getClientRects()].at(-1)?.bottom - 1;
  };
  const wider = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  const tables = [...document.querySelectorAll(".table")].filter((box) => box.scrollWidth > box.clientWidth);
  const told = (element) => [element.tagName, element.getAttribute("class"), element.textContent.trim().slice(0, 60)];
  return [
    ...(wider > 0 ? [`the page is ${wider} px wider than the window`] : []),
    ...tables.map((box) => `the table ${box.getAttribute("aria-label")} hides ${box.scrollWidth - box.clientWidth} px`),
    ...cut.map((element) => `cut without a title: ${told(element).join(" ")}`),
    ...broken.map((code) => `broken over two lines: ${code.textContent}`),
    ...commas.filter(begins).map((comma) => `a comma begins a line: ${comma.parentElement.textContent.slice(0, 60)}`),
  ];
}"""
CUT_NAMES = """names => names.filter(each => each.scrollHeight > each.clientHeight + 1).map(each => each.textContent)"""
# The whole name of each box, the part at its end, and the width of that part beyond the text of the box.
ENDS = """boxes => boxes.map(each => {
  const [text, end] = [each.querySelector("p"), each.querySelector("p span:last-child")];
  const beyond = end.getBoundingClientRect().right - text.getBoundingClientRect().right;
  return [text.textContent, end.textContent, Math.floor(beyond)];
})"""
# Whether the review scrolls, and fades at its lower edge.
FADES = """review => review.scrollHeight > review.clientHeight
  && getComputedStyle(review, "::after").position === "sticky" """
# Whether the API of each event is visible, on the line of the agent.
BESIDE = """apis => apis.map(each => {
  const who = each.closest("tr").querySelector(".log-who").getBoundingClientRect();
  return each.checkVisibility() && Math.abs(each.getBoundingClientRect().top - who.top) < 4;
})"""
# The lines of each name, its visible text, and its whole text.
NAMES = """names => names.map(each => [
  Math.round(each.clientHeight / parseFloat(getComputedStyle(each).lineHeight)),
  (each.querySelector("[aria-hidden]") ?? each).textContent,
  (each.querySelector(".hidden") ?? each).textContent,
])"""


@pytest.fixture(scope="module")
def long(serving: Any, sign_up: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The company with long names."""
    from sample_company import found

    folder = tmp_path_factory.mktemp("long")
    settings = load_settings(data=folder / "data")
    found(settings, datetime.now(UTC), days=2, company=LONG)
    with serving(folder, "") as serve:
        its = serve(AUTHSEC_SERVER_MASTER_KEY_FILE=str(settings.data / "master.key"))
        yield its, sign_up(its)


def new_delegation(its: Any) -> str:
    """The address of a new trust delegation with long names and many actions."""
    clients = its.admin.get("clients").json()["items"]
    chosen = "&".join(f"actions={action}" for action in ACTIONS)
    return f"/console/delegations/new?role={CLERK_ROLE}&client={clients[0]['client_id']}&{chosen}"


@pytest.mark.parametrize("width", [390, 1440])
def test_the_summary_of_a_new_delegation_is_not_cut(long: Any, browse: Any, width: int) -> None:
    its, mary = long
    page = browse(its.url, storage_state=mary, viewport={"width": width, "height": 844})
    page.goto(new_delegation(its))
    summary = page.locator(".draft-summary")
    expect(summary).to_contain_text(f"{CLERK} →")
    assert summary.evaluate("each => each.scrollHeight - each.clientHeight") <= 0
    assert summary.evaluate("each => each.clientHeight") < 70


@pytest.mark.parametrize("width", WIDTHS)
def test_long_names_fit_on_every_page(long: Any, browse: Any, width: int) -> None:
    its, mary = long
    new = new_delegation(its)
    starts = ["/console", new, "/console/search?q=correspondence"]
    with signed_in(its.url, mary) as http:
        found = [*ways(lambda way: offered(http, way).links, console_routes(), starts)]
    page = browse(its.url, storage_state=mary, viewport={"width": width, "height": 844})
    faults: dict[str, list[str]] = {}
    for way, pattern in found:
        assert pattern != NOWHERE, way
        page.goto(way)
        page.evaluate(OPEN)
        for fault in page.evaluate(FAULTS):
            faults.setdefault(fault, []).append(pattern)
    assert not faults, "\n".join(f"{fault}\n    {', '.join(places)}" for fault, places in faults.items())


@pytest.mark.parametrize("width", [390, 1024, 1440])
def test_names_that_differ_in_the_last_word_are_told_apart(long: Any, browse: Any, width: int) -> None:
    """A long name has two lines, and its last words. Screen readers get the whole name, and so does a pointer."""
    its, mary = long
    page = browse(its.url, storage_state=mary, viewport={"width": width, "height": 844})
    for way in ("clients", "delegations", "roles", "apis", "issuers", "activity"):
        page.goto(f"/console/{way}")
        names = page.locator("td a > strong.clamp, .log-who .clamp").locator("visible=true")
        assert names.count() > 0, way
        assert names.evaluate_all(CUT_NAMES) == [], way
        seen = names.evaluate_all(NAMES)
        most = 3 if way == "delegations" else 2  # a trust delegation has two names
        assert all(lines <= most for lines, _, _ in seen), (way, seen)
        assert len({short for _, short, _ in seen}) == len({whole for _, _, whole in seen}), (way, seen)
        link = page.get_by_role("link", name=CLERK).first
        if way == "activity" and width == 390:
            assert set(page.locator("tr:has(.badge.good) .log-api .clamp").evaluate_all(BESIDE)) == {True}
        if way in {"clients", "activity"}:
            expect(link.locator("[aria-hidden]")).to_contain_text("…")
            expect(page.get_by_title(CLERK).first).to_be_visible()


@pytest.mark.parametrize("width", [390, 1440])
def test_boxes_of_the_diagram_show_the_end_of_each_name(long: Any, browse: Any, width: int) -> None:
    """The addresses of the APIs differ in their last character only."""
    its, mary = long
    page = browse(its.url, storage_state=mary, viewport={"width": width, "height": 844})
    page.goto("/console")
    seen = page.locator("svg.picture a").evaluate_all(ENDS)
    assert len(seen) > 8
    assert all(name.endswith(end) and end and hidden <= 0 for name, end, hidden in seen), seen


def test_a_role_shows_the_end_of_the_names_of_its_clients(long: Any, browse: Any) -> None:
    its, mary = long
    page = browse(its.url, storage_state=mary, viewport={"width": 1440, "height": 844})
    page.goto(f"/console/roles/{CLERK_ROLE}")
    link = page.get_by_role("link", name=CLERK, exact=True)
    expect(link.locator("[aria-hidden]")).to_contain_text("Supervisors 1")
    assert link.evaluate("each => each.scrollWidth - each.clientWidth") <= 0
    actions = page.locator("td .clamp.actions")
    expect(actions.first.locator("[aria-hidden]").first).to_have_text("correspondence-…department")
    assert actions.evaluate_all(CUT_NAMES) == []
    actions.first.click()
    expect(page.get_by_role("region", name="Issued tokens").locator("td .clamp.actions").first).to_be_visible()
    assert actions.evaluate_all(CUT_NAMES) == []


def test_the_buttons_of_a_role_have_one_line(long: Any, browse: Any) -> None:
    its, mary = long
    page = browse(its.url, storage_state=mary, viewport={"width": 390, "height": 844})
    page.goto(f"/console/roles/{CLERK_ROLE}")
    buttons = page.locator(".heading-actions > *")
    assert buttons.count() == 3
    assert len(set(buttons.evaluate_all("each => each.map(button => button.getBoundingClientRect().top)"))) == 1


@pytest.mark.parametrize(("width", "is_far"), [(390, True), (1024, True), (1440, False)])
def test_far_from_the_review_the_button_leads_to_its_warnings(long: Any, browse: Any, width: int, is_far: bool) -> None:
    its, mary = long
    page = browse(its.url, storage_state=mary, viewport={"width": width, "height": 844})
    page.goto(new_delegation(its))
    link = page.locator(".form-actions").get_by_role("link", name="3 warnings")
    expect(link).to_be_visible(visible=is_far)
    if is_far:
        link.click()
    expect(page.locator("#review .alert-head")).to_be_in_viewport(ratio=1)
    assert page.locator("#review").evaluate(FADES) is not is_far
