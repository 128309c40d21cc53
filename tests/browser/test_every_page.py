"""Every page of the console, light and dark, wide and narrow: nothing goes wrong, nobody is shut out."""

from __future__ import annotations

from collections import defaultdict
from typing import Any
from urllib.parse import urlencode

import pytest
from console_pages import NOWHERE, console_routes, pages, walk
from sample_company import RETIRED_CLUSTER

ROUTES = console_routes()
TOKENS = "/authsec/uflow/sdk/delegation-token"
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 320, "height": 700}
BETWEEN = (1024, 900, 768, 320)
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
OF_COLOURS = ["color-contrast", "link-in-text-block"]  # what the other rules ask is the same in the light and the dark
OPEN = "document.querySelectorAll('details.more').forEach(each => { each.open = true; })"
# What lies beside the edge of a table's box is found by nobody who does not know of it.
CUT = """() => [...document.querySelectorAll(".table")]
  .map((box) => [box.getAttribute("aria-label"), box.scrollWidth - box.clientWidth])
  .filter(([, hidden]) => hidden > 0)"""


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
    return [
        "/console",
        "/console/sign-in",
        "/console/set-up",
        "/console/account/password",  # of whom a password was refused, and who goes there once more
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
        *(f"/console/delegations/new/{step}?{chosen}" for step in ("actions", "duration", "review")),
    ]


@pytest.mark.parametrize(
    "viewport", [pytest.param(WIDE, id="wide"), pytest.param(NARROW, id="narrow", marks=pytest.mark.soak)]
)
def test_every_page(company: Any, browse: Any, axe: Any, viewport: dict[str, int]) -> None:
    page = browse(company.its.url, storage_state=company.mary, viewport=viewport)
    seen, faults = set[str](), defaultdict[str, list[str]](list)
    for pattern in walk(page, ROUTES, starts(company.its)):
        if pattern == NOWHERE:
            faults["a link leads nowhere"].append(page.url)
            continue
        seen.add(pattern)
        for scheme, rules in (("light", None), ("dark", OF_COLOURS)):
            page.emulate_media(color_scheme=scheme)
            for fault in axe(page, rules):
                faults[f"{scheme}: {fault}"].append(pattern)
        widths = (viewport["width"], *(BETWEEN if viewport is WIDE else ()))
        for width in widths:
            page.set_viewport_size(viewport | {"width": width})
            if (wider := page.evaluate(OVERFLOW)) > 0:
                faults["wider than the window"].append(f"{pattern} by {wider} px at {width}")
        page.evaluate(OPEN)
        for width in widths:
            page.set_viewport_size(viewport | {"width": width})
            for table, hidden in page.evaluate(CUT):
                faults["a table is cut"].append(f"{pattern}: {table} by {hidden} px at {width}")
        page.set_viewport_size(viewport)
    assert not faults, "\n\n".join(f"{fault}\n{', '.join(places)}" for fault, places in faults.items())
    assert seen == pages(ROUTES)
