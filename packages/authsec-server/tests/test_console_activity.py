"""Activity in the console: the audit log by its filters, an event's story, and the files to take away."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from authsec_server.app.routes import NAMES
from authsec_server.audit import pages as audit_log
from authsec_server.audit import service as audit
from authsec_server.audit.model import Decision, Event, EventKind, Named, Recorded, Refusal, Tally
from authsec_server.audit.sealing import service as sealing
from authsec_server.audit.store import events
from authsec_server.console.activity import query as activity
from authsec_server.console.activity import text as stories
from authsec_server.principal import LOCAL_OPERATOR, Principal, PrincipalKind, Role
from pages import Page, get
from people import first_administrator, invited
from sqlalchemy import text, update
from starlette.testclient import TestClient

House = Any
Matches = Callable[[Event], bool]
API = "/authsec/api/v1"
TRAIL = "/console/activity"
MARKUP = "<script>alert(1)</script>\"'&"
ADA = Principal(
    kind=PrincipalKind.ADMINISTRATOR, id="0b5c1f8e-6f1b-4c43-9a52-3f1c3f3f0a11", name="Ada", role=Role.ADMIN
)


@pytest.fixture
def busy(opened: House, door: TestClient) -> House:
    """An authority where one agent was onboarded and got a token, and a day later another was refused one."""
    agent = opened.delegated_name("Customer Support")
    assert ask(door, agent).status_code == 200
    opened.clock.at += timedelta(days=1)
    other = make(door, "clients", name="Idle", platform="unattested")["client_id"]
    for _ in range(2):
        assert ask(opened.door("192.0.2.7"), other).json()["reason"] == "no_delegation"
    make(door, "apis", name="Customer API", identifier="https://customers.example.com")
    make(door, "admin-keys", name="CI", role="viewer")
    opened.clock.at += timedelta(minutes=5)
    return opened


def make(door: TestClient, noun: str, **what: Any) -> dict[str, Any]:
    answer = door.post(f"{API}/{noun}", json=what)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def ask(door: TestClient, client_id: str) -> Any:
    return door.get("/authsec/uflow/sdk/delegation-token", params={"client_id": client_id})


def record(its: House, *events: Event) -> list[int]:
    """Write events as the rooms below do; their numbers."""
    numbers: list[int] = its.authority.database.append(lambda tx: [audit.record(tx, event) for event in events])
    return numbers


def seal(its: House) -> int:
    """Have all be sealed that is there, as a server does each second; how many events that are."""
    while its.authority.dropper.sealer.seal():
        pass
    leaves: int = its.authority.database.read(
        lambda tx: sealing.sealing_status(tx, LOCAL_OPERATOR, its.clock.at).leaves
    )
    return leaves


def an_event(its: House, kind: EventKind = EventKind.ROLE_CREATED, **what: Any) -> Event:
    return Event(
        **{"at": its.clock.at, "kind": kind, "request_id": "req_00000000000000000000test", "principal": ADA} | what
    )


def shown(page: Page) -> list[int]:
    """The numbers of the events on a page of the trail, in its order."""
    return [int(number) for number in re.findall(r'<tr data-event="(\d+)">', page.html)]


def facts(page: Page) -> dict[str, str]:
    """What an event's story says, by its headings."""
    found = re.findall(r"<div><dt>(.*?)</dt><dd>(.*?)</dd></div>", page.html, re.DOTALL)
    return {re.sub("<.*?>", "", checkpoint): " ".join(re.sub("<.*?>", "", body).split()) for checkpoint, body in found}


def number_of(its: House, kind: EventKind) -> int:
    """The newest event of that kind."""
    return max(each.id for each in its.events() if each.event.kind is kind)


def newest(its: House, kind: EventKind) -> Event:
    """The newest event of that kind, as it is in the audit log."""
    events: list[Event] = [each.event for each in its.events() if each.event.kind is kind]
    return events[-1]


def cells(page: Page) -> list[str]:
    """The rows of the page as texts, with a bar between two cells. A dash is no text."""
    rows = re.findall(r"<tr data-event.*?</tr>", page.html, re.DOTALL)
    return [
        "|".join(
            " ".join(re.sub("<.*?>|\u2013", "", cell).split()) for cell in re.findall("<td.*?</td>", row, re.DOTALL)
        )
        for row in map(html.unescape, rows)
    ]


