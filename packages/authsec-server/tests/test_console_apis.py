"""APIs in the console: the list, registering one, its page with the lines that protect it, editing and deleting it."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from authsec_server.console import apis as module
from long_runs import some_of, some_rows_of
from pages import Page, get, post
from starlette.testclient import TestClient

House = Any
API = "/authsec/api/v1"
LIST = "/console/apis"
URL = "https://customers.example.com"
READ = {"action": "customers:read", "description": "Read a customer"}
DELETE = {"action": "customers:delete", "description": "Delete a customer"}
WRITE = {"action": "customers:write", "description": "Change a customer"}
ROWS = {"action": ["customers:read", ""], "action_description": ["Read a customer", ""]}


@pytest.fixture
def door(house: Callable[..., House]) -> TestClient:
    """The browser of the operator at whose machine the authority runs."""
    client: TestClient = house(local_operator=True, public_url="http://127.0.0.1:7468").door()
    return client


@pytest.fixture
def api(door: TestClient) -> str:
    """The page of an API with two actions."""
    what = {"name": "Customer API", "slug": "customers", "identifier": URL, "description": "All of them"}
    return f"{LIST}/{make(door, 'apis', **what, actions=[READ, WRITE])['slug']}"


def make(door: TestClient, noun: str, **what: Any) -> dict[str, Any]:
    answer = door.post(f"{API}/{noun}", json=what)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def stored(door: TestClient, slug: str = "customers") -> dict[str, Any]:
    found: dict[str, Any] = door.get(f"{API}/apis/{slug}").json()
    return found


def delegate(
    door: TestClient,
    name: str,
    *actions: str,
    audiences: tuple[str, ...] = (URL,),
    platform: str = "unattested",
    **terms: Any,
) -> dict[str, Any]:
    """A delegation to a new agent of that name, in a new role."""
    role = make(door, "roles", name=f"Role of {name}", actions=list(actions))["slug"]
    client = make(door, "clients", name=name, platform=platform)["client_id"]
    what = {"target_type": "AutoGen AI agent", "max_duration": 3600, "all_actions": True}
    return make(door, "delegations", role=role, client=client, audiences=list(audiences), **what, **terms)


def codes(page: Page) -> list[str]:
    """The blocks of code on the page, as they are copied."""
    return [unescape(part.partition("</code>")[0]) for part in page.html.split('<pre tabindex="0"><code>')[1:]]


def test_an_empty_list_says_what_an_api_is(door: TestClient) -> None:
    page = get(door, LIST)
    assert "Agents call APIs." in page.text
    assert page.text.count("Register an API") == 1
    assert page.links["Register an API"] == f"{LIST}/new"
    assert "Filter" not in page.text


def test_the_list_shows_each_with_its_audience(door: TestClient, api: str) -> None:
    make(door, "apis", name="Tools", identifier="tools", kind="mcp_server")
    page = get(door, LIST)
    assert f"Customer API customers API {URL} 2 Does not follow never seen" in page.text
    assert "Tools tools MCP Server tools 0 Does not follow never seen" in page.text
    assert page.links["Customer API"] == api


@pytest.mark.parametrize("text", some_of(["CUSTOMER", "tomers", "customers.example"]))
def test_apis_are_found_by_what_they_are_called(door: TestClient, api: str, text: str) -> None:
    make(door, "apis", name="Tools", identifier="tools")
    page = get(door, LIST).form(LIST).send(text=text)
    assert "Customer API" in page.links
    assert "Tools" not in page.links
    assert page.form(LIST).value("text") == text
    assert get(door, page.links["Show all"]).form(LIST).value("text") == ""


@pytest.mark.parametrize("text", ["%", "_", "%00", "nothing"])
def test_what_finds_none_says_so(door: TestClient, api: str, text: str) -> None:
    page = get(door, f"{LIST}?text={text}")
    assert "Nothing matches." in page.text
    assert page.links["Show all"] == LIST


def test_pages_follow_each_other(door: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    for name in "abcde":
        make(door, "apis", name=f"Api {name}", identifier=name)
    seen, page = list[str](), get(door, f"{LIST}?text=api")
    while True:
        seen += [name for name in page.links if name.startswith("Api ")]
        if "Next page" not in page.links:
            break
        page = get(door, page.links["Next page"])
    assert seen == [f"Api {name}" for name in "abcde"]
    assert page.links["First page"] == f"{LIST}?text=api"
    assert get(door, f"{LIST}?cursor=Made%20up").status == 400


def test_an_api_is_registered(door: TestClient) -> None:
    form = get(door, f"{LIST}/new").form()
    page = form.send(name="Customer API", identifier=URL, description="All\r\nof them", **ROWS).follow()
    assert page.path == f"{LIST}/customer-api"
    assert "The API is registered." in page.text
    made = stored(door, "customer-api")
    assert (made["identifier"], made["kind"], made["description"]) == (URL, "api", "All\nof them")
    assert made["actions"] == [READ]


@pytest.mark.parametrize(
    ("typed", "status", "field", "says"),
    some_rows_of(
        [
            ({"name": ""}, 400, "name", "must not be empty"),
            ({"slug": "Not One"}, 400, "slug", "1 to 63 lower-case letters"),
            ({"identifier": ""}, 400, "identifier", "is not an audience"),
            ({"identifier": "customers.example.com/x y"}, 400, "identifier", "neither a URL nor a name"),
            ({"identifier": "https://x.example/#part"}, 400, "identifier", "must not have a fragment"),
            ({"kind": "king"}, 400, "kind", "not a kind of API"),
            ({"description": "d" * 2001}, 400, "description", "at most 2000"),
            ({"action": ["customers:read", "all"]}, 400, "actions.1.action", "it has no colon"),
            ({"action": ["customers:*", "x:z"]}, 400, "actions.0.action", "ildcards are not supported"),
            ({"action": ["a:b", "a:b"]}, 400, "actions.1.action", "a:b is described twice"),
            ({"action_description": ["", "Kept"]}, 400, "actions.0.description", "must not be empty"),
            ({"slug": "customers"}, 409, "slug", "already belongs to the API"),
            ({"identifier": URL}, 409, "identifier", "already belongs to the API"),
            ({"identifier": "customers"}, 409, "identifier", "already belongs to the API"),
        ]
    ),
)
def test_what_is_wrong_stands_at_its_field_and_what_was_typed_is_kept(
    door: TestClient, api: str, typed: dict[str, Any], status: int, field: str, says: str
) -> None:
    filled: dict[str, Any] = {"name": "Mine", "slug": "mine", "identifier": "mine-api", "description": "Kept"}
    filled |= {"kind": "mcp_server", "action": ["x:y", "x:z"], "action_description": ["Do y", "Do z"]} | typed
    page = get(door, f"{LIST}/new").form().send(**filled)
    assert page.status == status
    assert f'id="field-{field}-problem"' in page.html
    assert f'<a href="#field-{field}">' in page.html
    assert f'id="field-{field}"' in page.html
    assert says in page.text
    form = page.form()
    for name in ("name", "slug", "identifier", "description"):
        assert form.value(name) == filled[name], name
    rows = [row for row in zip(filled["action"], filled["action_description"], strict=True) if any(row)]
    assert list(zip(form.values("action"), form.values("action_description"), strict=True))[: len(rows)] == rows
    assert door.get(f"{API}/apis/mine").status_code == 404


def test_more_rows_keep_what_was_typed(door: TestClient) -> None:
    page = get(door, f"{LIST}/new")
    before = len(page.form().values("action"))
    page = page.form().send(name="Half", action=["a:b", "", ""], action_description=["Do b", "", ""], more="yes")
    assert page.status == 200
    assert len(page.form().values("action")) > before
    assert page.form().values("action")[0] == "a:b"
    again = page.form().send(more="yes")
    assert len(again.form().values("action")) > len(page.form().values("action"))
    assert again.form().value("name") == "Half"


def test_enter_sends_the_form_and_adds_no_rows(door: TestClient, api: str) -> None:
    """Browsers press the first button of a form (HTML Living Standard, implicit submission)."""
    for path in (f"{LIST}/new", f"{api}/edit"):
        body = get(door, path).html.partition('class="card"')[2]
        first = body.partition("<button")[2].partition("</button>")[0]
        assert "more" not in first, path


def test_its_page_says_what_it_is(door: TestClient, api: str) -> None:
    page = get(door, api)
    for said in (URL, "All of them", "customers:read Read a customer", "customers:write Change a customer"):
        assert said in page.text
    assert "No agent: no live trust delegation of an enabled client names this audience." in page.text
    assert "APIs verify tokens offline, so the authority does not see their calls." in page.text
    assert "This is the shared audience" not in page.text
    assert (page.links["Edit"], page.links["Delete"]) == (f"{api}/edit", f"{api}/delete")


def test_every_stack_has_its_lines(door: TestClient, api: str) -> None:
    page = get(door, api)
    *pythons, javascript, other = codes(page)[1::2]
    *of_pythons, of_javascript, of_other = codes(page)[::2]
    assert all('pip install "./packages/authsec[verify]"' in install for install in of_pythons)
    assert "npm install ../authsec/packages/authsec-js" in of_javascript
    assert 'pip install "./packages/authsec[verify-server]"' in of_other
    assert f'new TokenVerifier({{ issuer: "http://127.0.0.1:7468", audience: "{URL}" }});' in javascript
    assert " checked>Starlette, any ASGI</label>" in page.html
    verifier = f'TokenVerifier(issuer="http://127.0.0.1:7468", audience="{URL}")'
    for code in pythons:
        ast.parse(code)
        assert verifier in code
        assert '"customers:read")' in code
    lines = (
        "app.add_middleware(BearerAuth, verifier=",
        'Depends(agent("customers:read"))',
        "protect(app, verifier=",
        '"authsec.django.BearerAuth"',
        "**protected_by(",
        "identity = verifier.verify(token)",
    )
    assert [line in code for line, code in zip(lines, pythons, strict=True)] == [True] * len(lines)
    actions = [{"action": "tickets:read", "description": "Read a ticket"}]
    tickets = make(door, "apis", name="Tickets", identifier="tickets", actions=actions)["slug"]
    routes = [code for code in codes(get(door, f"{LIST}/{tickets}")) if "@app.get(" in code]
    assert ['@app.get("/tickets/' in code for code in routes] == [True, True]
    assert other.splitlines() == [
        f"authsec verify-server --issuer http://127.0.0.1:7468 --audience {URL}",
        "",
        "# For a JWT library: the keys",
        "# http://127.0.0.1:7468/.well-known/jwks.json",
    ]


def test_the_page_of_an_mcp_server_begins_with_its_lines(door: TestClient) -> None:
    make(door, "apis", name="Tools", identifier="https://crm.example.com/mcp", kind="mcp_server")
    page = get(door, f"{LIST}/tools")
    assert " checked>MCP server</label>" in page.html
    assert any('scope=["customers:read"])' in code for code in codes(page))


def test_an_audience_that_is_no_address_has_no_lines_for_mcp(door: TestClient) -> None:
    make(door, "apis", name="Named", identifier="crm", actions=[DELETE, READ])
    page = get(door, f"{LIST}/named")
    assert "authsec.django.BearerAuth" in page.text
    assert "protected_by" not in page.text
    assert "customers:delete" not in "".join(codes(page)), "an example reads"


def test_the_lines_of_an_audience_with_odd_characters_are_still_code(door: TestClient) -> None:
    odd = "https://x.example/'&(a);b=$c%22"
    make(door, "apis", name="Odd", identifier=odd)
    *pythons, javascript, other = codes(get(door, f"{LIST}/odd"))[1::2]
    assert odd in javascript
    assert shlex.split(other.splitlines()[0])[-1] == odd
    for code in pythons:
        constants = [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]
        assert odd in constants


def test_who_may_call_it_now(door: TestClient, api: str) -> None:
    some = delegate(door, "Reader", "customers:read", "reports:read")
    delegate(door, "Other", "customers:read", audiences=("elsewhere",))
    delegate(door, "Anywhere", "customers:read", audiences=())
    off = delegate(door, "Off", "customers:read")
    door.post(f"{API}/clients/{off['client']['id']}/disable")
    over = delegate(door, "Over", "customers:read")
    door.post(f"{API}/delegations/{over['id']}/revoke")
    page = get(door, api)
    assert "Reader Ready Unattested Role of Reader customers:read , reports:read 1 hour at most" in page.text
    assert page.links["1 hour at most"] == f"/console/delegations/{some['id']}"
    assert {"Other", "Anywhere", "Off", "Over"}.isdisjoint(page.links)


def test_an_api_whose_callers_have_bound_tokens_is_told_to_accept_them(door: TestClient, api: str) -> None:
    delegate(door, "Reader", "customers:read")
    before = get(door, api)
    assert "dpop_origin" not in before.text
    assert "If a trust delegation requires DPoP, the command also needs --dpop-origin" in before.text
    delegate(door, "Bound", "customers:read", platform="secret", require_dpop=True)
    page = get(door, api)
    *pythons, javascript, other = page.html.split('<div class="panel panel-')[1:]
    assert all(f'audience="{URL}", dpop_origin="{URL}")' in unescape(each) for each in pythons)
    assert all("Check <code>dpop_origin</code>" in each for each in pythons)
    assert "dpop_origin" not in javascript + other
    assert "start it again with the option" in other
    assert "so it refuses these tokens" in javascript
    assert codes(page)[-1].splitlines()[0].endswith(f" --audience {URL} --dpop-origin {URL}")


def test_many_callers_are_in_the_diagram(door: TestClient, api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CALLERS", 2)
    names = {"First", "Second", "Third"}
    for name in ("First", "Second"):
        delegate(door, name, "customers:read")
    assert "show all" not in get(door, api).text
    delegate(door, "Third", "customers:read")
    page = get(door, api)
    assert len(names & page.links.keys()) == 2
    assert names <= get(door, page.links["The newest 2: show all"]).links.keys()


def test_a_caller_that_cannot_prove_itself_is_marked(door: TestClient, api: str) -> None:
    role = make(door, "roles", name="Support", actions=["customers:read"])["slug"]
    selectors = [{"key": "k8s:ns", "value": "production"}]
    client = make(door, "clients", name="Pod", platform="kubernetes", selectors=selectors)["client_id"]
    what = {"target_type": "AutoGen AI agent", "max_duration": 3600, "all_actions": True, "audiences": [URL]}
    make(door, "delegations", role=role, client=client, **what)
    assert "Pod Can't authenticate Support" in get(door, api).text


def test_the_shared_audience_is_pointed_out(door: TestClient) -> None:
    delegate(door, "Anywhere", "customers:read", audiences=())
    make(door, "apis", name="Shared", identifier="authsec-api")
    page = get(door, f"{LIST}/shared")
    assert "This is the shared audience" in page.text
    assert "Anywhere" in page.links


def test_it_is_edited(door: TestClient, api: str) -> None:
    form = get(door, f"{api}/edit").form()
    assert form.values("action")[:2] == ["customers:read", "customers:write"]
    page = form.send(name="CRM", identifier="crm", description="", **ROWS).follow()
    assert page.path == api
    assert "Saved." in page.text
    now = stored(door)
    assert (now["name"], now["identifier"], now["description"], now["actions"]) == ("CRM", "crm", "", [READ])
    revision = now["revision"]
    assert "Saved." in get(door, f"{api}/edit").form().send().follow().text
    assert stored(door)["revision"] == revision + 1, "recorded without a change"


@pytest.mark.parametrize(
    ("typed", "status", "field"),
    [
        ({"name": ""}, 400, "name"),
        ({"identifier": "Not One"}, 400, "identifier"),
        ({"identifier": "other"}, 409, "identifier"),
        ({"action": ["wrong", "x:y"]}, 400, "actions.0.action"),
    ],
)
def test_what_is_wrong_in_an_edit_stands_at_its_field(
    door: TestClient, api: str, typed: dict[str, Any], status: int, field: str
) -> None:
    make(door, "apis", name="Other", identifier="other")
    rows = {"action": ["x:y", "x:z"], "action_description": ["Do y", "Do z"]}
    page = get(door, f"{api}/edit").form().send(**{"description": "Kept"} | rows | typed)
    assert page.status == status
    assert f'id="field-{field}-problem"' in page.html
    assert page.form().value("description") == "Kept"
    assert stored(door)["description"] == "All of them"


def test_the_second_of_two_editors_is_told_what_changed(door: TestClient, api: str) -> None:
    mine = get(door, f"{api}/edit").form()
    get(door, f"{api}/edit").form().send(name="Theirs", description="", **ROWS)
    page = mine.send(name="Mine", identifier="mine")
    assert page.status == 412
    assert "Changed by local operator just now" in page.text
    assert "Now: Theirs" in page.text
    assert "Now: empty" in page.text
    assert f"Now: {URL}" in page.text
    assert "Now: customers:read: Read a customer" in page.text
    form = page.form()
    assert (form.value("name"), form.value("identifier"), form.value("description")) == ("Mine", "mine", "All of them")
    assert form.values("action")[:2] == ["customers:read", "customers:write"]
    assert "Saved." in form.send().follow().text  # told, they may overrule it
    assert stored(door)["name"] == "Mine"


def test_whoever_was_told_of_a_mistake_is_still_told_of_others_changes(door: TestClient, api: str) -> None:
    """The revision that they had read goes along: to be shown the form again is not to have seen the change."""
    mine = get(door, f"{api}/edit").form()
    wrong = mine.send(action=["wrong", ""], action_description=["Wrong", ""])
    assert wrong.status == 400
    get(door, f"{api}/edit").form().send(name="Theirs")
    again = wrong.form().send(action=["x:y", ""], action_description=["Right", ""])
    assert again.status == 412
    more = wrong.form().send(more="yes").form().send(action=["x:y", ""], action_description=["Right", ""])
    assert more.status == 412
    assert stored(door)["name"] == "Theirs"


def test_deleting_says_what_goes_and_what_stays(door: TestClient, api: str) -> None:
    made = delegate(door, "Reader", "customers:read")
    page = get(door, f"{api}/delete")
    assert "Delete Customer API?" in page.text
    assert "Deleting Customer API removes its name, the descriptions of its actions" in page.text
    assert "The deletion revokes no trust delegation and no token" in page.text
    assert "1 live trust delegation names this audience" in page.text
    assert page.links["Role of Reader → Reader"] == f"/console/delegations/{made['id']}"
    page = page.form().send().follow()
    assert page.path == LIST
    assert "The API is deleted." in page.text
    assert get(door, api).status == 404
    assert door.get(f"{API}/delegations/{made['id']}").json()["audiences"] == [URL]
    token = door.get("/authsec/uflow/sdk/delegation-token", params={"client_id": made["client"]["id"]})
    assert token.status_code == 200


def test_deleting_one_that_nobody_calls_warns_of_nothing(door: TestClient, api: str) -> None:
    assert "To stop the agents" not in get(door, f"{api}/delete").text


def test_what_is_not_there_is_not_found(door: TestClient) -> None:
    for end in ("", "/edit", "/delete"):
        assert get(door, f"{LIST}/nonsense{end}").status == 404
        assert get(door, f"{LIST}/%00{end}").status == 404
    for end in ("/edit", "/delete"):
        assert post(door, f"{LIST}/nonsense{end}", [("name", "x"), ("identifier", "x")]).status == 404
