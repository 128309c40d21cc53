"""A stranger reads the feed and says for whom: to fill table and memory, to stop the feed, or to deceive an officer.

Who is told that an API follows believes that it refuses what was revoked.

The header is a claim. It is kept only of audiences that tokens can be for, once a minute each; it is shown as a claim
unless the API's own credential came along; and the feed is served whatever it says.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.from_thread
import httpx
import pytest
from authsec_server.apis import service as apis
from authsec_server.apis.authentication import FAILURES_A_MINUTE, ApiCredentials
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.revocations import subscribers
from authsec_server.revocations.subscribers import (
    MOST_AUDIENCES,
    MOST_NETWORKS,
    Following,
    LastSeen,
    SubscriberTracker,
    read_claim,
)
from authsec_server.web.request_context import RequestContext
from databases import settings_for
from hypothesis import given
from hypothesis import strategies as st
from serving import serving

pytestmark = pytest.mark.sqlite_suffices

FEED = "/authsec/v1/revocations"
OURS = "customers-api"
House = Any


@pytest.fixture
def its(house: Callable[..., House], database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """An authority with one API, on each database."""
    monkeypatch.setattr(subscribers, "BETWEEN_ROUNDS", 0.01)
    made = house(**settings_for(database_url, tmp_path))
    act = Act(
        principal=LOCAL_OPERATOR,
        now=made.clock.at,
        request_id="req_00000000000000000000000r",
        address="",
        token_bytes=lambda n: b"7" * n,
    )
    made.authority.database.change(lambda tx: apis.create(tx, act, name="Customers", identifier=OURS))
    return made


def kept(its: House, *audiences: str) -> dict[str, LastSeen]:
    found: dict[str, LastSeen] = its.authority.database.read(lambda tx: subscribers.seen(tx, audiences or (OURS,)))
    return found


def seen_in_time(its: House) -> LastSeen:
    """What is kept of ours; the noting has a moment's time."""
    patience = time.monotonic() + 10
    while not kept(its):
        assert time.monotonic() < patience, "the honest one was lost"
        time.sleep(0.01)
    return kept(its)[OURS]


def read(url: str, **headers: str) -> int:
    return httpx.get(url + FEED, params={"since": 0}, headers=headers, trust_env=False).status_code


def test_a_thousand_names_leave_nothing_and_the_honest_one_is_seen(its: House) -> None:
    names = [f"made-up-{number}" for number in range(1000)]
    with serving(its) as url:
        for start in range(0, 1000, 40):
            assert read(url, **{"AuthSec-Audience": " ".join(names[start : start + 16])}) == 200
        assert read(url, **{"AuthSec-Audience": OURS}) == 200
        assert seen_in_time(its).at(its.clock.at) is Following.SAID
    assert kept(its, *names) == {}


@pytest.mark.parametrize(
    "value",
    [
        "x" * 60_000,
        " ".join(f"n{number}" for number in range(17)) + f" {OURS}",
        f"{OURS}\x07",
        f"{OURS} \xff",
        "\t\t,;",
    ],
    ids=["60 kB", "many", "bell", "not ASCII", "nothing"],
)
def test_odd_headers_claim_nothing_and_the_feed_is_served(its: House, value: str) -> None:
    with serving(its) as url:
        where = urlsplit(url)
        with socket.create_connection((where.hostname, where.port), timeout=10) as wire:
            wire.sendall(
                f"GET {FEED}?since=0 HTTP/1.1\r\nHost: {where.netloc}\r\nConnection: close\r\n"
                f"AuthSec-Audience: {value}\r\n\r\n".encode("latin-1")
            )
            answer = b"".join(iter(lambda: wire.recv(65_536), b""))
        assert answer.split(b" ", 2)[1] in {b"200", b"400"}, answer[:100]  # 400: the server reads no such header
        assert read(url) == 200
    assert kept(its) == {}


@pytest.mark.parametrize("shown", ["Bearer authsec_api_" + "A" * 43, "Bearer ey.ey.ey", "Basic Y3VzdG9tZXJzOng=", "x"])
def test_whoever_shows_no_credential_of_the_api_proves_nothing(its: House, shown: str) -> None:
    with serving(its) as url:
        assert read(url, **{"AuthSec-Audience": OURS, "Authorization": shown}) == 200
        assert seen_in_time(its).at(its.clock.at) is Following.SAID


