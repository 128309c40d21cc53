"""What a page offers a person, as its markup says it: where its links lead, and where its forms post to."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import httpx2


class Offered(HTMLParser):
    """The markup that was read: `links`, `posts` (the paths of forms and buttons), and the `heading`."""

    def __init__(self, path: str, markup: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.posts: set[str] = set()
        self.heading = ""
        self._path, self._form, self._in_heading = path, path, False
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        its = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in its:
            self.links.append(its["href"])
        if tag == "form":
            self._form = its.get("action") or self._path
        if (its.get("method") or its.get("formmethod", "")).lower() == "post":
            self.posts.add((its.get("formaction") or self._form).partition("?")[0])
        self._in_heading = self._in_heading or tag == "h1"

    def handle_endtag(self, tag: str) -> None:
        self._in_heading = self._in_heading and tag != "h1"

    def handle_data(self, data: str) -> None:
        if self._in_heading:
            self.heading += data


def signed_in(url: str, storage_state: dict[str, Any]) -> httpx2.Client:
    """A client that has the cookies of a browser."""
    cookies = {each["name"]: each["value"] for each in storage_state["cookies"]}
    return httpx2.Client(base_url=url, cookies=cookies, follow_redirects=True, trust_env=False, timeout=30)


def offered(http: httpx2.Client, way: str) -> Offered:
    """What the page at this address offers."""
    answer = http.get(way)
    return Offered(answer.url.path, answer.text)
