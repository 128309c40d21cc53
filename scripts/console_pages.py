"""Visit every page of the console by following links, as a person does."""

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
# Routes that are not pages: files, a stream, downloads, suggestions, and the redirects to and from another server.
NO_PAGES = (
    "/console/static/{version}/{name}",
    "/console/activity/stream",
    "/console/activity/export.{form}",
    "/console/delegations/new/clients",
    "/console/search/suggestions",
    "/console/sign-in/open-id",
    "/console/sign-in/callback",
)


@cache
def console_routes() -> list[Route]:
    """Return the console's routes for GET, in the order in which an authority matches them."""
    with (
        tempfile.TemporaryDirectory(prefix="authsec-pages-") as folder,
        open_authority(load_settings(data=Path(folder))) as authority,
    ):
        routes = [route for route in authority.app.routes if isinstance(route, Route)]
    return [route for route in routes if route.path.startswith("/console") and "GET" in (route.methods or ())]


def pages(routes: Iterable[Route]) -> set[str]:
    """Return the path patterns of the routes that are pages."""
    return {route.path for route in routes if route.path not in (NOWHERE, *NO_PAGES)}


def walk(page: Page, routes: list[Route], starts: Iterable[str]) -> Iterator[str]:
    """Open one example of every linked page in `page`, and yield its path pattern.

    The pattern of a broken link is `NOWHERE`. Every broken link is opened.
    """

    def visit(way: str) -> list[str]:
        page.goto(way)
        links: list[str] = page.locator("a[href]").evaluate_all("all => all.map(a => a.getAttribute('href'))")
        return links

    return (pattern for _, pattern in ways(visit, routes, starts))


def ways(
    visit: Callable[[str], Iterable[str]], routes: list[Route], starts: Iterable[str]
) -> Iterator[tuple[str, str]]:
    """Yield one address of every linked page, with its path pattern. `visit` returns the links at an address."""
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