def test_a_claim_does_not_show_its_credential() -> None:
    secret = "authsec_api_" + "S" * 43
    assert "SSS" not in repr(read_claim([OURS], partial(str, f"Bearer {secret}")))


def a_noting(its: House, asked: list[int]) -> SubscriberTracker:
    def known(_: object) -> set[str]:
        asked.append(1)
        return {OURS}

    return SubscriberTracker(its.authority.database, known=known, now=its.clock.now)


def test_the_same_word_a_thousand_times_is_one_row_a_minute(its: House) -> None:
    asked: list[int] = []
    quiet, claim = a_noting(its, asked), read_claim([OURS])
    for _ in range(1000):
        its.clock.at += timedelta(seconds=0.05)
        quiet.note([claim] * 10)
    assert (len(asked), kept(its)[OURS].seen_at) == (1, its.clock.at - timedelta(seconds=49.95))
    its.clock.at += timedelta(minutes=1)
    quiet.note([claim])
    assert (len(asked), kept(its)[OURS].seen_at) == (2, its.clock.at)


def test_a_credential_that_proves_nothing_is_not_written_for_again_and_again(its: House) -> None:
    quiet = a_noting(its, [])
    quiet.note([read_claim([OURS], lambda: None)])
    first = its.clock.at
    for _ in range(30):
        its.clock.at += timedelta(seconds=1)
        quiet.note([read_claim([OURS], lambda: None)])
    assert kept(its)[OURS].seen_at == first


def test_a_stream_with_a_wrong_credential_is_asked_for_it_once(its: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every refusal is counted in the audit log: 128 streams that stand would have it written to for ever."""
    monkeypatch.setattr(subscribers, "AT_LEAST_EVERY", 0.01)
    asked, done = {"wrong": 0, "right": 0}, anyio.Event()

    def wrong() -> None:
        asked["wrong"] += 1

    def right() -> str:
        asked["right"] += 1
        its.clock.at += subscribers.EVERY  # so that each round has news
        if asked["right"] == 5:
            anyio.from_thread.run_sync(done.set)
        return OURS

    async def stand() -> None:
        quiet = a_noting(its, [])
        with quiet.streaming(read_claim(["other"], wrong)), quiet.streaming(read_claim([OURS], right)):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(quiet.run)
                with anyio.fail_after(10):
                    await done.wait()
                tasks.cancel_scope.cancel()

    anyio.run(stand)
    assert asked["wrong"] == 1


def test_wrong_credentials_at_the_feed_are_written_so_often_a_minute(its: House) -> None:
    credentials = ApiCredentials(its.authority.database, now=its.clock.now, monotonic=its.clock.monotonic)
    context = RequestContext(request_id="req_000000000000000000000001", address="192.0.2.1")
    for _ in range(3 * FAILURES_A_MINUTE):
        assert credentials.recognise(["Bearer authsec_api_" + "A" * 43], context) is None
    counted = {each.event.reason: each.count for each in its.events() if each.event.kind == "api.refused"}
    assert counted == {"api_credential_unknown": FAILURES_A_MINUTE}


def test_what_strangers_say_is_not_held_beyond_a_bound(its: House) -> None:
    quiet = a_noting(its, [])
    for number in range(10 * MOST_NETWORKS):
        quiet.heard(read_claim([f"made-up-{number}"]), f"2001:db8:{number:x}::/64")
        quiet.heard(read_claim([f"made-up-{number}"]), "192.0.2.1")
    assert len(quiet._pages) == MOST_NETWORKS
    quiet.note(list(quiet._pages.values()))
    assert quiet._noted == {}


@pytest.mark.soak
@given(st.lists(st.text(st.characters(codec="latin-1"), max_size=300), max_size=20))
def test_no_claim_holds_more_than_it_may(headers: list[str]) -> None:
    claim = read_claim(headers)
    assert len(claim.audiences) <= MOST_AUDIENCES
    assert all(name and name.isascii() and name.isprintable() and " " not in name for name in claim.audiences)