def test_a_row_says_when_who_did_what_at_which_api_and_the_result(busy: House, door: TestClient) -> None:
    rows = cells(get(door, TRAIL))
    assert rows[:3] == [
        "2026-11-26 12:00:00|local operator|created the admin key CI||Done",
        "2026-11-26 12:00:00|local operator|registered the API Customer API|Customer API|Done",
        "2026-11-26 12:00:|Idle|asked for a token 2 times||Refused no_delegation",
    ]
    issued = "2026-11-25 12:00:00|Customer Support|asked for customers:read|authsec-api|Issued Unattested"
    assert issued in rows
    counted = "A time without seconds is a minute. Its row counts the equal refusals of that minute."
    assert counted in get(door, TRAIL).text
    assert counted not in get(door, f"{TRAIL}?what=issued").text


def test_each_kind_of_event_has_a_line(opened: House) -> None:
    named = Named(id="n", name="Named")
    for kind in EventKind:
        detail = {"problem": "Event 7 cannot be read."} if kind is EventKind.EVENT_UNREADABLE else {}
        for what in ({}, {"client": named, "subject": named, "delegations": (named,), "roles": (named,)}):
            for principal in (ADA, None):
                told = an_event(opened, kind, principal=principal, detail=detail, **what)
                recorded = Recorded(id=7, event=told, count=2, counted=False)
                said = f"{stories.who(told)} {stories.did(recorded)}"
                assert kind.value not in said, "each kind has its own words"
                assert said.strip()
                assert stories.result(told) in {"Issued", "Refused", "Done", "Unreadable"}


def test_the_groups_to_choose_from_hold_every_kind_once() -> None:
    kinds = [kind for _, group in activity.GROUPS.values() for kind in group]
    assert sorted(kinds) == sorted(EventKind)


def test_every_reason_of_a_refusal_can_be_chosen(door: TestClient) -> None:
    page = get(door, f"{TRAIL}?reason=delegation_ended")
    chosen = page.html.partition('id="field-reason"')[2].partition("</select>")[0]
    codes = re.findall(r'<option value="([^"]+)"', chosen)
    assert sorted(codes) == sorted(NAMES.reasons)
    assert page.form().value("reason") == "delegation_ended"
    assert "No matching token was refused in this period." in page.text


def test_an_empty_audit_log_says_what_will_be_here(door: TestClient) -> None:
    door.get(TRAIL)
    page = get(door, f"{TRAIL}?what=issued")
    assert "Nothing matches." in page.text
    assert shown(page) == []


def kind_is(*beginnings: str) -> Matches:
    return lambda event: event.kind.startswith(beginnings)


FILTERS: dict[str, Matches] = {
    "": lambda _: True,
    "what=issued": kind_is("token.issued"),
    "what=refused": kind_is("token.refused"),
    "what=clients": kind_is("client.", "proof."),
    "what=delegations": kind_is("delegation."),
    "what=roles": kind_is("role."),
    "what=apis": kind_is("api."),
    "what=issuers": kind_is("issuer."),
    "what=keys": lambda event: event.kind.startswith(("key.", "feed_key.", "seal_key.")),
    "what=administration": kind_is("admin", "session."),
    "what=client.created": kind_is("client.created"),
    "client=customer-support": lambda event: event.client is not None and event.client.name == "Customer Support",
    "client={agent}": lambda event: event.client is not None and event.client.name == "Customer Support",
    "client=Customer%20Support": lambda event: event.client is not None and event.client.name == "Customer Support",
    "client=CUSTOMER%20support": lambda event: event.client is not None and event.client.name == "Customer Support",
    "client=00000000-0000-4000-8000-000000000000": lambda _: False,
    "delegation={delegation}": lambda event: bool(event.delegations),
    "delegation={delegation}&client=idle": lambda _: False,
    "delegation={delegation}&what=issued": kind_is("token.issued"),
    "by=local_operator:": lambda event: event.principal == LOCAL_OPERATOR,
    "by=server:": lambda event: event.principal is not None and event.principal.kind is PrincipalKind.SERVER,
    f"by=administrator:{ADA.id}": lambda _: False,
    "reason=no_delegation": kind_is("token.refused"),
    "reason=client_disabled": lambda _: False,
    "address=192.0.2.7": kind_is("token.refused"),
    "request_id={request_id}": kind_is("token.issued"),
    "jti={jti}": kind_is("token.issued"),
    "since=2026-11-26": lambda event: event.at.day == 26,
    "until=2026-11-25": lambda event: event.at.day == 25,
    "until=2026-11-26T00:00:00Z": lambda event: event.at.day == 25,
    "since=2026-11-25&until=2026-11-25&what=roles": kind_is("role."),
    "what=issued&client=customer-support&since=2026-11-26": lambda _: False,
    "range=hour": lambda event: event.at.day == 26,
    "range=day&what=refused": kind_is("token.refused"),
    "range=week&what=issued": kind_is("token.issued"),
    "range=month": lambda _: True,
    "range=custom": lambda _: True,
    "range=custom&since=2026-11-26": lambda event: event.at.day == 26,
    "range=custom&until=2026-11-25T13:00": lambda event: event.at.day == 25,
}


