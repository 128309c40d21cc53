"""What every answer of the console has in common, whatever is asked, and by whom: its headers, and no foreign body."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from addresses import ADDRESSES, FORM, Address, Company, address_of
from anatomy import Anatomy
from authsec_server.console import formatting
from authsec_server.console.site import SIDEBAR
from pages import Page
from starlette.testclient import TestClient

House = Any
POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}
STATIC = "/console/static/{version}/{name}"
BARE_COMMAND = re.compile(
    r"(?<!uv run )\bauthsec (admin|agents|apis|audit|delegations|enrol|issuers|keygen|keys|roles|smoke) "
)


@pytest.fixture
def opened(house: Callable[..., House]) -> House:
    """An authority at whose machine we sit; its live stream ends at once."""
    its = house(local_operator=True)
    its.authority.readiness.draining = True
    return its


@pytest.fixture
def answers(opened: House, house: Callable[..., House]) -> Callable[..., list[Any]]:
    """What an address answers: to looking and sending, with a form, with an empty one, to nobody, by other methods."""
    operator, nobody = opened.door(), house().door()
    company = Company(operator)

    def ask(address: Address, which: slice) -> list[Any]:
        example = company.example(address)
        way, path, body = example.way, example.path, example.body
        asked = [
            (operator, "GET", way, {}),
            (operator, "POST", path, {"headers": FORM}),
            (operator, "POST", path, {"headers": FORM, "content": body}),
            (operator, "POST", path, {"content": body}),  # from no page of ours
            (operator, "POST", path, {"json": {}, "headers": {"Sec-Fetch-Site": "same-origin"}}),
            (nobody, "GET", way, {}),
            (nobody, "POST", path, {"headers": FORM, "content": body}),
            (operator, "HEAD", way, {}),
            (operator, "PUT", path, {}),
        ]
        return [door.request(method, to, follow_redirects=False, **what) for door, method, to, what in asked[which]]

    return ask


@pytest.mark.parametrize("share", [10, pytest.param(1, marks=pytest.mark.soak)])
def test_every_answer_is_hardened(answers: Callable[..., list[Any]], share: int) -> None:
    """Each address is asked; in short runs each fifth one, by a fifth of the ways."""
    for number, address in enumerate(ADDRESSES[::share]):
        for answer in answers(address, slice(number % share, None, share)):
            asked = f"{answer.request.method} {answer.request.url} {answer.status_code}"
            kind = answer.headers.get("Content-Type", "")
            assert answer.status_code < 500, asked
            hardened(answer.headers, asked)
            if kind.startswith("application/json") and answer.status_code in {404, 405}:
                continue  # not the console's: no page can be asked for like that
            framed(answer.headers, asked)
            if address.path != STATIC or answer.status_code >= 300:
                assert answer.headers["Cache-Control"] == "no-store", asked
            if kind.startswith("text/html"):
                assert kind == "text/html; charset=utf-8", asked
                assert Anatomy(answer.text).faults == [], asked
                assert BARE_COMMAND.search(answer.text) is None, asked


@pytest.mark.soak
@pytest.mark.parametrize("share", [6, pytest.param(1, marks=pytest.mark.soak)])
def test_the_way_back_is_on_every_page_that_the_frame_does_not_lead_to(opened: House, share: int) -> None:
    """In short runs on a third of the pages: all have the same frame, and name what they are below of."""
    operator = opened.door()
    company = Company(operator)
    top = {entry.path for group in SIDEBAR for entry in (group, *group.below)} | {"/console/search", "/console/account"}
    shown = set()
    seen = ["/console/clients", "/console/clients/{client}", "/console/picture", "/console/roles/new"]
    for address in [*ADDRESSES[::share], *map(address_of, seen if share > 1 else ())]:
        answer = operator.get(company.example_to_look_at(address).way, follow_redirects=False)
        if answer.status_code == 200 and 'aria-label="Console"' in answer.text:
            shown.add(address.path)
            needed = address.path.removesuffix("/password") not in top and "<dialog" not in answer.text
            assert ('aria-label="Breadcrumb"' in answer.text) is needed, address.path
    assert {*seen} <= shown


def hardened(headers: Any, asked: str) -> None:
    """What every answer of the server has."""
    assert headers["X-Content-Type-Options"] == "nosniff", asked
    assert headers["X-Frame-Options"] == "DENY", asked
    assert headers["Referrer-Policy"] in {"same-origin", "no-referrer"}, asked
    assert "Access-Control-Allow-Origin" not in headers, asked


def framed(headers: Any, asked: str) -> None:
    """What every answer of the console has."""
    assert policy(headers["Content-Security-Policy"]) == POLICY, asked
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin", asked
    assert headers["Referrer-Policy"] == "same-origin", asked


def policy(header: str) -> dict[str, str]:
    return dict(each.strip().split(" ", 1) for each in header.split(";"))


def test_what_is_served_for_good_says_so(opened: House) -> None:
    page = opened.door().get("/console/sign-in").text
    for address in {part.partition('"')[0] for part in page.split('="') if part.startswith("/console/static/")}:
        answer = opened.door().get(address)
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable", address
        framed(answer.headers, address)


@pytest.mark.parametrize(
    "planted",
    [
        "<script>x</script>",
        "<p onclick=x>",
        '<p style="color:red">',
        '<img src="/other">',
        '<a href="javascript:x">',
        '<a href="//evil.example">',
        '<form action="https://evil.example">',
        "<iframe>",
        "<!-- -->",
        '<meta http-equiv="refresh" content="0">',
        "<base>",
        '<p class="a" class="b">',
        "<p a'b>",
        "<style>p{}</style>",
    ],
)
def test_a_fault_is_found(planted: str) -> None:
    """Whoever looks for faults must find them: so the tests that find none say something."""
    assert Anatomy(f"<p>before</p>{planted}").faults


class Cookies:
    """An authority, and the cookies that its console sets."""

    def __init__(self, house: Callable[..., House], url: str, **settings: str) -> None:
        self.its = house(**settings)
        self.door: TestClient = self.its.door()
        self.door.base_url = url

    def of(self, path: str, **form: str) -> dict[str, str]:
        """The header of each cookie that the answer sets, by the cookie's name."""
        answer = self.door.post(path, content=urlencode(form), headers=FORM, follow_redirects=False)
        assert answer.status_code == 303, answer.text
        return {each.partition("=")[0]: each.lower() for each in answer.headers.get_list("set-cookie")}

    def all(self) -> dict[str, str]:
        """Those of coming in, of going out, and of choosing light or dark."""
        code = self.its.authority.sign_in.first_link().code
        password = {"password": "a long passphrase", "again": "a long passphrase"}
        come = self.of("/console/set-up", code=code, email="ann@example.com", name="Ann", **password)
        chosen = self.of("/console/theme", theme="dark", back="/console")
        gone = self.of("/console/sign-out")
        assert come.keys() == gone.keys()
        return come | chosen | {f"{name} gone": each for name, each in gone.items()}


