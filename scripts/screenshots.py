"""Take screenshots of the console.

Without arguments, the script takes the images in README and docs. With `--all DIR`, it takes every page in four forms:
light and dark, wide and narrow. With `--long DIR`, it takes the pages of a company with long names.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import urlencode

import chromium
from console_pages import NOWHERE, console_routes, walk
from long_names import CLERK_ROLE, LONG
from playwright.sync_api import Browser, Page, ViewportSize
from sample_company import COMPANY
from sample_console import NOW, Shown, shown

IMAGES = Path(__file__).parents[1] / "docs" / "images"
WIDE, NARROW = ViewportSize(width=1440, height=900), ViewportSize(width=390, height=844)
Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")
TALL = ViewportSize(width=1280, height=1060)  # the size of the images in README and docs


def main() -> None:
    """Take the screenshots that the arguments select."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--all", type=Path, metavar="DIR", help="take every page, and write the images to DIR")
    arguments.add_argument(
        "--long", type=Path, metavar="DIR", help="the same with long names, for people who change CSS"
    )
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="authsec-pictures-") as temporary, chromium.started() as browser:
        if asked.all:
            for name, company in (("company", COMPANY), ("empty", None)):
                with shown(Path(temporary) / name, company) as its:
                    everything(browser, its, asked.all / name)
        if asked.long:
            with shown(Path(temporary) / "long", LONG) as its:
                everything(browser, its, asked.long)
        if not (asked.all or asked.long):
            with shown(Path(temporary) / "data") as its:
                chosen(browser, its, CHOSEN)
            with shown(Path(temporary) / "new", None) as its:
                chosen(browser, its, CHOSEN_OF_A_NEW_COMPANY)


def chosen(browser: Browser, its: Shown, images: Iterable[Image]) -> None:
    """Take these images for README and docs."""
    IMAGES.mkdir(exist_ok=True)
    for scheme, name, come in images:
        with opened(browser, its, scheme, TALL) as page:
            come(page, its)
            _take(page, IMAGES / f"{name}.png")


def everything(browser: Browser, its: Shown, folder: Path) -> None:
    """Take every linked page, and the pages before the sign-in."""
    routes = console_routes()
    for scheme, (size, viewport) in itertools.product(SCHEMES, (("wide", WIDE), ("narrow", NARROW))):
        with opened(browser, its, scheme, viewport) as page:
            for pattern in walk(
                page, routes, ["/console", "/console/sign-in", "/console/set-up", *_new_delegation(its)]
            ):
                name = pattern.removeprefix("/console").strip("/") or "dashboard"
                if pattern != NOWHERE:
                    page.screenshot(path=folder / f"{scheme}-{size}" / f"{name.replace('/', '.')}.png", full_page=True)


@contextmanager
def opened(browser: Browser, its: Shown, scheme: Scheme, viewport: ViewportSize) -> Iterator[Page]:
    """Open a page with the administrator's session. The browser's clock is fixed at `NOW`."""
    context = browser.new_context(
        base_url=its.url, storage_state=its.session, color_scheme=scheme, viewport=viewport, reduced_motion="reduce"
    )
    with context:
        context.clock.set_fixed_time(NOW)
        yield context.new_page()


def _dashboard(page: Page, _its: Shown) -> None:
    page.goto("/console")


def _onboarding(page: Page, _its: Shown) -> None:
    """Fill in the dialog as in the first step of the walk-through. The window is as high as the dialog."""
    page.set_viewport_size({"width": TALL["width"], "height": 1200})
    page.goto("/console/clients/onboard")
    page.get_by_label("AI Agent Name").fill("Customer Support")
    page.get_by_role("radio", name="Kubernetes").check()
    for number, (key, label, value) in enumerate(SELECTORS, start=1):
        chosen = page.get_by_role("combobox", name=f"Key of selector {number}")
        if not chosen.is_visible():
            page.get_by_role("button", name="Add a selector").click()
        chosen.select_option(key)
        if label:
            page.get_by_role("textbox", name=f"Label of selector {number}").fill(label)
        page.get_by_role("textbox", name=f"Value of selector {number}").fill(value)
    page.get_by_role("button", name="+ Onboard").focus()
    page.get_by_text("Can't authenticate yet: no trusted issuer.").locator("visible=true").wait_for()


def _client(page: Page, _its: Shown) -> None:
    page.goto("/console/clients/customer-support")


def _allowed_actions(page: Page, its: Shown) -> None:
    page.goto(f"{_new_delegation(its)[0]}#permissions")


def _review(page: Page, its: Shown) -> None:
    page.goto(_new_delegation(its)[0])
    page.get_by_text("Claims of its tokens").click()


def _activity(page: Page, _its: Shown) -> None:
    page.goto("/console/activity")
    page.get_by_text("New events appear automatically.").wait_for()


Image = tuple[Scheme, str, Callable[[Page, Shown], None]]
CHOSEN: tuple[Image, ...] = (
    ("light", "dashboard", _dashboard),
    ("dark", "dashboard-dark", _dashboard),
    ("light", "client", _client),
    ("light", "allowed-actions", _allowed_actions),
    ("light", "review", _review),
    ("light", "activity", _activity),
)
CHOSEN_OF_A_NEW_COMPANY: tuple[Image, ...] = (("light", "onboard-new-client", _onboarding),)
SELECTORS = (
    ("k8s:ns", "", "production"),
    ("k8s:sa", "", "customer-support-sa"),
    ("k8s:pod-label:", "app", "customer-support"),
    ("k8s:container-name", "", "agent"),
)


def _new_delegation(its: Shown) -> list[str]:
    """Return the address of a new trust delegation with everything chosen."""
    if CLERK_ROLE in its.clients:  # a role and an agent with the same name
        query = urlencode({"role": CLERK_ROLE, "client": its.clients[CLERK_ROLE], "actions": "all"})
        return [f"/console/delegations/new?{query}"]
    if not its.clients:
        return []
    answers = [
        ("role", "customer-support"),
        ("client", its.clients["customer-support"]),
        ("target_type", "AutoGen AI agent"),
        ("actions", "customers:read"),
        ("actions", "claims:read"),
        ("audiences", "https://customers.example.com"),
    ]
    return [f"/console/delegations/new?{urlencode(answers)}"]


def _take(page: Page, file: Path) -> None:
    """Take a screenshot of the window. Cut off the empty part below the content."""
    bottom: float = page.evaluate("document.querySelector('main').getBoundingClientRect().bottom")
    window = page.viewport_size or TALL
    height = window["height"] if page.locator("dialog").count() else min(bottom, window["height"])
    page.screenshot(path=file, clip={"x": 0, "y": 0, "width": window["width"], "height": height})
    print(f"{file.name}: {file.stat().st_size // 1024} kB")


if __name__ == "__main__":
    main()
