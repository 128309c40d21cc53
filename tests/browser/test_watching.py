"""The watch over pages sees what it is there to see: a page that does everything wrong, and one that does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import chromium
import pytest
from authsec_demo.loopback import serving
from playwright.sync_api import Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

POLICY = "default-src 'none'; script-src 'self'; img-src http:"
SCRIPTS = {
    "/fails.js": "throw new Error('it broke')",
    "/complains.js": "console.error('look here')",
    "/hurries.js": "document.querySelector('p').textContent = 'with script'",
}
GOOD = '<!doctype html><html lang="en"><title>Good</title><main><h1>Good</h1><p>without script</p></main>'


async def page(request: Request) -> Response:
    """The good page, with what the query adds to it."""
    status = int(request.query_params.get("status", "200"))
    return HTMLResponse(
        GOOD + request.query_params.get("more", ""), status, headers={"Content-Security-Policy": POLICY}
    )


async def script(request: Request) -> Response:
    return Response(SCRIPTS[request.url.path], media_type="text/javascript")


async def icon(_request: Request) -> Response:
    return Response(status_code=204)


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    routes = [Route("/", page), Route("/favicon.ico", icon), *(Route(path, script) for path in SCRIPTS)]
    with serving(Starlette(routes=routes)) as url:
        yield url


def show(browser_page: Page, **query: str) -> None:
    browser_page.goto("/?" + "&".join(f"{name}={value}" for name, value in query.items()))


@pytest.mark.soak
def test_a_good_page_passes(site: str, browse: Any, axe: Any) -> None:
    window = browse(site)
    show(window, more="<script src=/hurries.js></script>")
    expect(window.get_by_text("with script")).to_be_visible()
    assert axe(window) == []


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("<script>1</script>", "Content Security Policy"),
        ("<p style=color:red>", "Content Security Policy"),
        ("<script src=/fails.js></script>", "script failed: it broke"),
        ("<script src=/complains.js></script>", "console: look here"),
        ("<img src=/missing.png alt=x>", "status 404"),
        ("<img src=http://192.0.2.1:1/x.png alt=x>", "asked another host"),
    ],
)
def test_what_goes_wrong_is_noticed(site: str, browse: Any, more: str, problem: str) -> None:
    show(browse(site), more=more)
    assert any(problem in each for each in browse.problems), browse.problems
    browse.problems.clear()


@pytest.mark.soak  # a status of 404 is noticed in every run
def test_a_form_may_be_refused_but_a_server_must_not_fail(site: str, browse: Any) -> None:
    window = browse(site)
    show(window, status="422")
    assert browse.problems == []
    show(window, status="500")
    assert [problem.partition(":")[0] for problem in browse.problems] == ["status 500"]
    browse.problems.clear()


def test_axe_names_the_fault_and_its_place(site: str, browse: Any, axe: Any) -> None:
    window = browse(site)
    show(window, more="<nav><input id=nameless></nav>")
    assert [fault.partition("\n")[0] for fault in axe(window)] == ["label at #nameless"]


@pytest.mark.soak
def test_without_script(site: str, browse: Any) -> None:
    window = browse(site, java_script_enabled=False)
    show(window, more="<script src=/hurries.js></script>")
    expect(window.get_by_text("without script")).to_be_visible()


@pytest.mark.soak
def test_a_window_that_is_used_again_knows_nothing_of_before(site: str, windows: Any) -> None:
    with windows.opened(reused=True, base_url=site) as before:
        before.origins = [site]
        show(before.page)
        before.context.add_cookies([{"name": "session", "value": "of another test", "url": site}])
    with windows.opened(reused=True, base_url=site) as window:
        assert window is before
        assert window.page.url == "about:blank"
        assert window.context.cookies() == []


def test_a_browser_that_is_named_and_not_there_is_not_replaced_by_another() -> None:
    with pytest.raises(chromium.NoChromium, match="AUTHSEC_CHROMIUM names /nowhere"):
        chromium.find({"AUTHSEC_CHROMIUM": "/nowhere"})