def test_cookies_over_https(house: Callable[..., House]) -> None:
    url = "https://authsec.example.com"
    found = Cookies(house, url, public_url=url).all()
    assert set(found) == {"__Host-authsec-session", "__Host-authsec-session gone", "authsec-theme"}
    for name, cookie in found.items():
        assert {"secure", "httponly", "samesite=lax", "path=/"} <= set(cookie.split("; ")), name
        assert "domain" not in cookie, name  # or it would be no __Host- cookie


def test_cookies_over_http_on_loopback(house: Callable[..., House]) -> None:
    """The prefix `__Host-` and `Secure` would have browsers refuse them there (RFC 6265bis section 4.1.3.2)."""
    found = Cookies(house, "http://127.0.0.1:7468").all()
    assert set(found) == {"authsec-session-7468", "authsec-session-7468 gone", "authsec-theme"}
    for name, cookie in found.items():
        assert {"httponly", "samesite=lax", "path=/"} <= set(cookie.split("; ")), name
        assert "secure" not in cookie, name
        assert "domain" not in cookie, name
    assert "max-age=0" in found["authsec-session-7468 gone"]
    assert "max-age" not in found["authsec-session-7468"]  # it ends with the browser, or when the server says


def test_the_cookie_of_a_single_sign_on_under_way(house: Callable[..., House], provider: Any) -> None:
    its = house(**provider.settings, public_url="https://authsec.example.com")
    door = its.door()
    door.base_url = "https://authsec.example.com"
    answer = door.get("/console/sign-in/open-id", follow_redirects=False)
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("__host-authsec-sign-in=")
    assert {"secure", "httponly", "samesite=lax", "path=/"} <= set(cookie.split("; "))
    framed(answer.headers, "off to the provider")


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        ({"json": {}}, 415, "The request is not a form This address accepts only forms."),
        ({"headers": FORM, "content": "x=" + "y" * 70_000}, 413, "The form is too large"),
        ({"headers": FORM, "content": "x=%ff"}, 400, "The form could not be read. Send it again."),
        ({"headers": FORM, "content": "&".join("x=1" for _ in range(3000))}, 400, "The form could not be read."),
        ({"headers": FORM, "content": "name=a&name=b"}, 400, "name was sent 2 times. Send name once."),
    ],
)
def test_what_is_no_form_is_said_on_a_page(opened: House, sent: dict[str, Any], status: int, said: str) -> None:
    headers = {"Sec-Fetch-Site": "same-origin"} | sent.pop("headers", {})
    door = opened.door()
    page = Page(door.post("/console/roles/new", headers=headers, **sent), door)
    assert page.status == status
    assert said in page.text
    assert "To the dashboard" in page.links


def test_a_state_has_one_tone_and_an_unknown_state_none() -> None:
    assert [formatting.tone(word) for word in ("Live", "Disabled", "Can't authenticate")] == ["good", "quiet", "warn"]
    with pytest.raises(KeyError):
        formatting.tone("Frobnicated")