@pytest.mark.soak
def test_a_filter_shows_and_takes_away_what_it_asks_for(busy: House, door: TestClient) -> None:
    token = newest(busy, EventKind.TOKEN_ISSUED)
    assert token.client
    known = {"agent": token.client.id, "delegation": token.delegations[0].id}
    known |= {"request_id": token.request_id, "jti": token.jti}
    for query, matches in FILTERS.items():
        expected = [each.id for each in busy.events() if matches(each.event)]
        page = get(door, f"{TRAIL}?{query.format(**known)}")
        assert shown(page) == expected[::-1], query
        lines = door.get(page.links["JSON Lines"]).text.splitlines()
        assert [json.loads(line)["id"] for line in lines] == expected, query
        rows = csv.DictReader(io.StringIO(door.get(page.links["CSV"]).text))
        assert [int(row["id"]) for row in rows] == expected, query


def test_the_form_keeps_what_was_asked(busy: House, door: TestClient) -> None:
    query = "what=client.created&client=idle&since=2026-11-25&until=2026-11-26&by=local_operator%3A&address=127.0.0.1"
    form = get(door, f"{TRAIL}?{query}").form()
    for name, value in parse_qsl(query):
        assert form.value(name) == value
    assert shown(form.send()) == [number_of(busy, EventKind.CLIENT_CREATED)]
    assert shown(form.send(client="customer-support")) == []


def test_the_form_names_the_client_of_an_id(busy: House, door: TestClient) -> None:
    clients = {each["slug"]: each["client_id"] for each in door.get("/authsec/api/v1/clients").json()["items"]}
    page = get(door, f"{TRAIL}?client={clients['customer-support']}&jti=none")
    assert page.form().value("client") == "Customer Support"
    assert "Client: Customer Support" in chips(page), "also where no event has its name"
    sent = page.form().send(jti="")
    assert shown(sent) == shown(get(door, f"{TRAIL}?client={clients['customer-support']}"))
    gone = "00000000-0000-4000-8000-000000000000"
    assert get(door, f"{TRAIL}?client={gone}").form().value("client") == gone
    again = {"name": "Customer Support", "slug": "another", "platform": "unattested"}
    assert door.post("/authsec/api/v1/clients", json=again).status_code == 201
    page = get(door, f"{TRAIL}?client={clients['customer-support']}")
    assert page.form().value("client") == "customer-support", "the slug, where two have the name"


def chips(page: Page) -> dict[str, str]:
    """The active filters of the page, each with the address without it."""
    found = re.findall(r'<a class="chip" href="(.*?)".*?>(.*?)<span aria-hidden', page.html)
    return {re.sub("<.*?>", "", text): html.unescape(path) for path, text in found}


def test_a_link_removes_one_filter_and_keeps_the_others(busy: House, door: TestClient) -> None:
    token = newest(busy, EventKind.TOKEN_ISSUED)
    assert token.client
    assert chips(get(door, TRAIL)) == {}
    query = f"what=issued&client={token.client.id}&delegation={token.delegations[0].id}&jti={token.jti}&range=week"
    page = get(door, f"{TRAIL}?{query}&cursor=900")
    delegation = f"Trust delegation: {token.delegations[0].name}"
    assert [*chips(page)] == [
        "Kind: Tokens issued",
        "Client: Customer Support",
        delegation,
        f"jti: {token.jti}",
        "Time: last 7 days",
    ]
    assert chips(page)[delegation] == f"{TRAIL}?{query.replace(f'&delegation={token.delegations[0].id}', '')}"
    dates = get(door, f"{TRAIL}?by=local_operator%3A&since=2026-11-25&until=2026-11-26")
    assert chips(dates) == {
        "Administrator: local operator": f"{TRAIL}?since=2026-11-25&until=2026-11-26",
        "Time: from 2026-11-25 to 2026-11-26": f"{TRAIL}?by=local_operator%3A",
    }
    exact = get(door, f"{TRAIL}?since=2026-11-25T12%3A00%3A01.462968%2B00%3A00")
    assert [*chips(exact)] == ["Time: from 2026-11-25 12:00:01"]
    assert get(door, page.links["Show all"]).path == TRAIL


