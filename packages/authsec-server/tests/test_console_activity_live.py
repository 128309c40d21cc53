"""Activity as it happens: server-sent events over real sockets, for as long as somebody is signed in."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from authsec_server.audit import live
from authsec_server.audit import service as audit
from authsec_server.audit.model import Event, EventKind, Named
from authsec_server.console.activity import pages
from authsec_server.principal import LOCAL_OPERATOR
from pages import get, post
from people import first_administrator
from serving import serving

House = Any
TRAIL = "/console/activity"
STREAM = f"{TRAIL}/stream"
MARKUP = "<script>alert(1)</script>\"'&"
Message = dict[str, str]


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(pages, "HEARTBEAT_SECONDS", 0.05)


@pytest.fixture
def its(house: Callable[..., House]) -> House:
    """An authority at whose machine we sit."""
    return house(local_operator=True)


@pytest.fixture
def url(its: House) -> Iterator[str]:
    """Where it is served."""
    with serving(its) as url:
        yield url


def happen(its: House, *names: str, kind: EventKind = EventKind.CLIENT_CREATED) -> list[int]:
    """Something happens to clients of these names: the events' numbers."""

    def event(name: str) -> Event:
        client = Named(id="c", name=name)
        return Event(
            at=its.clock.at,
            kind=kind,
            request_id="req_00000000000000000000test",
            principal=LOCAL_OPERATOR,
            client=client,
        )

    numbers: list[int] = its.authority.database.append(lambda tx: [audit.record(tx, event(name)) for name in names])
    return numbers


@contextlib.contextmanager
def watching(url: str, query: str = "", **headers: str) -> Iterator[Iterator[Message]]:
    """What the stream says, message by message, its first comment left out: the watcher is there by then."""
    with (
        httpx.Client(timeout=10, trust_env=False) as client,
        client.stream("GET", f"{url}{STREAM}?{query}", headers=headers) as answer,
    ):
        assert answer.status_code == 200, answer.status_code
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        messages = _messages(answer.iter_lines())
        yield messages


def _messages(lines: Iterator[str]) -> Iterator[Message]:
    message: Message = {}
    deadline = time.monotonic() + 20
    for line in lines:
        assert time.monotonic() < deadline, "nothing more is said"
        name, _, value = line.partition(": ")
        if line and name:
            message[name] = f"{message[name]}\n{value}" if name in message else value
        elif message:
            yield message
            message = {}


def rows(messages: Iterator[Message], number: int) -> list[int]:
    """The numbers of the next events."""
    found: list[int] = []
    while len(found) < number:
        message = next(messages)
        assert "event" not in message, message
        if "id" in message:
            assert f'data-event="{message["id"]}"' in message["data"]
            found.append(int(message["id"]))
    return found


def last_number(its: House, query: str = "") -> str:
    """From where on the page of the trail watches."""
    html = get(its.door(), f"{TRAIL}?{query}").html
    return html.partition('data-after="')[2].partition('"')[0]


def test_what_happens_after_the_page_appears_on_it(its: House, url: str) -> None:
    happen(its, "before")
    with watching(url, f"after={last_number(its)}") as first, watching(url, "after=0") as second:
        new = happen(its, "one", "two")
        assert rows(first, 2) == new
        everything = [each.id for each in its.events()]
        assert rows(second, len(everything)) == everything


def test_only_what_the_filter_asks_for_appears(its: House, url: str) -> None:
    with watching(url, "what=apis&after=0") as messages:
        happen(its, "one", "two")
        (wanted,) = happen(its, "three", kind=EventKind.API_CREATED)
        assert rows(messages, 1) == [wanted]


def test_equal_refusals_extend_the_top_row_of_the_page(its: House, url: str) -> None:
    def refuse() -> int:
        event = Event(
            at=its.clock.at,
            kind=EventKind.TOKEN_REFUSED,
            request_id="req_00000000000000000000test",
            client=Named(id="c", name="Night Owl"),
            reason="action_not_allowed",
        )
        (number,) = its.authority.database.append(lambda tx: [audit.record(tx, event)])
        return int(number)

    first, last = refuse(), refuse()
    with watching(url, f"after={last}") as messages:
        row = f'data-event="{refuse()}" data-run="{first}" data-count="3"'
        assert row in next(messages)["data"]
        happen(its, "one")
        assert "data-run" not in next(messages)["data"]
        again = refuse()
        assert "data-run" not in next(messages)["data"]
        refuse()
        assert f'data-run="{again}" data-count="2"' in next(messages)["data"]
    with watching(url, f"after={last}&each=1") as messages:
        assert not any("data-run" in next(messages)["data"] for _ in range(4))


