"""Activity: neighbouring equal refusals are one row, and each event is in exactly one row of one page."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from authsec_server.audit import service as audit
from authsec_server.audit.filters import AuditLogPage
from authsec_server.audit.model import Decision, Event, EventKind, Named, Recorded
from authsec_server.console.activity import runs
from authsec_server.console.activity.runs import read_rows
from authsec_server.principal import LOCAL_OPERATOR
from hypothesis import given
from hypothesis import strategies as st
from pages import Page, get
from starlette.testclient import TestClient

House = Any
TRAIL = "/console/activity"


def refusal(its: House, agent: str = "Night Owl", scope: str = "customers:delete", **what: Any) -> Event:
    values: dict[str, Any] = {
        "at": its.clock.at,
        "kind": EventKind.TOKEN_REFUSED,
        "decision": Decision.DENIED,
        "reason": "action_not_allowed",
        "request_id": "req_00000000000000000000test",
        "address": "192.0.2.7",
        "client": Named(id="0b5c1f8e-6f1b-4c43-9a52-3f1c3f3f0a11", name=agent),
        "detail": {"actions": [scope], "resources": [], "missing": [scope]},
    }
    return Event(**values | what)


def act(its: House) -> Event:
    return Event(
        at=its.clock.at,
        kind=EventKind.DELEGATION_REVOKED,
        request_id="req_00000000000000000000test",
        principal=LOCAL_OPERATOR,
    )


def happen(its: House, *made: Event) -> list[int]:
    numbers: list[int] = its.authority.database.append(lambda tx: [audit.record(tx, event) for event in made])
    return numbers


def refused(its: House, number: int, **what: Any) -> list[int]:
    """So many equal refusals, a second between two of them."""
    found = []
    for _ in range(number):
        its.clock.at += timedelta(seconds=1)
        found += happen(its, refusal(its, request_id=f"req_{len(found):024}", **what))
    return found


def rows(page: Page) -> list[str]:
    """The rows as texts, with a bar between two cells."""
    found = re.findall(r"<tr data-event.*?</tr>", page.html, re.DOTALL)
    cells = [[" ".join(re.sub("<.*?>|\u2013", "", cell).split()) for cell in row.split("</td>")] for row in found]
    return [unescape("|".join(filter(None, each))) for each in cells]


def test_many_equal_refusals_do_not_push_a_revocation_off_the_page(opened: House, door: TestClient) -> None:
    happen(opened, act(opened))
    numbers = refused(opened, 249)
    page = get(door, TRAIL)
    first, second = rows(page)[:2]
    assert first == (
        "2026-11-25 12:04:09|Night Owl|asked for customers:delete 249 times 12:00:01 to 12:04:09|"
        "Refused action_not_allowed"
    )
    assert "revoked the trust delegation" in second
    assert "Neighbouring equal refusals are one row." in page.text
    (link,) = re.findall(r'<a class="log-link[^"]*" href="([^"]*each=1[^"]*)"', page.html)
    each = get(door, unescape(link))
    seen = [*shown(each)]
    while "Older" in each.links:
        each = get(door, each.links["Older"])
        seen += shown(each)
    assert seen == numbers[::-1]
    assert "Each event has a row." in each.text


def shown(page: Page) -> list[int]:
    return [int(number) for number in re.findall(r'<tr data-event="(\d+)"', page.html)]


@pytest.mark.parametrize(
    "other",
    [
        {"agent": "Day Owl"},
        {"scope": "customers:read"},
        {"reason": "no_delegation"},
        {"address": "192.0.2.8"},
        {"detail": {"actions": ["customers:delete"], "resources": ["crm"], "missing": ["customers:delete"]}},
    ],
)
def test_refusals_that_differ_have_rows_of_their_own(opened: House, door: TestClient, other: dict[str, Any]) -> None:
    happen(opened, refusal(opened), refusal(opened), refusal(opened, **other), refusal(opened))
    told = rows(get(door, f"{TRAIL}?what=refused"))
    assert len(told) == 3
    assert [" 2 times" in row for row in told] == [False, False, True]


def test_addresses_of_one_network_and_other_versions_are_equal(opened: House, door: TestClient) -> None:
    for number in (1, 2):
        happen(opened, refusal(opened, address=f"2001:db8::{number}", authority_version=number))
    assert len(rows(get(door, f"{TRAIL}?what=refused"))) == 1


def test_a_run_shows_one_time_for_one_second_and_a_date_for_another_day(opened: House, door: TestClient) -> None:
    happen(opened, refusal(opened), refusal(opened))
    (row,) = rows(get(door, f"{TRAIL}?what=refused"))
    assert "customers:delete 2 times 12:00:00|" in row
    opened.clock.at += timedelta(days=1)
    happen(opened, refusal(opened))
    (row,) = rows(get(door, f"{TRAIL}?what=refused"))
    assert "customers:delete 3 times 2026-11-25 12:00:00 to 12:00:00|" in row


def test_the_number_of_refusals_is_outside_the_text_that_may_be_cut_off(opened: House, door: TestClient) -> None:
    refused(opened, 2)
    cell = get(door, TRAIL).html.partition('<td class="log-did"')[2].partition("</td>")[0]
    link, _, rest = cell.partition("</a>")
    assert "2 times" not in link
    assert "2 times" in rest


def test_a_run_that_the_next_page_continues_has_at_least_so_many(
    opened: House, door: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("ROWS", 3), ("_MORE", 3), ("MOST_READ", 6)):
        monkeypatch.setattr(runs, name, value)
    refused(opened, 8)
    page = get(door, f"{TRAIL}?what=refused")
    (row,) = rows(page)
    assert "customers:delete at least 6 times" in row
    (row,) = rows(get(door, page.links["Older"]))
    assert "customers:delete 2 times" in row


def test_events_that_are_no_refusals_stay_apart(opened: House, door: TestClient) -> None:
    happen(opened, act(opened), act(opened))
    assert len(rows(get(door, f"{TRAIL}?what=delegations"))) == 2


def recorded(its: House, kinds: str) -> list[Recorded]:
    """One event for each letter, the newest first. Equal letters are equal refusals; `-` is an act."""
    made = [act(its) if each == "-" else refusal(its, scope=f"customers:{each}") for each in kinds]
    return [Recorded(id=2 * number, event=event, count=1) for number, event in reversed([*enumerate(made, 1)])]


class Clock:
    at = datetime(2026, 11, 25, tzinfo=UTC)


class Its:
    clock = Clock()


@given(
    st.lists(st.tuples(st.sampled_from("abc-"), st.integers(1, 14)), max_size=12), st.integers(1, 5), st.integers(1, 30)
)
def test_each_event_is_in_one_row_of_one_page(kinds: list[tuple[str, int]], rows: int, most: int) -> None:
    log = recorded(Its(), "".join(each * count for each, count in kinds))

    def load(before: int | None, limit: int) -> AuditLogPage:
        older = [each for each in log if before is None or each.id < before]
        items = tuple(older[:limit])
        return AuditLogPage(items=items, next=items[-1].id if len(older) > limit else None)

    with pytest.MonkeyPatch.context() as patched:
        for name, value in (("ROWS", rows), ("_MORE", 3), ("MOST_READ", most)):
            patched.setattr(runs, name, value)
        before, seen, sizes = None, [], []
        while True:
            page = read_rows(load, before=before, rows=rows)
            sizes.append(len(page.runs))
            for run in page.runs:
                its = [each for each in log if run.oldest.id <= each.id <= run.newest.id]
                assert len(its) == run.count
                older = next((each for each in log if each.id < run.oldest.id), None)
                continues = older is not None and runs.is_equal(run.oldest, older)
                assert run.goes_on is (continues and run.count > 1)
                seen += [each.id for each in its]
            if page.next is None:
                break
            before = page.next
    assert seen == [each.id for each in log]
    assert max(sizes) <= rows


def test_a_filter_keeps_one_row_for_each_event(opened: House, door: TestClient) -> None:
    refused(opened, 3)
    page = get(door, f"{TRAIL}?each=1&what=refused")
    assert len(shown(page)) == 3
    assert 'name="each" value="1"' in page.html