def test_a_range_is_chosen_by_a_link_that_keeps_the_filters(busy: House, door: TestClient) -> None:
    page = get(door, f"{TRAIL}?what=refused&since=2026-11-25")
    for name, query in {
        "All": "what=refused",
        "24 hours": "what=refused&range=day",
        "Custom": "what=refused&since=2026-11-25&range=custom",
    }.items():
        assert page.links[name] == f"{TRAIL}?{query}"
    assert "Tokens refused by the hour, last 24 hours" in get(door, page.links["24 hours"]).text
    assert "Tokens refused per 6 hours, last 7 days" in get(door, page.links["7 days"]).text
    assert "by the hour" not in get(door, page.links["Hour"]).text  # one or two columns are no chart


MEANINGLESS = [
    "since=2026-11-26&until=2026-11-25",
    "what=nonsense",
    "client=nobody",
    "client=%00",
    "client=nobody&delegation=00000000-0000-4000-8000-000000000000",
    "delegation=support",
    "by=ghost:",
    "by=administrator:ada",
    "reason=No%20Delegation",
    "address=everywhere",
    "request_id=a%20b",
    "jti=a%3Cscript%3Eb",
    "range=fortnight",
    "range=day&since=2026-11-25",
    "since=yesterday",
    "since=0001-01-01",
    "since=0001-01-01T00:00:00%2B14:00",
    "until=9999-12-31",
    "until=9999-12-31T23:59:59-14:00",
]


def test_a_filter_that_means_nothing_is_said_and_kept(door: TestClient) -> None:
    for query in MEANINGLESS:
        page = get(door, f"{TRAIL}?{query}")
        assert page.status == 400, query
        assert 'id="problem"' in page.html
        assert shown(page) == []
        assert "data-stream" not in page.html
        for name, value in parse_qsl(query):
            assert page.form().value(name) == value
        for form in ("csv", "jsonl"):
            assert door.get(f"{TRAIL}/export.{form}?{query}").status_code == 400, query


def test_an_address_that_no_page_makes_is_refused(door: TestClient) -> None:
    for query in ("what=issued&what=refused", "cursor=newest", "cursor=-1", "cursor=" + "9" * 20):
        assert get(door, f"{TRAIL}?{query}").status == 400, query


def test_older_events_are_on_further_pages_of_the_same_filter(opened: House, door: TestClient) -> None:
    numbers = record(opened, *[an_event(opened)] * 120)
    record(opened, an_event(opened, EventKind.API_CREATED))
    page = get(door, f"{TRAIL}?what=roles")
    assert "Newest" not in page.links
    seen = shown(page)
    while "Older" in page.links:
        page = get(door, page.links["Older"])
        seen += shown(page)
        assert "data-stream" not in page.html  # new events do not belong on top of old ones
    assert seen == numbers[::-1]
    assert shown(get(door, page.links["Newest"])) == numbers[:-51:-1]


def test_counted_refusals_keep_their_places_in_the_order_of_time(opened: House, door: TestClient) -> None:
    client_id, other = opened.delegated_name("Open"), opened.delegated_name("Other")
    strangers = [opened.door(f"192.0.2.{number}") for number in (7, 8)]

    def refuse() -> None:
        for stranger in strangers:
            ask(stranger, "00000000-0000-4000-8000-000000000000")
        door.get("/authsec/uflow/sdk/delegation-token", params={"client_id": other, "scope": "customers:nothing"})

    places: list[int] = []
    for _ in range(4):
        refuse()
        ask(door, client_id)
        refuse()  # counted in the same rows
        here = shown(get(door, TRAIL))
        assert here[-len(places) :] == places or not places
        places = here
        opened.clock.at += timedelta(seconds=40)
    times = re.findall(r'<time datetime="([^"]{16})', get(door, TRAIL).html.partition('<tbody id="events">')[2])
    assert times == sorted(times, reverse=True)
    assert len(times) == len(places)


