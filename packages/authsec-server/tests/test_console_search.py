"""The search of the top bar: anything by what it is called or by its id, on either database."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from authsec.jose import PrivateKey
from authsec_server.console.search import EACH, MOST_TEXT
from databases import settings_for
from pages import Page, get
from people import first_administrator, invited
from starlette.testclient import TestClient

pytestmark = pytest.mark.sqlite_suffices

House = Any
API = "/authsec/api/v1"
SEARCH = "/console/search"
MARKUP = "<script>alert(1)</script>\"'&"


@pytest.fixture
def opened(house: Callable[..., House], database_url: str, tmp_path: Path) -> House:
    """An authority on each kind of database, at whose machine we sit."""
    return house(local_operator=True, **settings_for(database_url, tmp_path))


@pytest.fixture
def door(opened: House) -> TestClient:
    """The browser of its operator."""
    return opened.door()


on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def make(door: TestClient, noun: str, **what: Any) -> dict[str, Any]:
    answer = door.post(f"{API}/{noun}", json=what)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def find(door: TestClient, text: str) -> Page:
    return get(door, f"{SEARCH}?q={quote(text)}")


def found(door: TestClient, text: str) -> list[str]:
    """Where the hits are; of a single one, where it leads at once."""
    page = find(door, text)
    if page.status == 303:
        return [page.location]
    assert page.status == 200, page.text
    kinds = re.findall(r'<ul class="hits">(.*?)</ul>', page.html, re.DOTALL)
    return [path for hits in kinds for path in re.findall(r'<li><a href="(.*?)">', hits)]


def test_each_thing_is_found_by_its_name_its_slug_and_its_id(door: TestClient) -> None:
    public_key = PrivateKey.generate_ed25519().public.to_pem().decode()
    client = make(door, "clients", name="Nächtliche Eule", slug="night-owl", platform="key", public_key=public_key)
    role = make(door, "roles", name="Ledger Keeping", slug="bookkeeper", actions=["ledger:read"])
    api = make(door, "apis", name="Customer API", slug="crm", identifier="https://customers.example.com")
    at = f"/console/clients/{client['slug']}"
    for text in (
        "nächtliche",
        "Eule",
        "EULE",
        "night-owl",
        "t-ow",
        client["client_id"],
        client["client_id"][:13].upper(),
    ):
        assert found(door, text) == [at], text
    for text in ("ledger keeping", "Keeping", "bookkeep", role["id"]):
        assert found(door, text) == ["/console/roles/bookkeeper"], text
    for text in ("customer api", "crm", "customers.example", api["id"]):
        assert found(door, text) == ["/console/apis/crm"], text
    what = {"target_type": "AutoGen AI agent", "actions": ["ledger:read"], "max_duration": 3600}
    delegation = make(door, "delegations", role="bookkeeper", client="night-owl", **what)
    there = f"/console/delegations/{delegation['id']}"
    for text in (delegation["id"], delegation["id"][:13]):
        assert found(door, text) == [there], text
    assert found(door, "night-owl") == [at, there]
    assert found(door, "Ledger") == [there, "/console/roles/bookkeeper"]
    for path in (at, there, "/console/roles/bookkeeper", "/console/apis/crm"):
        assert get(door, path).status == 200


def test_a_token_and_a_request_are_found_by_all_of_their_ids(opened: House, door: TestClient) -> None:
    client_id = opened.delegated_name("Night Owl")
    door.get("/authsec/uflow/sdk/delegation-token", params={"client_id": client_id})
    token = opened.events()[-1]
    for text in (token.event.jti, token.event.request_id, f"  {token.event.jti}  "):
        assert found(door, text) == [f"/console/activity/{token.id}"], text
    assert "Token issued to Night Owl" in find(door, token.event.jti).follow().text
    for text in (token.event.jti[:-1], token.event.request_id[:-1]):
        assert found(door, text) == []
    assert len(found(door, "req_0000000000000000000setup")) == 3  # role, client and delegation were made in one request


@pytest.mark.soak
@on_sqlite
def test_an_id_is_found_as_it_was_pasted(opened: House, door: TestClient) -> None:
    client_id = opened.delegated_name("Night Owl")
    door.get("/authsec/uflow/sdk/delegation-token", params={"client_id": client_id})
    token = opened.events()[-1]
    request_id, jti = token.event.request_id, token.event.jti
    pasted = [
        *(f"{request_id}{after}" for after in (")", ".", ",", "),", '"', "`.")),
        *(f"{before}{request_id}{after}" for before, after in ("()", '""', "''", "``", "“”", "[]", "<>")),
        *(
            f"{name}{request_id}"
            for name in ("request_id=", "request_id: ", "X-Request-ID: ", "request ", "?request_id=")
        ),
        f'"request_id": "{request_id}",',
        f"The API is not delegated to this agent. (request {request_id})",
        *(
            f"{before}{jti}{after}"
            for before, after in (("(", ")."), ('"', '"'), ("`", "`"), ("jti=", ""), ('"jti": "', '",'))
        ),
    ]
    there = f"/console/activity/{token.id}"
    for text in pasted:
        assert found(door, text) == [there], text
        assert [path for path, _ in suggested(door, text)] == [there], text
    for name, text in (("request_id", f"({request_id})."), ("jti", f"jti={jti},")):
        page = get(door, f"/console/activity?{name}={quote(text)}")
        assert f'data-event="{token.id}"' in page.html
        assert page.html.count("data-event=") == 1


def test_an_administrator_is_found_by_name_and_address(house: Callable[..., House]) -> None:
    its = house()
    ada = first_administrator(its)
    vic = invited(its, ada, "viewer")
    for text in ("ada admin", "ADA@", "ada@example.com"):
        (path,) = found(vic, text)
        assert "Ada Admin" in get(vic, path).text
    assert len(found(vic, "example.com")) == 2
    assert urlsplit(find(its.door(), "ada").location).path == "/console/sign-in"


def test_odd_characters_mean_themselves(door: TestClient) -> None:
    make(door, "clients", name="Plain", platform="unattested")
    odd = make(door, "clients", name="100%_\\ 'odd'", slug="odd", platform="unattested")
    for text in ("%", "_", "\\", "'", "0%_", "100%_\\ 'odd'"):
        assert found(door, text) == ["/console/clients/odd"], text
    for text in ("\0", "Pl\0ain", "\x1b[2J", "\N{OWL}", "; --", "*"):
        assert found(door, text) == [], text
    assert odd["name"] == "100%_\\ 'odd'"


@on_sqlite
def test_what_is_not_there_is_not_found_and_says_how_to_look(door: TestClient) -> None:
    page = find(door, MARKUP)
    assert "Nothing matches." in page.text
    assert "<script>alert" not in page.html
    assert MARKUP in [form.value("q") for form in page.forms if form.action == SEARCH]


@on_sqlite
def test_a_request_id_that_nothing_has_may_be_of_a_refusal_that_was_counted(door: TestClient) -> None:
    client = make(door, "clients", name="Plain", platform="unattested")
    asked = {"client_id": client["client_id"]}
    first, second = (door.get("/authsec/uflow/sdk/delegation-token", params=asked).json() for _ in range(2))
    assert "Token refused to Plain, 2 times" in find(door, first["request_id"]).follow().text
    page = find(door, second["request_id"])
    assert "keeps only the first request id of each minute" in page.text
    assert "Plain asked for a token 2 times" in get(door, page.links["refused token requests"]).text
    assert "some refusals by the minute" not in find(door, "something else").text


def test_of_a_client_that_was_deleted_the_audit_log_still_tells(door: TestClient) -> None:
    client = make(door, "clients", name="Former", platform="unattested")
    assert get(door, f"/console/clients/{client['client_id']}/delete").form().send().status == 303
    for text in (client["client_id"], client["client_id"].upper()):
        page = find(door, text)
        assert "The client with this Client ID was deleted." in page.text
        assert "deleted Former" in get(door, page.links["events of Former"]).text
    assert "audit log" not in find(door, "00000000-0000-4000-8000-000000000000").text
    assert "audit log" not in find(door, "Former").text


@on_sqlite
def test_without_a_text_nothing_is_looked_for(door: TestClient) -> None:
    make(door, "clients", name="Plain", platform="unattested")
    for query in ("", "?q=", "?q=%20%20", "?other=plain"):
        page = get(door, f"{SEARCH}{query}")
        assert page.status == 200
        assert "Nothing matches." not in page.text
        assert "/console/clients/plain" not in page.html
    assert get(door, f"{SEARCH}?q=plain&q=odd").status == 400


@on_sqlite
def test_of_a_very_long_text_so_much_is_looked_for(door: TestClient) -> None:
    make(door, "clients", name="x" * 120, slug="long", platform="unattested")
    assert found(door, "x" * 120) == ["/console/clients/long"]
    page = find(door, "x" * 50_000)
    assert page.status == 200
    assert "x" * MOST_TEXT in [form.value("q") for form in page.forms if form.action == SEARCH]


@on_sqlite
def test_of_very_many_the_first_are_shown_and_a_link_leads_to_all(door: TestClient) -> None:
    for number in range(EACH + 1):
        make(door, "roles", name=f"Role {number}", actions=["customers:read"])
    page = find(door, "role")
    assert page.html.count('<li><a href="/console/roles/') == EACH
    assert "Roles · 9" in page.text
    assert page.links["All 9 roles"] == "/console/roles?q=role"
    assert get(door, page.links["All 9 roles"]).html.count('href="/console/roles/role-') == EACH + 1


@on_sqlite
def test_every_kind_has_its_number_and_a_link_to_all(door: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("authsec_server.console.search.EACH", 1)
    make(door, "roles", name="Robot Role", actions=["robots:read"])
    for number in range(3):
        make(door, "clients", name=f"Robot & {number}", platform="unattested")
        make(door, "apis", name=f"Robot API {number}", identifier=f"https://robot{number}.example.com")
        what = {"target_type": "Other AI agent", "actions": ["robots:read"], "max_duration": 60 + number}
        make(door, "delegations", role="robot-role", client=f"robot-{number}", **what)
    for text, kinds in {
        "robot": {"Clients": 3, "Trust delegations": 3, "Roles": 1, "APIs": 3},
        "robot &": {"Clients": 3, "Trust delegations": 3},
    }.items():
        page = find(door, text)
        assert dict(re.findall(r"<h2>(.*?) <span class=\"faint\">· (.*?)</span></h2>", page.html)) == {
            kind: str(number) for kind, number in kinds.items()
        }
        for kind, number in kinds.items():
            if number > 1:
                every = get(door, page.links[f"All {number} {kind if kind == 'APIs' else kind.lower()}"])
                assert every.html.count("<tr") == 1 + number, every.path


@on_sqlite
def test_a_very_long_list_of_events_has_a_link(
    opened: House, door: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.delegated_name("Night Owl")
    monkeypatch.setattr("authsec_server.console.search.EACH", 2)
    page = find(door, "req_0000000000000000000setup")
    assert "Events · 2+" in page.text
    assert page.links["All events"] == "/console/activity?request_id=req_0000000000000000000setup"


def suggested(door: TestClient, text: str) -> list[tuple[str, str]]:
    """The options of the search field: path and words of each."""
    answer = door.get(f"{SEARCH}/suggestions", params={"q": text})
    assert answer.headers["content-type"] == "application/json"
    page = answer.json()["options"]
    options = re.findall(r'<li role="option" data-path="(.*?)">(.*?)</li>', page, re.DOTALL)
    return [(unescape(path), " ".join(unescape(re.sub("<.*?>", "", words)).split())) for path, words in options]


@on_sqlite
def test_the_field_suggests_three_of_each_kind_and_all(door: TestClient) -> None:
    for number in range(4):
        make(door, "clients", name=f"Robot {number}", platform="unattested", owner="Desk")
        make(door, "roles", name=f"Robots {number}", actions=["robots:read"])
    options = suggested(door, "robot")
    assert options == [
        *(
            (f"/console/clients/robot-{number}", f"Robot {number} Client No delegation Unattested")
            for number in range(3)
        ),
        *((f"/console/roles/robots-{number}", f"Robots {number} Role") for number in range(3)),
        ("/console/search?q=robot", "All 8 results for “robot”"),
    ]
    assert get(door, options[-1][0]).status == 200
    assert [path for path, _ in suggested(door, "robots 1")] == ["/console/roles/robots-1"]
    assert suggested(door, "") == suggested(door, "nothing has this") == []


@on_sqlite
def test_names_in_suggestions_are_text_and_nothing_else(door: TestClient) -> None:
    for number in range(4):
        make(door, "roles", name=f"{MARKUP} {number}", slug=f"r{number}", actions=["customers:read"])
    options = suggested(door, MARKUP)
    assert options[0] == ("/console/roles/r0", f"{MARKUP} 0 Role")
    assert options[-1] == (f"{SEARCH}?q={quote(MARKUP, safe='/')}", f"All 4 results for “{MARKUP}”")
    assert "<script" not in door.get(f"{SEARCH}/suggestions", params={"q": MARKUP}).json()["options"]


def test_suggestions_are_for_people_who_are_signed_in(house: Callable[..., House]) -> None:
    its = house()
    vic = invited(its, first_administrator(its), "viewer")
    assert [words for _, words in suggested(vic, "ada admin")] == ["Ada Admin Administrator"]
    assert its.door().get(f"{SEARCH}/suggestions?q=ada", follow_redirects=False).status_code == 303


@on_sqlite
def test_names_in_the_results_are_text_and_nothing_else(door: TestClient) -> None:
    for number in (1, 2):
        make(door, "roles", name=f"{MARKUP} {number}", slug=f"r{number}", actions=["customers:read"])
    page = find(door, "script")
    assert f"{MARKUP} 1" in page.links
    assert "<script>alert" not in page.html
