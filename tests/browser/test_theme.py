"""Light or dark: as the system is, until somebody chooses; one press always leads to the other."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

PAGE = "/console/clients?text=a+b"
IS_DARK = """() => {
  const [red, green, blue] = getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).map(Number);
  return red + green + blue < 384;
}"""


def is_dark(page: Page) -> bool:
    dark: bool = page.evaluate(IS_DARK)
    return dark


@pytest.mark.parametrize(
    ("system", "other"), [("light", "Dark"), pytest.param("dark", "Light", marks=pytest.mark.soak)]
)
def test_the_toggle(company: Any, browse: Any, system: str, other: str) -> None:
    page = browse(company.url, storage_state=company.mary, color_scheme=system)
    page.goto(PAGE)
    assert is_dark(page) == (system == "dark")
    page.get_by_role("button", name=f"{other} theme").click()
    expect(page).to_have_url(f"{company.url}{PAGE}")
    assert is_dark(page) == (other == "Dark")
    page.goto("/console/roles")
    assert is_dark(page) == (other == "Dark")  # it is kept, whatever the system is
    page.get_by_role("button", name=f"{system.capitalize()} theme").click()
    assert is_dark(page) == (system == "dark")