def test_what_is_rare_is_searched_for_step_by_step(
    opened: House, door: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_log, "CANDIDATES", 5)
    rare, *_ = record(opened, an_event(opened, address="192.0.2.9"), *[an_event(opened)] * 6)
    page = get(door, f"{TRAIL}?address=192.0.2.9")
    assert "None of the events read so far matches the filter." in page.text
    assert shown(get(door, page.links["Search further back"])) == [rare]


def charted(page: Page) -> list[str]:
    """The rows of the table that stands beside the chart."""
    body = page.html.partition("<summary>As a table</summary>")[2].partition("</table>")[0].partition("<tbody>")[2]
    return [" ".join(re.sub("<.*?>", " ", row).split()) for row in body.split("</tr>")[:-1]]


def test_the_chart_has_its_numbers_in_a_table_beside_it(busy: House, door: TestClient) -> None:
    page = get(door, TRAIL)
    assert "Tokens by the hour" in page.text
    assert charted(page) == ["2026-11-25 12:00 1 0", "2026-11-26 12:00 0 2"]
    assert "<title>2026-11-25 12:00 UTC: 1 issued, 0 refused</title>" in page.html
    assert charted(get(door, f"{TRAIL}?client=idle")) == ["2026-11-26 12:00 0 2"]
    assert charted(get(door, f"{TRAIL}?reason=no_delegation")) == ["2026-11-26 12:00 2"]
    assert charted(get(door, f"{TRAIL}?reason=client_disabled")) == []
    assert charted(get(door, f"{TRAIL}?until=2026-11-25")) == ["2026-11-25 12:00 1 0"]
    by_day = get(door, f"{TRAIL}?since=2026-11-01")
    assert "Tokens by the day" in by_day.text
    assert charted(by_day) == ["2026-11-25 00:00 1 0", "2026-11-26 00:00 0 2"]


def test_there_is_no_chart_where_it_would_show_something_else_than_the_list(busy: House, door: TestClient) -> None:
    for query in (
        "what=roles",
        "by=server:",
        "address=192.0.2.7",
        "request_id=req_00000000000000000000000v",
        "jti=x",
        "since=2027-01-01",
    ):
        page = get(door, f"{TRAIL}?{query}")
        assert page.status == 200, query
        assert "As a table" not in page.text, query


def test_the_story_of_a_token(busy: House, door: TestClient) -> None:
    event = newest(busy, EventKind.TOKEN_ISSUED)
    page = get(door, f"{TRAIL}/{number_of(busy, EventKind.TOKEN_ISSUED)}")
    its = facts(page)
    assert "Token issued to Customer Support" in page.text
    assert its["When"].endswith("2026-11-25 12:00:00 UTC")
    for checkpoint, said in {
        "API": event.detail["audience"][0],
        "Result": "Issued",
        "Token (jti)": event.jti,
        "Signing key (kid)": event.kid,
        "SHA-256 of the signing input": event.token_sha256,
        "Authority version": str(event.authority_version),
        "Address": "127.0.0.1",
        "Request id": event.request_id,
        "Sealed": "overdue: run uv run authsec audit verify --data ",
    }.items():
        assert said in its[checkpoint], checkpoint
    assert "Who" not in its  # an agent asked for itself
    for name in ("Customer Support", "Role of Customer Support → Customer Support", "Role of Customer Support"):
        assert get(door, page.links[name]).status == 200
    assert '"actions": [' in page.html.replace("&#34;", '"')
    assert shown(get(door, page.links["127.0.0.1"])) != []


def test_a_token_that_was_revoked_since_says_so(busy: House, door: TestClient) -> None:
    path = f"{TRAIL}/{number_of(busy, EventKind.TOKEN_ISSUED)}"
    busy.clock.at -= timedelta(hours=23, minutes=35)
    assert "revoked" not in facts(get(door, path))["Token (jti)"]
    assert get(door, "/console/clients/customer-support/disable").form().send().status == 303
    busy.clock.at += timedelta(minutes=5)
    assert "revoked 5 minutes ago; expires in 25 minutes" in facts(get(door, path))["Token (jti)"]


