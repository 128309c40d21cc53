"""The quick reader of pages finds what Python's own parser of HTML finds."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest
from page_tokens import PageTokens

PATHS = ("", "/clients", "/clients/new", "/delegations/new", "/activity", "/settings", "/keys", "/picture", "/nowhere")
ODD = """<!doctype html><!-- <p>no</p> --><HTML lang=en><title>a &lt; b &amp;amp; c</title>
<style>p > a { x: "<" }</style>
<script src='/x'>if (1 < 2) { "</p>" }</script ><a href="?a=1&amp;b='2'" hidden>x&nbsp;<br/>y</a>
<input value='"' checked>
<svg viewBox="0 0 1 1"><path d="M0 0"/></svg><textarea name=t>
 &lt;b&gt; </textarea></p></HTML>
"""


class Calls:
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.calls.append(("start", tag, attrs))

    def handle_endtag(self, tag: str) -> None:
        self.calls.append(("end", tag))

    def handle_data(self, data: str) -> None:
        self.calls.append(("data", data))


class Quick(Calls, PageTokens):
    pass


class Pythons(Calls, HTMLParser):
    pass


def read(parser: Any, html: str) -> list[tuple[Any, ...]]:
    parser.feed(html)
    return parser.calls


def test_it_reads_what_python_reads(opened: Any) -> None:
    opened.delegated_name("<b>Mr. & Mrs. O'Neill</b>")
    door = opened.door()
    for html in [ODD, *(door.get(f"/console{path}").text for path in PATHS)]:
        assert len(html) > 100
        python = Pythons()
        python.feed(html)
        python.close()
        assert read(Quick(), html) == python.calls


@pytest.mark.parametrize("html", ["<p", "a < b", '<a href="x>y</a>', "<script>", "<p class=a'b>", "</ p>", "<!-- <p>"])
def test_what_is_not_well_formed_is_refused(html: str) -> None:
    with pytest.raises(AssertionError):
        read(Quick(), html)
