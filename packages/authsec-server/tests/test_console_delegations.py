"""Trust Delegation in the console: the dashboard, and the words of the page that creates one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
from authsec_server.delegations.model import UNUSED_FOR
from authsec_server.principal import LOCAL_OPERATOR, Role
from long_runs import some_rows_of
from pages import get, post
from starlette.testclient import TestClient

House = Any
API = "/authsec/api/v1"
LIST = "/console/delegations"
NEW = f"{LIST}/new"
MARKUP = "<script>alert(1)</script>\"'&"


@pytest.fixture
def agent(door: TestClient) -> str:
    """An unattested agent's client_id."""
    return make(door, "clients", name="Customer Support", platform="unattested")["client_id"]


@pytest.fixture
def role(door: TestClient) -> str:
    """A role's slug."""
    return make(door, "roles", name="Support", actions=["customers:read", "customers:write", "tickets:close"])["slug"]


@pytest.fixture
def api(door: TestClient) -> dict[str, Any]:
    """An API that says what an action means."""
    actions = [{"action": "customers:read", "description": "Read customer records"}]
    return make(door, "apis", name="Customer API", identifier="https://customers.example.com", actions=actions)


def make(door: TestClient, noun: str, **what: Any) -> dict[str, Any]:
    answer = door.post(f"{API}/{noun}", json=what)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def delegate(door: TestClient, role: str, agent: str, **what: Any) -> dict[str, Any]:
    values = {"target_type": "AutoGen AI agent", "actions": ["customers:read"], "max_duration": 3600} | what
    return make(door, "delegations", role=role, client=agent, **values)


def test_the_walk_through_finds_its_words_and_delegates(door: TestClient, role: str, agent: str) -> None:
    page = get(door, LIST)
    assert "Trust Delegation" in page.text
    page = get(door, page.links["Create trust delegation"])
    for word in ("Define context", "Role", "New role…", "Target Type", "AutoGen AI agent", "Client / Application"):
        assert word in page.text
    assert page.form().value("target_type") == "AutoGen AI agent"
    for word in ("Assign permissions", "Set duration", "Review", "Create Trust Delegation"):
        assert word in page.text
    page = page.form().send(role=role, client=agent, show="1")
    for word in ("Allowed Actions", "Select All"):
        assert word in page.text
    for word in ("Maximum Duration", "1 Hour", "Minute", "Hour", "Day"):
        assert word in page.text
    assert (page.form().value("amount"), page.form().value("unit")) == ("1", "hours")
    page = page.form().send(actions=["customers:read"], update="1")
    page = page.form().send().follow()
    assert page.path == LIST
    assert "The trust delegation is created and live." in page.text
    (connect,) = [href for text, href in page.links.items() if text.startswith("Connect")]
    assert connect.endswith("/connect")
    (made,) = door.get(f"{API}/delegations").json()["items"]
    assert f'<tr class="new">\n    <td class="delegation"><div><a href="{LIST}/{made["id"]}"' in page.html
    assert (made["actions"], made["max_duration"], made["owner"]) == (["customers:read"], 3600, "local operator")


def test_the_review_shows_the_claims_that_the_token_then_has(door: TestClient, role: str, agent: str) -> None:
    page = get(door, f"{NEW}?role={role}&client={agent}&actions=customers:read&actions=tickets:close")
    assert '"scope": "customers:read tickets:close"' in page.html.replace("&#34;", '"')
    page.form().send()
    token = door.get(f"/authsec/uflow/sdk/delegation-token?client_id={agent}").json()
    assert token["scope"] == "customers:read tickets:close"
    assert token["expires_in"] == 3600


def test_a_client_is_preselected_by_the_address(door: TestClient, role: str, agent: str) -> None:
    for name in (agent, "customer-support"):
        assert get(door, f"{NEW}?client={name}").form().value("client") == agent


RIGHT = "role={role}&client={agent}&actions=customers:read"