def test_the_story_of_a_refusal_says_what_was_asked_and_what_would_help(opened: House, door: TestClient) -> None:
    agent = opened.delegated_agent()
    proof = {"Authorization": f"Bearer {agent.assertion(opened.clock.at)}"}
    asked = {"client_id": agent.client_id, "scope": "customers:delete customers:read"}
    refused = door.get("/authsec/uflow/sdk/delegation-token", params=asked, headers=proof)
    assert refused.json()["reason"] == "action_not_allowed"
    page = get(door, f"{TRAIL}/{number_of(opened, EventKind.TOKEN_REFUSED)}")
    its = facts(page)
    assert "Not delegated to the agent: customers:delete. Allow it in a trust delegation" in page.text
    assert page.links["Trust delegations of the client"] == f"/console/delegations?client={agent.client_id}"
    assert its["Asked for"] == "customers:delete, customers:read"
    assert its["Not delegated"] == "customers:delete"
    assert its["Allowed request"] == "scope=customers:read"


def test_the_story_of_another_workload_says_once_how_it_differs(opened: House, door: TestClient) -> None:
    issuer = {"id": "52bd48f2-38a5-4b4d-81c3-3ca4ccf7f577", "name": "Cluster"}
    differs = "namespace is `test`, registered `production`"
    miss = {"proof_id": "7362b2da-3146-477c-957b-23081417d65b", "trusted_issuer_id": issuer["id"], "selectors": []}
    detail = {"trusted_issuer": issuer, "miss": miss | {"validation": "offline", "sentence": differs}}
    refusal = Refusal(
        address="192.0.2.7",
        client=Named(id="0b5c1f8e-6f1b-4c43-9a52-3f1c3f3f0a12", name="Pod"),
        reason="selectors_mismatch",
    )
    tallies = {refusal: Tally(count=1, request_id="req_0000000000000000000first", detail=detail)}
    opened.authority.database.append(lambda tx: audit.count_refusals(tx, tallies, opened.clock.at))
    page = get(door, f"{TRAIL}/{number_of(opened, EventKind.TOKEN_REFUSED)}")
    assert "The request came from another workload than the registered one: namespace is" in page.text
    assert "Signed by Cluster" in page.text
    assert page.text.partition("Details")[0].count("registered production") == 1


def test_the_story_of_a_client_that_cannot_prove_itself_leads_to_the_next_step(opened: House, door: TestClient) -> None:
    selectors = [{"key": "k8s:ns", "value": "production"}]
    client = make(door, "clients", name="Pod", platform="kubernetes", selectors=selectors)["client_id"]
    assert ask(door, client).json()["reason"] == "attestation_required"
    path = f"{TRAIL}/{number_of(opened, EventKind.TOKEN_REFUSED)}"
    page = get(door, path)
    assert "The agent has no proof that this authority can check" in page.text
    assert page.links["Next step"] == f"/console/clients/{client}#next"
    assert get(door, "/console/clients/pod/delete").form().send().status == 303
    page = get(door, path)
    assert "since deleted" in page.text
    assert {"Pod", "Next step"}.isdisjoint(page.links)


def test_two_clients_of_one_name_are_told_apart(opened: House, door: TestClient) -> None:
    for slug in ("one", "two"):
        make(door, "clients", name="Twin", slug=slug, platform="unattested")
    page = get(door, f"{TRAIL}?client=twin")
    assert page.status == 400
    assert "Several clients have this name. Enter the slug or the Client ID." in page.text


def test_whom_the_audit_log_does_not_name_is_told_by_what_it_lacked(opened: House, door: TestClient) -> None:
    endpoint = "/authsec/uflow/sdk/delegation-token"
    for query, said in {
        "": "A caller without a client_id asked for a token",
        "?client_id=x": "A malformed client_id asked for a token",
        "?client_id=00000000-0000-4000-8000-000000000000": "An unknown client_id asked for a token",
    }.items():
        door.get(f"{endpoint}{query}")
        assert said in get(door, TRAIL).text


