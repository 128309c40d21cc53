"""Clients → MCP Servers / AI Agents: the list, and onboarding in the published walk-through's words."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from authsec.jose import PrivateKey
from long_runs import some_rows_of
from pages import Page, get, post, selector_rows
from starlette.testclient import TestClient

House = Any
API = "/authsec/api/v1"
LIST = "/console/clients"
ONBOARD = f"{LIST}/onboard"
WALK_THROUGH = {
    "k8s:ns": "production",
    "k8s:sa": "customer-support-sa",
    "k8s:pod-label:app": "customer-support",
    "k8s:container-name": "agent",
}


def make(door: TestClient, **what: Any) -> dict[str, Any]:
    answer = door.post(f"{API}/clients", json={"platform": "unattested"} | what)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def stored(door: TestClient, slug: str) -> dict[str, Any]:
    found: dict[str, Any] = door.get(f"{API}/clients/{slug}").json()
    return found


def fill(door: TestClient, **fields: str | list[str]) -> Page:
    """Open the dialog, fill it in, send it."""
    return get(door, ONBOARD).form(ONBOARD).send(**fields)


def rows(platform: str, pairs: dict[str, str]) -> dict[str, list[str]]:
    return selector_rows(platform, *pairs.items())


def names(page: Page) -> list[str]:
    """The clients in the list, in its order."""
    return [part.partition('"')[0] for part in page.html.split('<strong class="clamp" title="')[1:]]


def public_key() -> str:
    return PrivateKey.generate_ed25519().public.to_pem().decode()


def test_the_walk_through_finds_its_words_and_its_client_id(door: TestClient) -> None:
    page = get(door, LIST)
    assert "MCP Servers / AI Agents" in page.text
    page = get(door, page.links["Onboard New Client"])
    for word in ("AI Agent", "MCP Server", "AI Agent Name", "Platform", "Kubernetes", "Docker", "Unix", "+ Onboard"):
        assert word in page.text
    form = page.form(ONBOARD)
    for key in rows("kubernetes", WALK_THROUGH)["kubernetes-key"]:
        assert key in form.options["kubernetes-key"]
    page = form.send(name="Customer Support", platform="kubernetes", **rows("kubernetes", WALK_THROUGH))
    page = page.follow()
    client = stored(door, "customer-support")
    assert page.path == f"{LIST}/{client['client_id']}"
    assert "Client ID" in page.text
    assert client["client_id"] in page.text
    assert "AUTHSEC_AGENT_CLIENT_ID" in page.text
    assert {each["key"]: each["value"] for each in client["proofs"][0]["selectors"]} == WALK_THROUGH
    assert client["kind"] == "ai_agent"


def test_without_a_trusted_issuer_it_succeeds_and_says_what_is_missing(door: TestClient) -> None:
    page = fill(door, name="Pod", platform="kubernetes", **rows("kubernetes", {"k8s:ns": "production"})).follow()
    assert "Can't authenticate" in page.text
    assert "No trusted issuer can prove these selectors yet." in page.text
    assert "Can't authenticate" in get(door, LIST).text


def test_an_mcp_server_with_a_key_pair_and_all_details(door: TestClient) -> None:
    details = {"slug": "tools", "owner": "Platform team", "description": "Tools", "labels": "team=tools\n\ntier = 1"}
    fill(door, kind="mcp_server", name="Tool Server", platform="key", public_key=public_key(), **details).follow()
    client = stored(door, "tools")
    assert (client["kind"], client["owner"], client["description"]) == ("mcp_server", "Platform team", "Tools")
    assert client["labels"] == {"team": "tools", "tier": "1"}
    assert client["proofs"][0]["kind"] == "key_pair"


def test_unattested_is_red_wherever_it_is_seen(door: TestClient) -> None:
    assert "Anybody who knows the Client ID can get the client's tokens." in get(door, ONBOARD).text
    page = fill(door, name="Open", platform="unattested").follow()
    assert '<div class="alert bad" role="alert">' in page.html
    assert '<span class="badge bad"' in get(door, LIST).html


def test_what_was_typed_for_other_platforms_is_neither_required_nor_sent(door: TestClient) -> None:
    page = fill(door, name="Both", platform="key", public_key=public_key(), **rows("kubernetes", {"k8s:nonsense": "x"}))
    assert page.status == 303
    assert [each["kind"] for each in stored(door, "both")["proofs"]] == ["key_pair"]


@pytest.mark.parametrize(
    ("typed", "says"),
    some_rows_of(
        [
            ({"name": " "}, "Name must not be empty."),
            ({"platform": ""}, "Choose the platform"),
            ({"platform": "mainframe"}, "'mainframe' is not a platform."),
            ({"kind": "robot"}, "Choose AI Agent or MCP Server."),
            ({"platform": "kubernetes"}, "needs at least one selector"),
            (
                {"platform": "kubernetes", **rows("kubernetes", {"k8s:namespace": "production"})},
                "'k8s:namespace' is not a selector of Kubernetes; the nearest is k8s:ns.",
            ),
            ({"platform": "kubernetes", **rows("kubernetes", {"": "production"})}, "Choose a key for this value."),
            ({"platform": "unix", **rows("unix", {"unix:uid": "root"})}, "'root' is not a valid value of unix:uid"),
            ({"platform": "key"}, "A key pair needs the agent's public key."),
            ({"platform": "key", "public_key": "no key"}, "This public key cannot be used"),
            ({"slug": "No Slug"}, "Slug must be 1 to 63 lower-case letters, digits or hyphens."),
            ({"slug": "taken"}, "The slug taken already belongs to"),
            ({"owner": "x" * 121}, "Owner must have 1 to 120 characters."),
            ({"labels": "team"}, "The line 'team' is not a label."),
            ({"labels": "team=a\nteam=b"}, "The label 'team' appears twice."),
            ({"labels": "TEAM=a"}, "'TEAM' is not a valid label name."),
        ],
        each=4,
    ),
)
def test_what_is_wrong_stands_at_its_field_and_what_was_typed_is_kept(
    door: TestClient, typed: dict[str, Any], says: str
) -> None:
    make(door, name="Taken")
    sent = {"name": "Kept Name", "platform": "unattested", "description": "Kept text"} | typed
    page = fill(door, **sent)
    assert page.status in {400, 409}
    assert says in page.text
    form = page.form(ONBOARD)
    for field, value in sent.items():
        if field not in {"kind", "platform"}:
            assert form.values(field) == (
                [each.strip() for each in value] if isinstance(value, list) else [value.strip()]
            )
    assert len(door.get(f"{API}/clients").json()["items"]) == 1


def test_a_private_key_is_not_sent_back(door: TestClient) -> None:
    secret = PrivateKey.generate_ed25519().to_pem().decode()
    page = fill(door, name="Careless", platform="key", public_key=secret)
    assert page.status == 400
    assert "This is a PRIVATE key." in page.text
    assert secret.splitlines()[1] not in page.html
    assert page.form(ONBOARD).value("public_key") == ""


def test_a_row_is_added_without_script(door: TestClient) -> None:
    page = fill(door, name="Rows", platform="kubernetes", add="kubernetes", **rows("kubernetes", WALK_THROUGH))
    assert page.status == 200
    form = page.form(ONBOARD)
    assert form.values("kubernetes-key") == ["k8s:ns", "k8s:sa", "k8s:pod-label:", "k8s:container-name", ""]
    assert form.values("kubernetes-parameter") == ["", "", "app", "", ""]
    assert form.value("name") == "Rows"
    assert door.get(f"{API}/clients").json()["items"] == []


def test_a_key_of_two_parts_is_joined(door: TestClient) -> None:
    """What is left in the hidden field of another key is no part of it."""
    typed = {"oidc-key": [":", "oidc:sub"], "oidc-parameter": ["acme:team", "left over"], "oidc-value": ["a", "b"]}
    fill(door, name="Job", platform="oidc", **typed).follow()
    (proof,) = stored(door, "job")["proofs"]
    assert {each["key"]: each["value"] for each in proof["selectors"]} == {"acme:team": "a", "oidc:sub": "b"}


def test_a_whole_key_in_the_field_of_the_label_is_that_key(door: TestClient) -> None:
    typed = {"kubernetes-key": "k8s:pod-label:", "kubernetes-parameter": "k8s:pod-label:app", "kubernetes-value": "a"}
    fill(door, name="Pod", platform="kubernetes", **typed).follow()
    (proof,) = stored(door, "pod")["proofs"]
    assert [each["key"] for each in proof["selectors"]] == ["k8s:pod-label:app"]


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("k8s:ns", "Give the value of k8s:ns."),
        ("k8s:pod-label:", "Enter the label's name, for example app."),
    ],
)
def test_a_chosen_key_without_a_value_is_never_left_out(door: TestClient, key: str, says: str) -> None:
    typed = {"kubernetes-key": ["k8s:sa", key], "kubernetes-parameter": ["", ""], "kubernetes-value": ["agent", ""]}
    page = fill(door, name="Pod", platform="kubernetes", **typed)
    assert page.status == 400
    assert says in page.text
    assert page.form(ONBOARD).values("kubernetes-key") == ["k8s:sa", key]


def test_another_claim_without_a_name_is_never_left_out(door: TestClient) -> None:
    typed = {"oidc-key": ["oidc:sub", ":"], "oidc-parameter": ["", ""], "oidc-value": ["a", ""]}
    page = fill(door, name="Job", platform="oidc", **typed)
    assert page.status == 400
    assert "The key is empty. Write <issuer>:<claim>." in page.text


def test_rows_that_lack_a_field_are_refused(door: TestClient) -> None:
    page = fill(door, name="Pod", platform="kubernetes", **{"kubernetes-parameter": ["app"]})
    assert page.status == 400
    assert "Some rows of the form are missing." in page.text
    answer = post(door, f"{LIST}/selectors", [("platform", "kubernetes"), ("key", "k8s:ns")])
    assert answer.status == 400


def test_enter_onboards_and_does_not_add_a_row(door: TestClient) -> None:
    form = get(door, ONBOARD).html.partition('<form method="post" action="/console/clients/onboard"')[2]
    first = form[form.index("<button") : form.index("</button>")]
    assert "+ Onboard" in first
    assert "name=" not in first


def test_selectors_are_checked_while_they_are_typed(door: TestClient) -> None:
    pairs = [("platform", "kubernetes"), ("key", "k8s:ns"), ("value", "Production"), ("key", ""), ("value", "")]
    answer = post(door, f"{LIST}/selectors", pairs)
    told = json.loads(answer.html)
    assert "Check the selectors" in told["verdict"]
    first, second = told["rows"]
    assert (first["wrong"], first["tone"]) == (True, "problem")
    assert "'Production' is not a valid value of k8s:ns" in first["text"]
    assert first["meanwhile"].startswith("For example production · the pod's namespace: a name of")
    assert (second["wrong"], second["text"]) == (False, "")
    assert post(door, f"{LIST}/selectors", [("platform", "mainframe")]).status == 400
    assert door.post(f"{LIST}/selectors", data=dict(pairs), headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403


def test_an_empty_list_says_how_to_begin(door: TestClient) -> None:
    page = get(door, LIST)
    assert "No clients yet" in page.text
    assert page.links["Onboard New Client"] == ONBOARD


def test_the_list_is_searched_and_filtered(door: TestClient) -> None:
    billing = make(door, name="Billing", platform="key", public_key=public_key(), owner="Payments")
    make(door, name="Tools", kind="mcp_server", labels={"team": "x"})
    make(door, name="Pod", platform="unix", selectors=[{"key": "unix:user", "value": "agent"}])
    door.post(f"{API}/clients/tools/disable")
    for query, expected in {
        "text=bill": ["Billing"],
        f"text={billing['client_id'][:8]}": ["Billing"],
        "kind=mcp_server": ["Tools"],
        "platform=unix": ["Pod"],
        "status=disabled": ["Tools"],
        "status=enabled": ["Billing", "Pod"],
        "owner=payments": ["Billing"],
        "attention=unattested": ["Tools"],
        "attention=cannot_prove": ["Pod"],
        "warning=unattested": ["Tools"],
        "warning=secret": [],
        "state=disabled": ["Tools"],
        "state=unproved": ["Pod"],
        "state=undelegated": ["Billing"],
        "state=undelegated&text=pod": [],
        "state=ready": [],
        "label=team%3Dx": ["Tools"],
        "kind=nonsense&platform=&status=perhaps&attention=1": ["Billing", "Pod", "Tools"],
    }.items():
        assert names(get(door, f"{LIST}?{query}")) == expected, query
    page = get(door, f"{LIST}?text=nobody")
    assert "Nothing matches" in page.text
    assert page.form(LIST).value("text") == "nobody"
    form = get(door, f"{LIST}?status=enabled&state=unproved").form(LIST)
    assert (form.value("status"), form.value("state")) == ("enabled", "unproved")


def test_the_list_is_sorted_by_name_owner_and_age(door: TestClient, opened: House) -> None:
    for name, owner in (("b", "X"), ("C", "A"), ("a", "M")):
        make(door, name=name, owner=owner)
        opened.clock.at += timedelta(minutes=1)
    for sort, expected in {
        "": ["a", "b", "C"],
        "-name": ["C", "b", "a"],
        "owner": ["C", "a", "b"],
        "-created": ["a", "C", "b"],
        "created": ["b", "C", "a"],
        "nonsense": ["a", "b", "C"],
    }.items():
        assert names(get(door, f"{LIST}?sort={sort}")) == expected, sort


def test_pages_follow_each_other(door: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("authsec_server.console.clients.pages.PAGE", 2)
    for number in range(5):
        make(door, name=f"Agent {number}")
    seen, page = [], get(door, f"{LIST}?text=agent")
    while True:
        seen += names(page)
        assert "5 clients found" in page.text
        if "Next page" not in page.links:
            break
        page = get(door, page.links["Next page"])
    assert seen == [f"Agent {number}" for number in range(5)]
    assert get(door, f"{LIST}?cursor=made-up").status == 400


def test_a_row_has_one_state_and_the_warnings_beside_it(door: TestClient) -> None:
    make(door, name="Open")
    make(door, name="Keyed", platform="key", public_key=public_key())
    page = get(door, LIST)
    assert "No delegation Unattested never" in page.text  # never: no token yet
    assert "No delegation never" in page.text


def test_code_in_a_message_is_shown_as_code_and_nothing_else_is_markup(door: TestClient) -> None:
    page = fill(door, name="No Key", platform="key", public_key="")
    assert "Create a key pair with uv run authsec keygen FILE" in page.text
    assert "<code>uv run authsec keygen FILE</code>" in page.html
    page = fill(door, name="Odd", platform="kubernetes", **rows("kubernetes", {"`<b>x</b>`": "y"}))
    assert "<code>&lt;b&gt;x&lt;/b&gt;</code>" in page.html
    assert "<b>x" not in page.html


def test_half_a_key_is_told_how_to_go_on(door: TestClient) -> None:
    page = fill(door, name="Half", platform="kubernetes", **rows("kubernetes", {"k8s:pod-label": "support"}))
    assert "'k8s:pod-label' lacks the key. Write k8s:pod-label:<key>." in page.text


def test_the_dialog_says_where_the_key_comes_from(door: TestClient) -> None:
    page = get(door, ONBOARD)
    assert "<code>uv run authsec keygen agent-key.pem</code>" in page.html
    assert "Run this command where the agent runs, in a clone of AuthSec" in page.text


def test_a_row_says_how_its_client_fares(door: TestClient, opened: House) -> None:
    client_id = opened.delegated_name("Busy")
    assert "Ready" in get(door, LIST).text
    assert "never" in get(door, LIST).text
    assert door.get(f"/authsec/uflow/sdk/delegation-token?client_id={client_id}").status_code == 200
    opened.clock.at += timedelta(minutes=3)
    assert "2026-11-25 12:00" in get(door, LIST).text
    assert 'title="3 minutes ago, 2026-11-25 12:00:00 UTC"' in get(door, LIST).html


def test_many_are_disabled_after_being_asked(door: TestClient, opened: House) -> None:
    busy, idle = opened.delegated_name("Busy"), make(door, name="Idle")["client_id"]
    off = make(door, name="Off")["client_id"]
    door.post(f"{API}/clients/{off}/disable")
    door.get(f"/authsec/uflow/sdk/delegation-token?client_id={busy}")
    chosen = [("client", each) for each in (busy, idle, off, "0" * 36, busy)]
    page = get(door, f"{LIST}/disable?{urlencode(chosen)}")
    assert "2 clients get no new token until somebody enables them" in page.text
    assert "1 live token is revoked" in page.text
    assert "2026-11-25 13:00:00 UTC" in page.text
    assert "Disabled already: Off." in page.text
    assert stored(door, "busy")["enabled"]
    page = page.form().send(client=page.form().values("client")).follow()
    assert "The clients are disabled" in page.text
    assert not stored(door, "busy")["enabled"]
    assert not stored(door, "idle")["enabled"]


def test_nobody_chosen_is_said(door: TestClient) -> None:
    assert "No client to disable" in get(door, f"{LIST}/disable").text
    page = post(door, f"{LIST}/disable", [])
    assert page.status == 400
    assert "0 clients are selected." in page.text
