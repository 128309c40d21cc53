"""What a page of the console is made of, tag by tag: whatever is none of it is a fault."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

TAGS = re.compile(
    r"""html|head|meta|title|link|script|body|header|footer|nav|main|section|aside|div|p|a|img|span|strong|b|i|small|br|hr
    |h[1-4]|ul|ol|li|dl|dt|dd|table|caption|thead|tbody|tfoot|tr|th|td|form|fieldset|legend|label|input|select|option
    |optgroup|datalist|textarea|button|details|summary|dialog|code|pre|time|svg|g|path|circle|rect|line|text
    |foreignobject""",
    re.VERBOSE,
)
ATTRIBUTES = re.compile(
    r"""class|id|lang|href|src|rel|type|charset|name|content|value|for|action|method|role|title|alt|width|height|hidden
    |tabindex|placeholder|autocomplete|autocapitalize|autofocus|spellcheck|maxlength|minlength|min|max|step|rows|list
    |required|checked|selected|disabled|readonly|multiple|size|form|formaction|formmethod|formnovalidate|open|scope|colspan
    |rowspan|label|datetime|download|inputmode|pattern|novalidate|aria-[a-z]+|data-[a-z-]+
    |viewbox|preserveaspectratio|focusable|d|fill|stroke|stroke-width|stroke-linecap|stroke-linejoin|x|y|x1|x2|y1|y2|cx|cy|r|rx""",
    re.VERBOSE,
)
LEADING = ("href", "src", "action", "formaction")


class Anatomy(HTMLParser):
    """A page read as a browser reads it. `faults` are what no page may have; `said` is every text and value in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.faults: list[str] = []
        self.said: list[str] = []
        self._open = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._open = tag
        self.said += [value for _, value in attrs if value]
        self.faults += _faults(tag, {name: value or "" for name, value in attrs})
        if len({name for name, _ in attrs}) < len(attrs):
            self.faults.append(f"<{tag}> has an attribute twice")

    def handle_data(self, data: str) -> None:
        self.said.append(data)
        if self._open in {"script", "style"} and data.strip():
            self.faults.append(f"<{self._open}> inline")

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - whichever it is
        self._open = ""

    def handle_comment(self, data: str) -> None:
        self.faults.append(f"<!--{data[:20]}")

    def handle_pi(self, data: str) -> None:
        self.faults.append(f"<?{data[:20]}")


def _faults(tag: str, attributes: dict[str, str]) -> Iterator[str]:
    if not TAGS.fullmatch(tag):
        yield f"<{tag}>"
    for name, value in attributes.items():
        if name == "style" or name.startswith("on") or not ATTRIBUTES.fullmatch(name):
            yield f"<{tag} {name}>"
        if name in LEADING and not re.match(r"/(?!/)|#|\Z", value):
            yield f'<{tag} {name}="{value}">'
    if tag in {"img", "script", "link"} and not attributes.get("src", attributes.get("href", "")).startswith(
        "/console/static/"
    ):
        yield f"<{tag}> from elsewhere"
    if tag == "meta" and not set(attributes) <= {"charset", "name", "content"}:
        yield "<meta http-equiv>"