def test_the_story_of_refusals_that_are_counted(opened: House, door: TestClient) -> None:
    refusal = Refusal(address="192.0.2.7", client=Named(id="nobody", name=""), reason="client_not_found")
    tallies = {refusal: Tally(count=1234, request_id="req_0000000000000000000first")}
    opened.authority.database.append(lambda tx: audit.count_refusals(tx, tallies, opened.clock.at))
    page = get(door, f"{TRAIL}/{number_of(opened, EventKind.TOKEN_REFUSED)}")
    its = facts(page)
    assert "Token refused to nobody, 1,234 times" in page.text
    assert its["When"].startswith("this minute, within 2026-11-25 12:00 UTC")
    assert "Refusals of this kind are counted for each minute: 1,234 times in this minute." in its["When"]
    assert "The audit log keeps no more details of callers without a valid proof." in page.text
    assert "How to fix it No client has that Client ID" in page.text
    assert its["Result"] == "Refused client_not_found"
    assert "req_0000000000000000000first" in its["Request id"]


def test_the_story_of_an_edit_has_before_and_after(opened: House, door: TestClient) -> None:
    make(door, "apis", name="Customer API", identifier="https://customers.example.com")
    form = get(door, "/console/apis/customer-api/edit").form()
    assert form.send(name="Customers", description="Who buys").status == 303
    page = get(door, f"{TRAIL}/{number_of(opened, EventKind.API_EDITED)}")
    assert "Field Before After" in page.text
    assert re.search("description . Who buys", page.text)  # a dash stands for nothing
    assert "name Customer API Customers" in page.text
    assert "local operator (local operator, admin)" in facts(page)["Who"]


def test_a_story_leads_to_what_it_is_about(busy: House, door: TestClient) -> None:
    api = get(door, f"{TRAIL}/{number_of(busy, EventKind.API_CREATED)}")
    assert "Customer API" in get(door, api.links["Customer API"]).text
    key = get(door, f"{TRAIL}/{number_of(busy, EventKind.ADMIN_KEY_CREATED)}")
    assert key.links["CI"] == "/console/administrators"
    signing = newest(busy, EventKind.KEY_CREATED)
    assert signing.subject
    story = get(door, f"{TRAIL}/{number_of(busy, EventKind.KEY_CREATED)}")
    assert story.links[signing.subject.name] == "/console/keys"
    assert get(door, "/console/apis/customer-api/delete").form().send().status == 303
    gone = get(door, f"{TRAIL}/{number_of(busy, EventKind.API_DELETED)}")
    assert "Customer API" in facts(gone)["About"]
    assert "Customer API" not in gone.links


def test_a_story_tells_what_else_happened_in_its_request(opened: House, door: TestClient) -> None:
    first, second, other = record(
        opened,
        an_event(opened, request_id="req_00000000000000000000both", roles=(Named(id="r", name="Support"),)),
        an_event(
            opened,
            EventKind.CLIENT_DISABLED,
            request_id="req_00000000000000000000both",
            client=Named(id="c", name="Helper"),
        ),
        an_event(opened, EventKind.API_DELETED),
    )
    page = get(door, f"{TRAIL}/{first}")
    assert page.links["Ada disabled Helper"] == f"{TRAIL}/{second}"
    assert f"{TRAIL}/{first}" not in page.links.values()
    assert "In the same request" not in get(door, f"{TRAIL}/{other}").text


def test_there_is_no_story_of_what_did_not_happen(door: TestClient) -> None:
    for number in ("0", "999999", "9" * 18, "9" * 30, "-1", "one", "%C2%B2", "1%00"):
        assert get(door, f"{TRAIL}/{number}").status == 404, number


def test_the_trail_says_how_far_it_is_sealed(busy: House, door: TestClient) -> None:
    assert "Nothing is sealed yet" in get(door, TRAIL).text
    assert "New events of the audit log are not sealed" in get(door, TRAIL).text  # its events are of yesterday
    sealed = seal(busy)
    assert "New events of the audit log are not sealed" not in get(door, TRAIL).text
    assert f"{sealed} events sealed until 2026-11-26 12:05:00" in get(door, TRAIL).text
    assert f"{sealed} events sealed" not in get(door, f"{TRAIL}?since=never").text  # nothing is said above a mistake


def test_a_story_says_where_its_event_is_sealed(busy: House, door: TestClient) -> None:
    sealed = seal(busy)
    for place, number in ((0, 1), (sealed - 1, number_of(busy, EventKind.ADMIN_KEY_CREATED))):
        event = door.get(f"{API}/events/{number}").json()["items"][0]["event"]
        assert event["place"] == place
        assert facts(get(door, f"{TRAIL}/{number}"))["Sealed"] == f"position {place}, leaf {event['leaf']}"


