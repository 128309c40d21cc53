"""Every page of the console, found as a person finds them: by following links."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

from authsec_server.app import open_authority
from authsec_server.settings import load_settings
from playwright.sync_api import Page
from starlette.routing import Match, Route

NOWHERE = "/console/{path:path}"
# What is no page: files, a stream, downloads, and the way to another server and back.
NO_PAGES = (
    "/console/static/{version}/{name}",
    "/console/activity/stream",
    "/console/activity/export.{form}",
    "/console/sign-in/open-id",
    "/console/sign-in/callback",
)


@cache
def console_routes() -> list[Route]:
    """Where the console answers GET, in the order in which it looks; asked of an authority made for it."""
    with (
        tempfile.TemporaryDirectory(prefix="authsec-pages-") as folder,
        open_authority(load_settings(data=Path(folder))) as authority,
    ):
        routes = [route for route in authority.app.routes if isinstance(route, Route)]
    return [route for route in routes if route.path.startswith("/console") and "GET" in (route.methods or ())]


def pages(routes: Iterable[Route]) -> set[str]:
    """The patterns of those that are pages."""
    return {route.path for route in routes if route.path not in (NOWHERE, *NO_PAGES)}


def walk(page: Page, routes: list[Route], starts: Iterable[str]) -> Iterator[str]:
    """Go to one example of every page that links lead to; yields its pattern while `page` shows it.

    That of a link that leads nowhere is `NOWHERE`; of these, every one is shown.
    """

    def visit(way: str) -> list[str]:
        page.goto(way)
        links: list[str] = page.locator("a[href]").evaluate_all("all => all.map(a => a.getAttribute('href'))")
        return links

    return (pattern for _, pattern in ways(visit, routes, starts))


def ways(
    visit: Callable[[str], Iterable[str]], routes: list[Route], starts: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """One address of every page that links lead to, and its pattern. `visit` answers the links of an address."""
    ahead, been = [*starts], set[str]()
    while ahead:
        way = ahead.pop(0)
        pattern = _pattern(way, routes)
        mark = way if pattern == NOWHERE else pattern
        if mark in been or pattern in NO_PAGES:
            continue
        been.add(mark)
        ahead += [link.partition("#")[0] for link in visit(way) if link.startswith("/console")]
        yield way, pattern


def _pattern(way: str, routes: list[Route]) -> str:
    scope = {"type": "http", "method": "GET", "path": way.partition("?")[0], "headers": []}
    return next((route.path for route in routes if route.matches(scope)[0] is Match.FULL), NOWHERE)
