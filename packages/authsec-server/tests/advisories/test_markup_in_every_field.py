"""Somebody calls an agent `"><img onerror=…>`, and whoever looks at the console acts in their name (CWE-79).

Whatever a person, an agent or a provider can say is planted everywhere it may stand; every page is read as a browser
reads it, and nothing in it may have been born of that. The policy against scripts is the second wall, not the first.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Timer
from typing import Any
from urllib.parse import quote

import pytest
from addresses import ADDRESSES, FORM, Company, address_of
from anatomy import Anatomy
from authsec_server.audit import live
from laptops import Laptop, code_for
from pages import get, post
from starlette.testclient import TestClient
from trusted_issuers import agent, shows, trust
from workload_evidence import github

House = Any
# Leaves an attribute, a title, a textarea; begins an element that acts, and a comment; and asks a template to count.
MARK = "\"/onfocus=alert(1)></title></textarea><img/src/onerror=alert(1)>'`&{{7*7}}<!--"
AGENT = "/authsec/uflow/sdk/delegation-token"
PASSWORD = "correct horse battery staple"
# Where nothing stands that anybody may have typed.
SILENT = {
    "/console/activity/end-token",
    "/",
    "/console/static/{version}/{name}",
    "/console/sign-in",
    "/console/sign-in/code",
    "/console/sign-in/open-id",
    "/console/sign-in/callback",
    "/console/{path:path}",
    "/console/account",
    "/console/account/password",
    "/console/account/second-factor",
    "/console/account/second-factor/confirm",
    "/console/account/second-factor/off",
    "/console/account/sessions/end-others",
    "/console/delegations/new/clients",
    "/console/search/suggestions",
    "/console/apis/new",
    "/console/issuers/new",
    "/console/activity/stream",
    "/console/activity/export.{form}",
    "/console/keys",
    "/console/keys/rotate",
    "/console/administrators/invite",
    "/console/administrators/keys/new",
}


@pytest.fixture
def opened(house: Callable[..., House]) -> House:
    """An authority at whose machine we sit; its live stream ends at once."""
    its = house(local_operator=True)
    its.authority.readiness.draining = True
    return its


@pytest.fixture
def company(opened: House) -> Company:
    """What is made in it has the mark in every text."""
    return Company(opened.door(), MARK)


def looked_at(door: TestClient, way: str, **asked: str) -> Anatomy:
    """The page, when it has been found to be sound; nothing for what is no page."""
    answer = door.get(way, params=asked or None, follow_redirects=False)
    assert answer.status_code < 500, way
    return sound(answer.text, way) if answer.headers.get("content-type", "").startswith("text/html") else Anatomy("")


def sound(html: str, what: str) -> Anatomy:
    page = Anatomy(html)
    assert page.faults == [], what
    return page


def says(page: Anatomy, text: str = MARK) -> bool:
    """Whether the text stands there as it was typed, to the letter; messages quote it as Python does."""
    return any(text in said.replace("\\'", "'") for said in page.said)


def test_every_page_shows_it_as_text(company: Company) -> None:
    looked = [each for each in ADDRESSES if each.looks]
    for _ in range(2):  # or a search would lead to the only one that it finds
        company.example(address_of("/console/delegations/any")).path  # noqa: B018 - asking for it is what makes it
    shown = {each.pattern for each in looked if says(looked_at(company.operator, company.example_to_look_at(each).way))}
    assert shown == {each.pattern for each in looked} - SILENT


@pytest.mark.soak
@pytest.mark.parametrize("share", [6, pytest.param(1, marks=pytest.mark.soak)])
def test_every_form_shows_again_what_was_typed(company: Company, share: int) -> None:
    """Each field has the mark: where that is refused, it is shown again. In short runs, a sixth of the forms."""
    for address in [each for each in ADDRESSES if each.sends][::share]:
        example = company.example(address)
        fields = {name for name, _ in example.pairs} | {"name", "email", "slug", "owner", "description", "labels"}
        kept = {name: value for name, value in example.pairs if name in {"code", "revision"}}
        page = post(company.operator, example.path, [(name, kept.get(name, MARK)) for name in sorted(fields)])
        assert page.status < 500, address.path
        if page.html.startswith("<!doctype"):
            read = sound(page.html, address.path)
            secrets = address.path.startswith(("/console/account/password", "/console/account/second-factor"))
            if page.status == 400 and not secrets:
                assert says(read), address.path


# Beside what `ADDRESSES` fill in themselves: what many pages take, some alone, and one that none takes.
ASKED = ["done", "new", "next", "back", "code", "error", "cursor", "before", "sort", "select", "check", "state"]
ASKED += ["role", "client", "api", "owner", "label", MARK]


@pytest.mark.soak
@pytest.mark.parametrize("share", [36, pytest.param(1, marks=pytest.mark.soak)])
def test_what_an_address_says_becomes_no_markup(company: Company, share: int) -> None:
    """All at once; and each alone. In short runs one of these, on each third page: pages read them by the same code."""
    looked = [each for each in ADDRESSES if each.looks]
    for number, address in enumerate(looked if share == 1 else looked[::3]):
        path = company.example_to_look_at(address).path
        looked_at(company.operator, path + quote(MARK, safe=""))
        looked_at(company.operator, path, **dict.fromkeys(ASKED, MARK))
        for name in ASKED[number % share :: share] if "{" not in address.path else ():
            looked_at(company.operator, path, **{name: MARK})


def test_what_an_agent_says_when_it_is_refused(opened: House, company: Company) -> None:
    """Only of an agent that has proved itself is it kept what it asked for; an audience has some odd characters."""
    its, resource = opened.delegated_agent(f"Agent {MARK}"), "https://x.example/'&(a);b=c"
    headers = {"Authorization": f"Bearer {its.assertion()}", "X-Forwarded-For": MARK, "X-Request-ID": MARK}
    asked = {"client_id": its.client_id, "resource": resource, "scope": "customers:read"}
    answer = company.operator.get(AGENT, params=asked, headers=headers)
    assert answer.json()["reason"] == "invalid_target", answer.text
    for way in (f"/console/clients/{its.client_id}", f"/console/activity/{newest(company)}"):
        page = looked_at(company.operator, way)
        assert says(page), way
        assert says(page, resource), way


def test_what_a_workload_says(opened: House, company: Company) -> None:
    """Its issuer signs whatever the job was called; operators read it where it was refused, and where it is tried."""
    issuer = github()
    trust(opened, issuer)
    client_id = agent(opened, issuer, ("github:repository", "example/support-agent"), name="In a job")
    token = issuer.token(repository=MARK, sub=MARK, ref=MARK)
    assert shows(opened, client_id, token).json()["reason"] == "selectors_mismatch"
    shown = MARK.partition("`")[0]  # what stands between such is set as code
    for way in (f"/console/clients/{client_id}", f"/console/activity/{newest(company)}"):
        assert says(looked_at(company.operator, way), shown), way
    path = f"/console/issuers/{issuer.trusted_issuer.slug}/try"
    for said in (token, issuer.token(iss=MARK, sub=MARK, aud=[MARK, "x"]), MARK):
        tried = company.operator.post(path, data={"token": said}, headers=FORM)
        assert tried.status_code == 200, tried.text
        assert says(sound(tried.text, path), shown) is (said != MARK), (
            "what is no token may be a key, and is not repeated"
        )


def test_what_a_machine_calls_itself(opened: House, company: Company) -> None:
    name = "'></title><img/src/onerror=alert(1)>{{7*7}}<!--"  # such names are cut
    client_id = opened.delegated_agent("On a laptop").client_id
    laptop = Laptop(opened)
    assert laptop.enrols(client_id, code_for(opened, client_id), machine=name).status_code == 201
    for way in (f"/console/clients/{client_id}", f"/console/activity/{newest(company)}"):
        assert says(looked_at(company.operator, way), name), way


@pytest.mark.soak
@pytest.mark.parametrize("share", [6, pytest.param(1, marks=pytest.mark.soak)])
def test_every_story_shows_it_as_text(company: Company, share: int) -> None:
    """Also of changes: each has a field before and after it. In short runs, a sixth of both is looked at."""
    for address in [each for each in ADDRESSES if each.sends][::share]:
        example = company.example(address)
        company.operator.post(example.path, content=example.body, headers=FORM)
    numbers = range(1, newest(company) + 1, share)
    told = [number for number in numbers if says(looked_at(company.operator, f"/console/activity/{number}"))]
    assert len(told) > len(numbers) / 2


def newest(company: Company) -> int:
    """The number of the newest event."""
    return int(company.operator.get("/authsec/api/v1/events", params={"limit": 1}).json()["items"][0]["id"])


def test_an_administrator_with_such_a_name_and_browser(house: Callable[..., House], company: Company) -> None:
    email = "ann'&`{{7*7}}@example.com"
    invited = company.post("administrators", name=MARK, email=email, role="admin")
    door = house().door(**{"User-Agent": MARK})
    form = get(door, invited["link"]["path"]).form()
    assert form.send(password=PASSWORD, again=PASSWORD).status == 303
    ways = ["/console/account", "/console/administrators", f"/console/administrators/{invited['id']}", "/console"]
    for way in ways:
        page = looked_at(door, way)
        assert says(page), way
        assert says(page, email) is (way != "/console"), way
    for way in (ways[0], ways[2]):
        browsers = [said for said in looked_at(door, way).said if said == MARK[:200]]
        assert browsers, way


def test_what_a_provider_says(house: Callable[..., House], company: Company, provider: Any) -> None:
    provider.claims |= {"name": MARK, "email": "mary'&`{{7*7}}@example.com"}
    door = house(**provider.settings, oidc_label=MARK[:60]).door()
    assert says(looked_at(door, "/console/sign-in"), MARK[:60])
    refused = back_from(door, provider, error=MARK, error_description=MARK, iss=MARK)
    assert refused.status_code in {400, 403}
    sound(refused.text, "refused")
    assert back_from(door, provider).status_code == 303
    assert says(looked_at(door, "/console"))
    assert says(looked_at(door, "/console/account"), provider.claims["email"])


def back_from(door: TestClient, provider: Any, **changes: str) -> Any:
    """The answer to a browser that comes back from the provider."""
    begun = door.get("/console/sign-in/open-id", follow_redirects=False)
    brought = dict(provider.approve(begun.headers["location"])) | changes
    if "error" in changes:
        brought.pop("code")
    return door.get("/console/sign-in/callback", params=brought, follow_redirects=False)


def test_files_are_no_pages(company: Company) -> None:
    company.example(address_of("/console/delegations/any")).path  # noqa: B018 - asking for it is what makes it
    for form, kind in (("csv", "text/csv; charset=utf-8; header=present"), ("jsonl", "application/jsonl")):
        answer = company.operator.get(f"/console/activity/export.{form}")
        assert answer.headers["Content-Type"] == kind
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Disposition"].startswith("attachment; filename=")
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        written = MARK.replace('"', {"csv": '""', "jsonl": '\\"'}[form])
        assert written in answer.text, form


def test_rows_that_are_sent_to_a_page_are_escaped(house: Callable[..., House], monkeypatch: pytest.MonkeyPatch) -> None:
    """The page puts them into its table as they come."""
    monkeypatch.setattr(live, "POLL_SECONDS", 0.05)
    its = house(local_operator=True)
    with TestClient(its.authority.app, base_url="http://127.0.0.1:7468") as door:
        company = Company(door, MARK)
        company.example(address_of("/console/delegations/any")).path  # noqa: B018 - asking for it is what makes it
        ending = Timer(1, lambda: setattr(its.authority.readiness, "draining", True))
        ending.start()
        answer = door.get("/console/activity/stream")
        ending.join()
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    sent = [message for message in answer.text.split("\n\n") if message.startswith("id: ")]
    rows = ["\n".join(line.removeprefix("data: ") for line in each.splitlines()[1:]) for each in sent]
    assert all(row.startswith("<tr") for row in rows)
    assert sum(says(sound(row, row)) for row in rows) > 3