def test_a_story_whose_event_was_changed_says_that_it_does_not_match_its_seal(busy: House, door: TestClient) -> None:
    seal(busy)
    changed = update(events).where(events.c.id == 1).values(address="192.0.2.1")
    busy.authority.database.append(lambda tx: tx.connection.execute(changed))
    told = (
        "changed after it was sealed: the event does not match its seal at position 0. "
        "Run uv run authsec audit verify --data "
    )
    assert facts(get(door, f"{TRAIL}/1"))["Sealed"].startswith(told)


def test_a_seal_that_somebody_made_a_text_hides_no_event(busy: House, door: TestClient) -> None:
    sealed, shown_before = seal(busy), shown(get(door, TRAIL))
    spoil = text("UPDATE sealed_events SET hash = 'text' WHERE position = 0")
    busy.authority.database.append(lambda tx: tx.connection.execute(spoil))
    assert sealed > 1
    assert shown(get(door, TRAIL)) == shown_before
    assert facts(get(door, f"{TRAIL}/1"))["Sealed"].startswith("changed after it was sealed")


def test_a_story_that_is_not_sealed_yet_says_so(busy: House, door: TestClient) -> None:
    seal(busy)
    (number,) = record(busy, an_event(busy))
    assert facts(get(door, f"{TRAIL}/{number}"))["Sealed"] == "not yet"
    ask(busy.door("192.0.2.7"), "00000000-0000-4000-8000-000000000000")
    counted = number_of(busy, EventKind.TOKEN_REFUSED)
    assert (
        facts(get(door, f"{TRAIL}/{counted}"))["Sealed"] == "not yet: the count of this event can grow for five minutes"
    )


def test_names_and_reasons_are_text_and_nothing_else(opened: House, door: TestClient) -> None:
    named = Named(id="c", name=MARKUP)
    told = an_event(
        opened,
        EventKind.API_EDITED,
        principal=replace(ADA, name=MARKUP),
        client=named,
        delegations=(named,),
        roles=(named,),
        subject=named,
        reason="odd",
        decision=Decision.DENIED,
        detail={"details": MARKUP, "before": {MARKUP: MARKUP}, "after": {MARKUP: [MARKUP]}},
    )
    (number,) = record(opened, told)
    for page in (get(door, TRAIL), get(door, f"{TRAIL}/{number}")):
        assert "<script>alert" not in page.html
        assert MARKUP in page.text
    assert "<script>alert" not in get(door, f"{TRAIL}?{urlencode({'by': MARKUP})}").html


def test_a_file_is_named_by_the_moment_and_is_not_run_by_spreadsheets(opened: House, door: TestClient) -> None:
    record(opened, an_event(opened, client=Named(id="c", name="=cmd|' /C calc'!A0")))
    for form, media_type in (("csv", "text/csv; charset=utf-8; header=present"), ("jsonl", "application/jsonl")):
        answer = door.get(f"{TRAIL}/export.{form}?what=roles&cursor=1")
        assert answer.headers["content-type"] == media_type
        assert answer.headers["content-disposition"] == (
            f'attachment; filename="authsec-events-20261125T120000Z.{form}"'
        )
        assert answer.headers["cache-control"] == "no-store"
    (row,) = csv.DictReader(io.StringIO(door.get(f"{TRAIL}/export.csv?what=roles").text))
    assert row["client_name"].startswith("'=")


def test_there_is_no_file_of_another_form(door: TestClient) -> None:
    for form in ("xlsx", "json", "csv.exe", "CSV"):
        assert get(door, f"{TRAIL}/export.{form}").status == 404


def test_whoever_signed_in_sees_it_and_nobody_else(house: Callable[..., House]) -> None:
    its = house()
    nobody, ada = its.door(), first_administrator(its)
    vic = invited(its, ada, "viewer")
    story = f"{TRAIL}/{number_of(its, EventKind.ADMIN_SIGN_IN)}"
    for path in (TRAIL, story, f"{TRAIL}/export.csv", f"{TRAIL}/export.jsonl"):
        assert get(vic, path).status == 200, path
        assert urlsplit(get(nobody, path).location).path == "/console/sign-in", path