@pytest.mark.parametrize(
    ("query", "field", "says"),
    some_rows_of(
        [
            ("", "role", "No role is chosen."),
            ("role={role}", "client", "No client is chosen."),
            ("role=gone&client={agent}", "role", "This role does not exist"),
            ("role={role}&client=gone&actions=customers:read", "client", "This client does not exist"),
            ("role={role}&client={agent}&target_type=Toaster", "target_type", "is not a target type"),
            ("role={role}&client={agent}", "actions", "No action is chosen"),
            ("role={role}&client={agent}&actions=customers:delete", "actions", "No action is chosen"),
            (f"{RIGHT}&amount=2&unit=days", "amount", "1 minute to 1 day"),
            (f"{RIGHT}&amount=x", "amount", "must be a whole number"),
            (f"{RIGHT}&unit=eras", "amount", "The unit is unknown"),
            (f"{RIGHT}&ends_at=soon", "ends_at", "This is not a date and time."),
            (f"{RIGHT}&ends_at=2020-01-01T00:00", "ends_at", "must be a future date"),
            (f"{RIGHT}&audiences=Not%20one", "audiences", "is not an audience"),
            (f"{RIGHT}&excluded_proofs=magic", "excluded_proofs", "not a kind of proof"),
            (f"{RIGHT}&owner=" + "o" * 121, "owner", "Owner must have"),
            ("role=gone&client={agent}&amount=x&actions=customers:read", "role", "This role does not exist"),
        ]
    ),
)
def test_a_problem_is_said_at_its_field(
    door: TestClient, role: str, agent: str, query: str, field: str, says: str
) -> None:
    page = post(door, NEW, parse_qsl(query.format(role=role, agent=agent)))
    assert page.status == 400
    assert says in page.text
    assert f'<p class="problem" id="field-{field}-problem">' in page.html  # at its field, not only on top
    assert door.get(f"{API}/delegations").json()["items"] == []


def test_a_first_look_shows_no_problem(door: TestClient, role: str, agent: str) -> None:
    for address in (NEW, f"{NEW}?role={role}&client={agent}"):
        page = get(door, address)
        assert page.status == 200
        assert "No action is chosen" not in page.text
        assert "No role is chosen" not in page.text


def test_actions_say_what_they_mean_where_and_whether_they_are_used(
    opened: House, door: TestClient, role: str, agent: str, api: dict[str, Any]
) -> None:
    delegate(door, role, agent)
    assert door.get(f"/authsec/uflow/sdk/delegation-token?client_id={agent}").status_code == 200
    page = get(door, f"{NEW}?role={role}&client={agent}")
    assert "customers:read Read customer records at Customer API · 1 token in 30 days" in page.text
    assert "2 actions have no description, because no registered API lists them." in page.text
    assert page.links["Register an API"] == "/console/apis/new"
    (made,) = door.get(f"{API}/delegations").json()["items"]
    text = get(door, f"{LIST}/{made['id']}/edit").text
    assert "customers:read Read customer records at Customer API · 1 token in 30 days" in text
    assert "tickets:close not used in 30 days" in text


def test_apis_are_offered_as_audiences_and_none_means_the_shared_one(
    door: TestClient, role: str, agent: str, api: dict[str, Any]
) -> None:
    address = f"{NEW}?role={role}&client={agent}"
    page = get(door, f"{address}&actions=customers:write")
    assert "Customer API https://customers.example.com" in page.text
    assert "for the shared audience authsec-api: APIs that accept" in page.text
    page = page.form().send(audiences=[api["identifier"]], update="1")
    assert "for the shared audience authsec-api: APIs that accept" not in page.text
    for named in (api["identifier"], api["slug"]):  # as the address may name it
        assert get(door, f"{address}&audiences={named}").form().values("audiences") == [api["identifier"]]
    unknown = get(door, f"{address}&audiences=https://elsewhere.example.com")
    assert "No registered API has this audience." in unknown.text
    assert unknown.form().values("audiences") == ["https://elsewhere.example.com"]


def test_a_role_is_made_in_place_and_everything_else_is_kept(door: TestClient, role: str, agent: str) -> None:
    form = get(door, f"{NEW}?role={role}&client={agent}&target_type=MCP+server&amount=5&unit=minutes").form()
    page = form.send(make_role="1", role_name="Reports", role_other_actions="reports:read\nreports:list")
    page = page.follow()
    assert (page.path, page.form().value("role")) == (NEW, "reports")
    assert (page.form().value("client"), page.form().value("target_type")) == (agent, "MCP server")
    assert page.form().value("amount") == "5"
    assert door.get(f"{API}/roles/reports").json()["actions"] == ["reports:list", "reports:read"]


