"""Who follows the feed, as people are told before they end something: seen at a real server, on both databases."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from authsec_server.apis import credentials
from authsec_server.apis import service as apis
from authsec_server.db import open_database
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.revocations import subscribers
from authsec_server.revocations.subscribers import Following
from databases import settings_for
from serving import serving

FEED = "/authsec/v1/revocations"
CRM, CHAT = "https://crm.example", "chat-api"
House = Any


@pytest.fixture
def its(house: Callable[..., House], database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """An authority on each database, with two APIs; it notes who follows without a pause."""
    monkeypatch.setattr(subscribers, "BETWEEN_ROUNDS", 0.01)
    monkeypatch.setattr(subscribers, "AT_LEAST_EVERY", 0.05)
    made = house(**settings_for(database_url, tmp_path))
    for identifier in (CRM, CHAT):
        made.authority.database.change(
            lambda tx, its=identifier: apis.create(tx, act_of(made), name=its.split(".")[0], identifier=its)
        )
    return made


def act_of(its: House) -> Act:
    return Act(
        principal=LOCAL_OPERATOR,
        now=its.clock.at,
        request_id="req_00000000000000000000test",
        address="",
        token_bytes=secrets.token_bytes,
    )


def following(its: House, *audiences: str) -> dict[str, Following]:
    """What is known by now."""
    seen = its.authority.database.read(lambda tx: subscribers.seen(tx, audiences or (CRM, CHAT)))
    return {each.audience: each.at(its.clock.at) for each in seen.values()}


def until(wanted: dict[str, Following], its: House) -> None:
    """Wait until that is known; the noting has a moment's time."""
    patience = time.monotonic() + 10
    while following(its) != wanted and time.monotonic() < patience:
        time.sleep(0.01)
    assert following(its) == wanted


@contextmanager
def reader(url: str, **headers: str) -> Iterator[Iterator[str]]:
    """A stream of the feed, and its lines."""
    headers |= {"Accept": "text/event-stream"}
    with (
        httpx.Client(timeout=20, trust_env=False) as client,
        client.stream("GET", url + FEED, params={"since": 0}, headers=headers) as answer,
    ):
        assert answer.status_code == 200
        yield answer.iter_lines()


def page(url: str, **headers: str) -> int:
    return httpx.get(url + FEED, params={"since": 0}, headers=headers, trust_env=False).status_code


@pytest.mark.sqlite_suffices
def test_a_stream_counts_while_it_stands_and_two_minutes_longer(its: House, database_url: str) -> None:
    with serving(its) as url:
        with reader(url, **{"AuthSec-Audience": f"{CRM} chat-api of-nobody"}) as lines:
            next(lines)
            until({CRM: Following.SAID, CHAT: Following.SAID}, its)
            for _ in range(3):  # noted anew each minute, by what time it is there
                its.clock.at += timedelta(minutes=2, seconds=1)
                until({CRM: Following.SAID, CHAT: Following.SAID}, its)
        with closing(open_database(database_url)) as other:  # as another server of this database sees it
            assert other.read(lambda tx: set(subscribers.seen(tx, [CRM]))) == {CRM}
        its.clock.at += timedelta(minutes=2)
        until({CRM: Following.SAID, CHAT: Following.SAID}, its)
        its.clock.at += timedelta(seconds=1)
        until({CRM: Following.NO, CHAT: Following.NO}, its)
    its.authority.database.append(lambda tx: subscribers.forget(tx, its.clock.at + subscribers.KEPT_FOR))
    assert following(its) == {}


@pytest.mark.sqlite_suffices
def test_an_apis_own_credential_proves_it_and_no_other(its: House) -> None:
    its_own, text = its.authority.database.change(lambda tx: credentials.create(tx, act_of(its), "chat-api"))
    bearer = {"Authorization": f"Bearer {text}"}
    with serving(its) as url, reader(url, **bearer, **{"AuthSec-Audience": CRM}) as lines:
        next(lines)
        until({CRM: Following.SAID, CHAT: Following.PROVED}, its)
        assert page(url, **{"AuthSec-Audience": CHAT}) == 200, "a claim after it takes no proof away"
        time.sleep(0.5)  # the claim is noted in the background, by the time that it is then
        until({CRM: Following.SAID, CHAT: Following.PROVED}, its)
        its.authority.database.change(lambda tx: credentials.revoke(tx, act_of(its), "chat-api", its_own.id))
        its.clock.at += timedelta(minutes=2, seconds=1)
        until({CRM: Following.SAID, CHAT: Following.NO}, its)


@pytest.mark.sqlite_suffices
def test_whoever_reads_page_by_page_is_seen_too(its: House) -> None:
    with serving(its) as url:
        assert page(url, **{"AuthSec-Audience": CHAT}) == 200
        until({CHAT: Following.SAID}, its)


@pytest.mark.sqlite_suffices
def test_the_feed_goes_on_though_nothing_can_be_noted(its: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(subscribers, "note", broken)
    with serving(its) as url:
        assert page(url, **{"AuthSec-Audience": CHAT}) == 200
        with reader(url, **{"AuthSec-Audience": CHAT}) as lines:
            next(lines)
            assert following(its) == {}
        monkeypatch.undo()
        assert page(url, **{"AuthSec-Audience": CHAT}) == 200
        until({CHAT: Following.SAID}, its)
