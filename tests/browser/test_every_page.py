"""Every page of the console, light and dark, wide and narrow: nothing goes wrong, nobody is shut out."""

from __future__ import annotations

from collections import defaultdict

import pytest
from console_pages import NOWHERE, console_routes, pages, walk

ROUTES = console_routes()
STARTS = ("/console", "/console/clients", "/console/sign-in", "/console/set-up")
WIDE, NARROW = {"width": 1280, "height": 800}, {"width": 320, "height": 700}
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page(company, browse, axe, scheme: str, viewport: dict[str, int]) -> None:
    page = browse(company.its.url, storage_state=company.mary, color_scheme=scheme, viewport=viewport)
    seen, faults = set[str](), defaultdict[str, list[str]](list)
    for pattern in walk(page, ROUTES, STARTS):
        if pattern == NOWHERE:
            faults["a link leads nowhere"].append(page.url)
            continue
        seen.add(pattern)
        for fault in axe(page):
            faults[fault].append(pattern)
        if (wider := page.evaluate(OVERFLOW)) > 0:
            faults["wider than the window"].append(f"{pattern} by {wider} px")
    assert not faults, "\n\n".join(f"{fault}\n{', '.join(places)}" for fault, places in faults.items())
    assert seen == pages(ROUTES)