@pytest.mark.parametrize(
    ("typed", "field", "says"),
    [
        ({"role_name": "", "role_other_actions": "a:b"}, "role_name", "Role name must not be empty"),
        (
            {"role_name": "Support", "role_other_actions": "a:b"},
            "role_name",
            "The role 'Support' already has that slug.",
        ),
        ({"role_name": "New", "role_other_actions": ""}, "role_other_actions", "There are no actions."),
        ({"role_name": "New", "role_other_actions": "a:b\n\nNo\nc:d\n*:*"}, "role_other_actions", "Line 5: '*:*'"),
    ],
)
def test_a_role_that_cannot_be_made_says_why_at_its_field(
    door: TestClient, role: str, agent: str, typed: dict[str, str], field: str, says: str
) -> None:
    form = get(door, f"{NEW}?role={role}&client={agent}&amount=5").form()
    page = form.send(make_role="1", **typed)
    assert page.status in {400, 409}
    assert says in page.text
    assert f'id="field-{field}-problem"' in page.html
    form = page.form()
    assert {name: form.value(name) for name in typed} == typed
    assert (form.value("role"), form.value("client"), form.value("amount")) == (role, agent, "5")


def test_clients_beyond_the_list_are_found_by_their_name(door: TestClient, role: str, monkeypatch: Any) -> None:
    monkeypatch.setattr("authsec_server.console.delegations.choices.MOST", 2)
    ids = [make(door, "clients", name=f"Agent {letter}", platform="unattested")["client_id"] for letter in "abcd"]
    page = get(door, NEW)
    assert len(page.form().options["client"]) == 3  # "Choose a client" and two
    page = page.form().send(client_text="agent a", role=role, find="1")
    assert page.form().options["client"] == ["", ids[0]]
    assert page.form().value("role") == role
    assert get(door, f"{NEW}?client={ids[0]}").form().value("client") == ids[0]


def test_the_dashboard_filters_sorts_and_pages(door: TestClient, role: str, agent: str, monkeypatch: Any) -> None:
    other = make(door, "clients", name="Night Owl", platform="unattested")["client_id"]
    live = delegate(door, role, agent)["id"]
    ending = delegate(door, role, other, target_type="MCP server", ends_at="2027-01-01T00:00:00Z")["id"]
    off = delegate(door, role, agent, max_duration=60)["id"]
    door.post(f"{API}/delegations/{off}/disable")

    def shown(query: str) -> set[str]:
        page = get(door, f"{LIST}?{query}")
        assert page.status == 200
        return {each for each in (live, ending, off) if f"{LIST}/{each}" in page.html}

    assert shown("") == {live, ending, off}
    assert shown("state=disabled") == {off}
    assert shown("q=night+owl") == {ending}
    assert shown(f"q={live[:8]}") >= {live}
    assert shown("target_type=MCP+server") == {ending}
    assert shown(f"client={agent}&state=live") == {live}
    assert shown("role=support") == {live, ending, off}
    assert shown("state=nonsense&sort=nonsense&role=nonsense&client=%00&target_type=x&q=%00") == set()
    assert shown("state=nonsense&sort=nonsense&role=nonsense&client=%00&target_type=x") == {live, ending, off}
    monkeypatch.setattr("authsec_server.console.delegations.pages.PAGE", 1)
    first = get(door, f"{LIST}?sort=ends")
    assert f"{LIST}/{ending}" in first.html
    seen = get(door, first.links["Next page"])
    assert f"{LIST}/{ending}" not in seen.html
    assert get(door, f"{LIST}?cursor=nonsense").status == 400


def test_what_is_over_says_since_when(opened: House, door: TestClient, role: str, agent: str) -> None:
    revoked = delegate(door, role, agent)["id"]
    ended = delegate(door, role, agent, ends_at="2026-11-25T13:00:00Z")["id"]
    both = delegate(door, role, agent, ends_at="2027-11-25T13:00:00Z")["id"]
    for each in (revoked, both):
        door.post(f"{API}/delegations/{each}/revoke")
    opened.clock.at += timedelta(hours=2)
    text = get(door, LIST).text
    assert text.count("Revoked \N{EN DASH} never revoked 2 hours ago") == 2
    assert "Ended \N{EN DASH} never ended 1 hour ago" in text
    assert "no end" not in text
    for each in (revoked, both):
        assert "Ends revoked 2026-11-25 12:00:00 UTC" in get(door, f"{LIST}/{each}").text
    assert "Ends ended 2026-11-25 13:00:00 UTC" in get(door, f"{LIST}/{ended}").text


