"""Every page of the console, light and dark, wide and narrow: nothing goes wrong, nobody is shut out."""

from __future__ import annotations

from collections import defaultdict
from typing import Any
from urllib.parse import urlencode

import pytest
from console_pages import NOWHERE, console_routes, pages, ways
from offered import offered, signed_in
from sample_company import RETIRED_CLUSTER

TOKENS = "/authsec/uflow/sdk/delegation-token"
WIDE, NARROW = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
BETWEEN = (1280, 1024, 900, 768, 320)
BRIEFLY = (320,)
OPEN = "document.querySelectorAll('details.more').forEach(each => { each.open = true; })"
# How much wider than the window the page is; and the tables with what is hidden of them beside the edge of their box,
# where nobody finds it who does not know of it.
BESIDE = """() => [
  document.documentElement.scrollWidth - document.documentElement.clientWidth,
  [...document.querySelectorAll(".table")]
    .map((box) => [box.getAttribute("aria-label"), box.scrollWidth - box.clientWidth])
    .filter(([, hidden]) => hidden > 0),
]"""
SCHEMES = ("light", "dark")
PARTS = 9  # so that no test is a long one


def live_token(its: Any, clients: list[dict[str, Any]]) -> int:
    """The event of a token that can still be used, of an agent that needs no proof."""
    client_id = next(each["client_id"] for each in clients if each["name"] == "Night Reports")
    its.http.get(TOKENS, params={"client_id": client_id}).raise_for_status()
    events = its.admin.get("events").json()["items"]
    return next(int(each["id"]) for each in events if each["kind"] == "token.issued")


def starts(its: Any) -> list[str]:
    """Where no link leads: in, where forms lead, and what is offered only for what is disabled, or has a secret."""
    clients, delegations = (its.admin.get(path).json()["items"] for path in ("clients", "delegations"))
    agent = next(each["client_id"] for each in clients if each["enabled"])
    chosen = urlencode({"role": "reporting", "client": agent, "actions": "customers:read"})
    retired = next(each["client_id"] for each in clients if not each["enabled"])
    ended = next(each["id"] for each in delegations if each["state"] == "disabled")
    key = its.admin.get("admin-keys").json()["items"][0]["id"]
    person = its.admin.get("administrators").json()["items"][0]["id"]
    return [
        "/console",
        "/console/sign-in",
        "/console/set-up",
        "/console/account/sessions/end-others",  # linked beside a second session
        "/console/account/password",  # of whom a password was refused, and who goes there once more
        "/console/account/second-factor/confirm",
        "/console/account/second-factor/off",
        "/console/sign-in/code?recovery=yes",
        f"/console/administrators/{person}/reset-second-factor",  # linked if it is on
        "/console/search?q=claims",
        f"/console/clients/disable?client={agent}",
        f"/console/clients/{retired}/enable",
        f"/console/delegations/{ended}/enable",
        f"/console/issuers/{RETIRED_CLUSTER}/enable",
        "/console/issuers/production-cluster/disable",
        "/console/issuers/production-cluster/try",
        "/console/issuers/new?kind=kubernetes",
        f"/console/activity/{live_token(its, clients)}/end-token",
        f"/console/administrators/keys/{key}/grants",
        f"/console/clients/{agent}/enrol",
        f"/console/clients/{agent}/secret",
        f"/console/delegations/new?{chosen}",
    ]


@pytest.fixture(scope="module")
def found(company: Any) -> list[tuple[str, str]]:
    """The addresses of all pages, with their patterns, found without a browser."""
    with signed_in(company.url, company.mary) as http:
        return [*ways(lambda way: offered(http, way).links, console_routes(), starts(company.its))]


def test_links_lead_to_every_page_and_none_leads_nowhere(found: list[tuple[str, str]]) -> None:
    assert [way for way, pattern in found if pattern == NOWHERE] == []
    assert {pattern for _, pattern in found} == pages(console_routes())


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.soak) for part in range(1, PARTS))])
@pytest.mark.parametrize(
    ("viewport", "besides", "in_both"),
    [
        pytest.param(WIDE, BRIEFLY, False, id="wide"),
        pytest.param(WIDE, BETWEEN, True, id="wide in both schemes", marks=pytest.mark.soak),
        pytest.param(NARROW, (), True, id="narrow", marks=pytest.mark.soak),
    ],
)
def test_every_page(
    company: Any,
    found: list[tuple[str, str]],
    browse: Any,
    axe: Any,
    axe_source: str,
    viewport: Any,
    besides: tuple[int, ...],
    in_both: bool,
    part: int,
) -> None:
    page = browse(company.url, storage_state=company.mary, viewport=viewport, reused=False)
    page.add_init_script(axe_source)  # cheaper than to send it to each page
    faults = defaultdict[str, list[str]](list)
    for number, (way, pattern) in enumerate(found[part::PARTS]):
        page.goto(way)
        for scheme in SCHEMES if in_both else [SCHEMES[number % 2]]:
            page.emulate_media(color_scheme=scheme)
            for fault in axe(page):
                faults[f"{scheme}: {fault}"].append(pattern)
        page.evaluate(OPEN)
        for width in (viewport["width"], *besides):
            page.set_viewport_size(viewport | {"width": width})
            wider, cut = page.evaluate(BESIDE)
            if wider > 0:
                faults["wider than the window"].append(f"{pattern} by {wider} px at {width}")
            for table, hidden in cut:
                faults["a table is cut"].append(f"{pattern}: {table} by {hidden} px at {width}")
        page.set_viewport_size(viewport)
    assert not faults, "\n\n".join(f"{fault}\n{', '.join(places)}" for fault, places in faults.items())
