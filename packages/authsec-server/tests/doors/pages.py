"""What a test sees of a page of the console: its words, links and forms, and how a browser sends a form."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

from httpx2 import Response
from page_tokens import PageTokens
from starlette.testclient import TestClient

VOID = {"input", "meta", "link", "img", "br", "hr"}
UNSEEN = {"script", "style", "svg"}


class Page(PageTokens):
    """A page as it was answered. `forms` hold their fields as they would be sent, without those of any button."""

    def __init__(self, response: Response, client: TestClient) -> None:
        self.status: int = response.status_code
        self.html: str = response.text
        self.location: str = response.headers.get("location", "")
        self.path: str = response.url.path
        self.links: dict[str, str] = {}
        self.forms: list[Form] = []
        self._client, self._words, self._open = client, [], []
        self._link, self._select, self._area = "", "", ""
        self._goes_on = False  # the next words are the rest of an id
        if response.headers.get("content-type", "").startswith("text/html"):
            self.feed(self.html)
        else:
            self._words.append(self.html)

    @property
    def text(self) -> str:
        """The words of the page, as they are seen; what is hidden for the eye counts too."""
        return " ".join(" ".join(self._words).split())

    def follow(self) -> Page:
        """Where the answer leads."""
        assert self.status == 303, (self.status, self.text)
        return get(self._client, self.location)

    def form(self, action: str = "") -> Form:
        """The form with that action; with none, the only one of the page besides the frame's."""
        found = [each for each in self.forms if (each.action == action if action else not each.of_the_frame)]
        assert len(found) == 1, [each.action for each in self.forms]
        return found[0]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        its = {name: value or "" for name, value in attrs}
        if tag not in VOID:
            self._open.append(tag)
        if tag == "form":
            self.forms.append(Form(its.get("action", "") or self.path, its.get("method", "get"), self._client))
        self._goes_on = its.get("class") == "rest"
        if tag == "a":
            self._link = its.get("href", "")
        if self.forms and "form" in self._open:
            self._field(tag, its)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass
        if tag == "a":
            self._link = ""
        if tag == "textarea":
            self._area = ""
        if tag == "select":
            self._select = ""

    def handle_data(self, data: str) -> None:
        if UNSEEN & set(self._open):
            return
        if self._goes_on:
            data = self._words.pop() + data
        self._words.append(data)
        if self._link and data.strip():
            self.links.setdefault(data.strip(), self._link)
        if self._area:
            self.forms[-1].fields[-1] = (self._area, self.forms[-1].fields[-1][1] + data.removeprefix("\n"))

    def _field(self, tag: str, its: dict[str, str]) -> None:
        fields = self.forms[-1].fields
        if tag == "input" and its.get("name") and (its.get("type") not in {"checkbox", "radio"} or "checked" in its):
            fields.append((its["name"], its.get("value", "on")))
        if tag == "select":
            self._select = its["name"]
            fields.append((its["name"], ""))
        if tag == "option" and self._select:  # those of a datalist are only suggested
            self.forms[-1].options.setdefault(self._select, []).append(its["value"])
            first = len(self.forms[-1].options[self._select]) == 1
            if first or "selected" in its:
                fields[-1] = (self._select, its["value"])
        if tag == "textarea":
            self._area = its["name"]
            fields.append((its["name"], ""))


class Form:
    """A form: what is in its fields, and what its choices offer."""

    def __init__(self, action: str, method: str, client: TestClient) -> None:
        self.action, self.method, self._client = action, method.lower(), client
        self.fields: list[tuple[str, str]] = []
        self.options: dict[str, list[str]] = {}

    @property
    def of_the_frame(self) -> bool:
        """Whether it is on every page: search, theme, sign-out."""
        return self.action in {"/console/search", "/console/theme", "/console/sign-out"}

    def value(self, name: str) -> str:
        """What is in the field."""
        (found,) = [value for each, value in self.fields if each == name]
        return found

    def values(self, name: str) -> list[str]:
        """What is in the fields of that name, such as ticked boxes."""
        return [value for each, value in self.fields if each == name]

    def send(self, *, at: str = "", method: str = "", **changes: str | list[str]) -> Page:
        """Send it with other values; `at` and `method` are those of a button that has its own."""
        pairs = [(name, value) for name, value in self.fields if name not in changes]
        for name, given in changes.items():
            pairs += [(name, each) for each in ([given] if isinstance(given, str) else given)]
        if (method or self.method) == "post":
            return post(self._client, at or self.action, pairs)
        return get(self._client, f"{urlsplit(at or self.action).path}?{urlencode(pairs)}")


def selector_rows(platform: str, *rows: tuple[str, str]) -> dict[str, list[str]]:
    """The fields of these selectors, as a browser sends them: what ends a key stands in a field of its own."""
    fields: dict[str, list[str]] = {f"{platform}-{each}": [] for each in ("key", "parameter", "value")}
    for key, value in rows:
        start, joint, rest = key.rpartition(":") if key.count(":") > 1 else (key, "", "")
        for name, text in zip(fields, (start + joint, rest, value), strict=True):
            fields[name].append(text)
    return fields


def get(client: TestClient, path: str) -> Page:
    """The page at that address; where it leads elsewhere, the answer that says so."""
    return Page(client.get(path, follow_redirects=False), client)


def post(client: TestClient, path: str, pairs: list[tuple[str, str]]) -> Page:
    """The answer to a form that one of the console's own pages sends."""
    headers = {"Sec-Fetch-Site": "same-origin", "Content-Type": "application/x-www-form-urlencoded"}
    return Page(client.post(path, content=urlencode(pairs), headers=headers, follow_redirects=False), client)