def test_every_list_says_in_the_same_words_when_a_delegation_ends(door: TestClient, role: str, agent: str) -> None:
    delegate(door, role, agent)
    delegate(door, role, agent, ends_at="2026-12-07T12:00:00Z", max_duration=60)
    ends = '<time datetime="2026-12-07T12:00:00+00:00" title="2026-12-07 12:00:00 UTC">in 12 days</time>'
    for path in (LIST, f"/console/roles/{role}", f"/console/clients/{agent}"):
        page = get(door, path)
        assert page.html.count(ends) == 1, path
        assert page.text.count("no end date") == 1, path


def test_a_row_names_its_apis_and_its_owner(door: TestClient, role: str, agent: str, api: dict[str, Any]) -> None:
    many = [api["identifier"], "https://unknown.example.com", "https://further.example.com"]
    delegate(door, role, agent, audiences=many, owner="Service desk")
    delegate(door, role, agent, max_duration=60)
    page = get(door, LIST)
    assert "Support → Customer Support 1 hour · AutoGen AI agent · customers:read" in page.text
    assert "Customer API , https://further.example.com and 1 more Service desk Live Ready Unattested never" in page.text
    cells = [part.partition("</td>")[0] for part in page.html.split('data-label="API">')[1:]]
    assert all(cell.startswith("<span>") and cell.endswith("</span>") for cell in cells), "a narrow cell is a grid"
    assert page.links["Customer API"] == "/console/apis/customer-api"
    narrow = "Owner: local operator"
    assert f"1 minute · AutoGen AI agent · customers:read {narrow} Shared audience local operator Live" in page.text


def test_each_active_filter_has_a_link_that_removes_it(door: TestClient, role: str, agent: str) -> None:
    delegate(door, role, agent)
    asked = {
        "q": ("custom", "Search", "custom"),
        "state": ("live", "State", "Live"),
        "target_type": ("AutoGen+AI+agent", "Target Type", "AutoGen AI agent"),
        "role": (role, "Role", "Support"),
        "client": (agent, "Client", "Customer Support"),
    }
    query = [f"{name}={value}" for name, (value, _, _) in asked.items()]
    page = get(door, f"{LIST}?{'&'.join([*query, 'done=saved', 'new=' + agent])}")
    for name, (_, label, shown) in asked.items():
        assert f"{label}: {shown} " in page.text
        address, _, left = page.links[shown].partition("?")
        assert (address, set(left.split("&"))) == (LIST, {each for each in query if not each.startswith(f"{name}=")})
    assert page.links["Show all"] == LIST
    assert "Show all" not in get(door, f"{LIST}?role=nonsense").text


def test_who_revoked_it_is_said_and_it_is_created_again(opened: House, door: TestClient, role: str, agent: str) -> None:
    what = {"target_type": "MCP server", "audiences": ["https://a.example.com"], "owner": "Desk", "description": "Why"}
    live = delegate(door, role, agent, actions=["customers:write"], max_duration=600, **what)["id"]
    assert "Create again" not in get(door, LIST).text
    door.post(f"{API}/delegations/{live}/revoke")
    page = get(door, f"{LIST}/{live}")
    assert "Revoked 2026-11-25 12:00:00 by local operator" in page.text
    again = get(door, LIST).links[": Support → Customer Support"]
    assert again == page.links["Create again"]
    form = get(door, again).form()
    assert form.values("actions") == ["customers:write"]
    typed = {"role": role, "client": agent, "amount": "10", "unit": "minutes", "target_type": "MCP server"}
    typed |= {"owner": "Desk", "description": "Why", "audiences": "https://a.example.com"}
    assert {name: form.value(name) for name in typed} == typed
    assert len(door.get(f"{API}/delegations").json()["items"]) == 1, "the address alone creates nothing"
    opened.clock.at += timedelta(minutes=1)
    door.post(f"{API}/delegations/{live}/revoke")
    revoked = get(door, f"{LIST}/{live}").text
    assert "Revoked 2026-11-25 12:00:00 by local operator" in revoked, "the repeat changes nothing"