def test_it_goes_on_where_it_was_broken_off(its: House, url: str) -> None:
    seen, *missed = happen(its, "one", "two", "three")
    with watching(url, "after=0", **{"Last-Event-ID": str(seen)}) as messages:
        assert rows(messages, 2) == missed


def test_what_is_no_number_of_an_event_begins_with_what_is_recent(its: House, url: str) -> None:
    happen(its, "one", "two")
    recent = [each.id for each in its.events()]
    for odd in ("", "x", "-1", "1.5", "9" * 30):
        with watching(url, f"after={odd}", **{"Last-Event-ID": odd}) as messages:
            assert rows(messages, len(recent)) == recent


def test_a_name_in_a_row_is_text_and_nothing_else(its: House, url: str) -> None:
    with watching(url, "what=clients&after=0") as messages:
        happen(its, MARKUP)
        message = next(messages)
        assert "<script>" not in message["data"]
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in message["data"]


def test_a_filter_that_found_nothing_lately_is_watched_from_now_on(
    its: House, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the page to watch from the last event that it shows, it would be told to reload itself, again and again."""
    monkeypatch.setattr(live, "RECENT", 3)
    (rare,) = happen(its, "rare", kind=EventKind.API_CREATED)
    happen(its, *["common"] * 9)
    for query in ("what=apis", "what=roles"):
        with watching(url, f"{query}&after={last_number(its, query)}") as messages:
            (now,) = happen(its, "now", kind=EventKind.API_CREATED if query == "what=apis" else EventKind.ROLE_CREATED)
            assert rows(messages, 1) == [now]
    with watching(url, f"after={rare}") as messages:
        assert next(messages) == {"event": "lagging", "data": ""}


def test_there_is_room_for_so_many_and_then_for_others(its: House, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_WATCHERS", 1)
    with watching(url, "after=0") as first:
        with watching(url, "after=0") as second:
            assert list(second) == [{"event": "ended", "data": ""}]
        assert rows(first, 1) == [1]
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:  # the server learns at its next heartbeat that the first one has gone
        with watching(url, "after=0") as third:
            if next(third).get("id") == "1":
                return
    pytest.fail("nobody else was let in")


def test_it_ends_with_the_server(its: House, url: str) -> None:
    with watching(url, f"after={last_number(its)}") as messages:
        its.authority.readiness.draining = True
        assert list(messages) == [{"event": "ended", "data": ""}]


def test_it_is_for_those_who_signed_in_and_ends_with_their_session(house: Callable[..., House]) -> None:
    its = house()
    assert get(its.door(), STREAM).status == 303
    ada = first_administrator(its)
    cookie = "; ".join(f"{name}={value}" for name, value in ada.cookies.items())
    with serving(its) as url, watching(url, f"after={len(its.events())}", Cookie=cookie) as messages:
        happen(its, "one")
        assert len(rows(messages, 1)) == 1
        assert post(ada, "/console/sign-out", []).status == 303
        assert list(messages)[-1] == {"event": "ended", "data": ""}


def test_a_page_left_open_keeps_no_session_alive(house: Callable[..., House]) -> None:
    """Not by its stream, nor by taking it up again whenever a proxy has broken it off."""
    its = house(session_idle=3600)
    ada = first_administrator(its)
    cookie = "; ".join(f"{name}={value}" for name, value in ada.cookies.items())
    after = f"after={len(its.events())}"
    with serving(its) as url:
        its.clock.at += timedelta(minutes=50)
        with watching(url, after, Cookie=cookie):
            pass
        with watching(url, after, Cookie=cookie) as messages:
            its.clock.at += timedelta(minutes=11)
            assert list(messages) == [{"event": "ended", "data": ""}]
    assert get(ada, STREAM).status == 303


def test_a_filter_that_means_nothing_has_no_stream(its: House) -> None:
    assert get(its.door(), f"{STREAM}?what=nonsense").status == 400
