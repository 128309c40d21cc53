"""Trust Delegation in the console: the dashboard, and the four steps that create one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from authsec_server.delegations.model import UNUSED_FOR
from authsec_server.principal import LOCAL_OPERATOR, Role
from long_runs import some_rows_of
from pages import Page, get, post
from starlette.testclient import TestClient

House = Any
API = "/authsec/api/v1"
LIST = "/console/delegations"
NEW = f"{LIST}/new"
MARKUP = "<script>alert(1)</script>\"'&"


@pytest.fixture
def opened(house: Callable[..., House]) -> House:
    """An authority at whose machine we sit."""
    return house(local_operator=True)


@pytest.fixture
def door(opened: House) -> Iterator[TestClient]:
    """The browser of its operator."""
    return opened.door()


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


def steps(page: Page) -> Page:
    """From a first step with role and client chosen to the review."""
    page = page.form().send().follow()
    page = page.form().send(actions=["customers:read", "tickets:close"]).follow()
    return page.form().send().follow()


def test_the_walk_through_finds_its_words_and_delegates(door: TestClient, role: str, agent: str) -> None:
    page = get(door, LIST)
    assert "Trust Delegation" in page.text
    page = get(door, page.links["Create trust delegation"])
    for word in ("Define context", "Role", "New role…", "Target Type", "AutoGen AI agent", "Client / Application"):
        assert word in page.text
    assert page.form().value("target_type") == "AutoGen AI agent"
    page = page.form().send(role=role, client=agent, to="actions").follow()
    for word in ("Assign permissions", "Allowed Actions", "Select All"):
        assert word in page.text
    page = page.form().send(actions=["customers:read"]).follow()
    for word in ("Set duration", "Maximum Duration", "1 Hour", "Minute", "Hour", "Day"):
        assert word in page.text
    assert (page.form().value("amount"), page.form().value("unit")) == ("1", "hours")
    page = page.form().send().follow()
    assert "Create Trust Delegation" in page.text
    page = page.form().send().follow()
    assert page.path == LIST
    assert "The trust delegation is created and active." in page.text
    (made,) = door.get(f"{API}/delegations").json()["items"]
    assert f'<tr class="new">\n    <td><a class="clip" href="{LIST}/{made["id"]}"' in page.html
    assert (made["actions"], made["max_duration"], made["owner"]) == (["customers:read"], 3600, "local operator")


def test_all_state_is_in_the_address_so_every_step_survives_reload(door: TestClient, role: str, agent: str) -> None:
    address = (
        f"{NEW}/review?role={role}&client={agent}&actions=customers:read&amount=15&unit=minutes&description=Nightly"
    )
    page = get(door, address)
    assert page.status == 200
    assert "15 minutes" in page.text
    assert "Nightly" in page.text
    back = get(door, page.links["Set duration"])
    assert (back.form().value("amount"), back.form().value("unit")) == ("15", "minutes")
    assert back.form().value("description") == "Nightly"
    assert back.form().values("actions") == ["customers:read"]
    first = back.form().send(to="context").follow()
    assert (first.form().value("role"), first.form().value("client")) == (role, agent)
    assert first.form().value("description") == "Nightly"


def test_the_review_shows_the_claims_that_the_token_then_has(door: TestClient, role: str, agent: str) -> None:
    page = steps(get(door, f"{NEW}?role={role}&client={agent}"))
    assert '"scope": "customers:read tickets:close"' in page.html.replace("&#34;", '"')
    page.form().send()
    token = door.get(f"/authsec/uflow/sdk/delegation-token?client_id={agent}").json()
    assert token["scope"] == "customers:read tickets:close"
    assert token["expires_in"] == 3600


def test_the_review_says_in_red_that_an_agent_is_unattested(door: TestClient, role: str, agent: str) -> None:
    page = steps(get(door, f"{NEW}?role={role}&client={agent}"))
    assert '<div class="alert bad" role="alert">' in page.html
    assert "anybody who knows its client_id can get tokens for this delegation" in page.text
    assert "shared audience authsec-api" in page.text


def test_a_client_is_preselected_by_the_address(door: TestClient, role: str, agent: str) -> None:
    for name in (agent, "customer-support"):
        assert get(door, f"{NEW}?client={name}").form().value("client") == agent


@pytest.mark.parametrize(
    ("step", "query", "lands", "says"),
    some_rows_of(
        [
            ("actions", "", "", "No role is chosen."),
            ("actions", "role={role}", "", "No client is chosen."),
            ("actions", "role=gone&client={agent}", "", "This role does not exist"),
            ("review", "role={role}&client=gone&actions=customers:read", "", "This client does not exist"),
            (
                "duration",
                "role={role}&client={agent}&target_type=Toaster&actions=customers:read",
                "",
                "is not a target type",
            ),
            ("duration", "role={role}&client={agent}", "actions", "No action is chosen"),
            (
                "review",
                "role={role}&client={agent}&actions=customers:delete",
                "actions",
                "is not an action of the role",
            ),
            (
                "review",
                "role={role}&client={agent}&actions=customers:read&amount=2&unit=days",
                "duration",
                "1 minute to 1 day",
            ),
            (
                "review",
                "role={role}&client={agent}&actions=customers:read&amount=x",
                "duration",
                "must be a whole number",
            ),
            (
                "review",
                "role={role}&client={agent}&actions=customers:read&unit=eras",
                "duration",
                "The unit is unknown",
            ),
            (
                "review",
                "role={role}&client={agent}&actions=customers:read&ends_at=soon",
                "duration",
                "This is not a date and time.",
            ),
            (
                "review",
                "role={role}&client={agent}&actions=customers:read&ends_at=2020-01-01T00:00",
                "duration",
                "must be a future date",
            ),
            (
                "review",
                "role={role}&client={agent}&actions=customers:read&audiences=Not%20one",
                "duration",
                "is not an audience",
            ),
            (
                "review",
                "role={role}&client={agent}&actions=customers:read&excluded_proofs=magic",
                "duration",
                "not a kind of proof",
            ),
            (
                "review",
                "role={role}&client={agent}&actions=customers:read&owner=" + "o" * 121,
                "duration",
                "Owner must have",
            ),
        ]
    ),
)
def test_a_step_whose_earlier_state_is_wrong_sends_to_the_step_that_mends_it(
    door: TestClient, role: str, agent: str, step: str, query: str, lands: str, says: str
) -> None:
    page = get(door, f"{NEW}/{step}?{query.format(role=role, agent=agent)}").follow()
    assert page.path == (f"{NEW}/{lands}" if lands else NEW)
    assert page.status == 400
    assert says in page.text
    assert '<p class="problem" id="field-' in page.html  # at its field, not only on top


def test_what_was_typed_is_kept_where_something_is_wrong(door: TestClient, role: str, agent: str) -> None:
    query = f"role={role}&client={agent}&actions=customers:read&amount=90&unit=days&ends_at=soon&description=For+nights"
    page = get(door, f"{NEW}/review?{query}").follow()
    form = page.form()
    assert (form.value("amount"), form.value("unit"), form.value("ends_at")) == ("90", "days", "soon")
    assert form.value("description") == "For nights"
    assert form.value("role") == role


def test_a_duration_that_cannot_be_read_hides_no_earlier_fault(door: TestClient, agent: str) -> None:
    page = get(door, f"{NEW}/actions?role=gone&client={agent}&amount=x&actions=customers:read").follow()
    assert page.path == NEW


def test_a_first_look_at_a_step_shows_no_problem(door: TestClient, role: str, agent: str) -> None:
    for address in (NEW, f"{NEW}/actions?role={role}&client={agent}"):
        page = get(door, address)
        assert page.status == 200
        assert "No action is chosen" not in page.text
        assert "No role is chosen" not in page.text


def test_select_all_works_without_script_and_keeps_the_rest(door: TestClient, role: str, agent: str) -> None:
    form = get(door, f"{NEW}/actions?role={role}&client={agent}&amount=5").form()
    page = form.send(select="all").follow()
    assert page.form().values("actions") == ["customers:read", "customers:write", "tickets:close"]
    assert page.form().value("amount") == "5"
    assert page.form().send(select="none").follow().form().values("actions") == []


def test_actions_say_what_they_mean_where_and_whether_they_are_used(
    opened: House, door: TestClient, role: str, agent: str, api: dict[str, Any]
) -> None:
    delegate(door, role, agent)
    assert door.get(f"/authsec/uflow/sdk/delegation-token?client_id={agent}").status_code == 200
    text = get(door, f"{NEW}/actions?role={role}&client={agent}").text
    assert "customers:read Read customer records at Customer API In 1 token of this client in the last 30 days" in text
    assert "tickets:close No registered API describes this action. Not used by this client in the last 30 days" in text


def test_apis_are_offered_as_audiences_and_none_means_the_shared_one(
    door: TestClient, role: str, agent: str, api: dict[str, Any]
) -> None:
    address = f"{NEW}/duration?role={role}&client={agent}&actions=customers:read"
    page = get(door, address)
    assert "Customer API https://customers.example.com Describes customers:read" in page.text
    assert "shared audience authsec-api" in page.text
    page = page.form().send(audiences=[api["identifier"]]).follow()
    assert "Shared audience" not in page.text
    assert "https://customers.example.com" in page.text
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
        ({"role_name": "", "role_other_actions": "a:b"}, "role_name", "Name must not be empty"),
        ({"role_name": "Support", "role_other_actions": "a:b"}, "role_name", "belongs to the role"),
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
    monkeypatch.setattr("authsec_server.console.delegations.steps.MOST", 2)
    ids = [make(door, "clients", name=f"Agent {letter}", platform="unattested")["client_id"] for letter in "abcd"]
    page = get(door, NEW)
    assert len(page.form().options["client"]) == 3  # "Choose a client" and two
    page = page.form().send(client_text="agent a", role=role, to="context").follow()
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
    assert text.count("Revoked never revoked 2 hours ago") == 2
    assert "Ended never ended 1 hour ago" in text
    assert "no end" not in text
    for each in (revoked, both):
        assert "Ends revoked 2026-11-25 12:00:00 UTC" in get(door, f"{LIST}/{each}").text
    assert "Ends ended 2026-11-25 13:00:00 UTC" in get(door, f"{LIST}/{ended}").text


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
    assert "just now" in get(door, LIST).text


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
        *(f"{NEW}/{step}?{chosen}" for step in ("actions", "duration", "review")),
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
    for address in (NEW, f"{NEW}/actions", f"{NEW}/duration", f"{NEW}/review"):
        assert get(door, address).status == 403
    assert post(door, f"{NEW}/review", []).status == 403
    assert post(door, NEW, [("role_name", "Own"), ("role_other_actions", "a:b")]).status == 403


def test_the_last_button_checks_again(door: TestClient, role: str, agent: str) -> None:
    page = post(door, f"{NEW}/review", [("role", role), ("client", agent), ("actions", "customers:delete")])
    assert page.status == 303
    assert urlsplit(page.location).path == f"{NEW}/actions"
    assert parse_qs(urlsplit(page.location).query)["check"] == ["1"]
    assert door.get(f"{API}/delegations").json()["items"] == []