def test_what_was_never_used_is_found(opened: House, door: TestClient, role: str, agent: str) -> None:
    unused = f"{LIST}?state=unused"
    others = [make(door, "clients", name=name, platform="unattested")["client_id"] for name in ("Used", "Refused")]
    used, refused = (delegate(door, role, each)["id"] for each in others)
    never = delegate(door, role, agent)["id"]
    gone = delegate(door, role, agent, actions=["tickets:close"])["id"]
    door.post(f"{API}/delegations/{gone}/revoke")
    opened.clock.at += UNUSED_FOR
    assert "Nothing matches." in get(door, unused).text, "what is not older than that may yet be used"
    opened.clock.at += timedelta(minutes=1)
    door.get(f"/authsec/uflow/sdk/delegation-token?client_id={others[0]}")
    door.get(f"/authsec/uflow/sdk/delegation-token?client_id={others[1]}&scope=customers:delete")
    delegate(door, role, agent, max_duration=60)
    page = get(door, unused)
    assert {each for each in (used, refused, never, gone) if f"{LIST}/{each}" in page.html} == {refused, never}
    assert page.html.count('<td data-label="State">') == 2
    assert page.form().value("state") == "unused"
    assert "Live, created more than 30 days ago, and never used" in page.text
    assert get(door, f"{unused}&client={agent}").html.count('<td data-label="State">') == 1


def test_the_dashboard_says_what_is_there_when_nothing_is(door: TestClient) -> None:
    assert "No trust delegations yet" in get(door, LIST).text
    assert "Nothing matches. Use fewer filters" in get(door, f"{LIST}?state=live").text


def test_the_dashboard_shows_the_last_use(door: TestClient, role: str, agent: str) -> None:
    delegate(door, role, agent)
    assert "never" in get(door, LIST).text
    door.get(f"/authsec/uflow/sdk/delegation-token?client_id={agent}")
    assert 'title="just now, ' in get(door, LIST).html


def test_markup_in_names_is_text(door: TestClient) -> None:
    made = make(door, "roles", name=MARKUP, slug="evil", actions=["customers:read"], description=MARKUP)
    who = make(door, "clients", name=MARKUP, slug="evil", platform="unattested")
    what = [{"action": "customers:read", "description": MARKUP}]
    make(door, "apis", name=MARKUP, slug="evil", identifier="https://evil.example.com", actions=what)
    delegate(door, made["slug"], who["client_id"], owner=MARKUP, description=MARKUP)
    chosen = f"role=evil&client={who['client_id']}&actions=customers:read"
    chosen += "&owner=%3Cscript%3Ealert(1)&description=%3Cscript%3E"
    for address in (
        LIST,
        NEW,
        f"{NEW}?{chosen}",
        f"{NEW}/clients",
    ):
        page = get(door, address)
        assert page.status == 200, address
        assert "<script>alert" not in page.html, address


def test_who_may_not_delegate_is_offered_nothing_and_refused(
    house: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    viewer = replace(LOCAL_OPERATOR, role=Role.VIEWER)
    monkeypatch.setattr("authsec_server.accounts.authentication.LOCAL_OPERATOR", viewer)
    door = house(local_operator=True).door()
    page = get(door, LIST)
    assert page.status == 200
    assert "Create trust delegation" not in page.text
    for address in (NEW, f"{NEW}/clients"):
        assert get(door, address).status == 403
    assert post(door, f"{NEW}/parts", []).status == 403
    assert post(door, NEW, [("role_name", "Own"), ("role_other_actions", "a:b")]).status == 403


def test_a_disabled_delegation_of_a_disabled_client_says_so_once(door: TestClient, role: str, agent: str) -> None:
    id_ = delegate(door, role, agent)["id"]
    for what in (f"delegations/{id_}", f"clients/{agent}"):
        assert door.post(f"/authsec/api/v1/{what}/disable").is_success
    page = get(door, f"{LIST}/{id_}")
    assert "The trust delegation and its client are disabled" in page.text
    assert page.html.count('<div class="alert ">') == 1
    assert page.links["Enable client"] == f"/console/clients/{agent}/enable"
