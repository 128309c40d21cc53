"""A stranger asks for long answers and reads none, on as many connections as there are places: no agent gets a token.

The server waited for each of these clients without an end, and each kept a place. Now slow readers have a quarter of
the places at most, and are disconnected if they read nothing for half a minute.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from authsec_server.web import slow_readers
from authsec_server.web.slow_readers import SlowReaders
from fed_protocol import FakeTransport, Fed
from process_metrics import metric
from raw_http import Listening, listening, request

House = Any
PLACES = 8
DOCUMENT = "/authsec/api/v1/openapi.json"  # the longest answer for a stranger
ASKING = f"GET {DOCUMENT} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()


def disconnected() -> float:
    return metric("authsec_requests_refused_total", reason="answer_not_read")


@pytest.fixture
def its(house: Callable[..., House], monkeypatch: pytest.MonkeyPatch) -> House:
    """An authority that waits less than a second where others wait half a minute."""
    monkeypatch.setattr(slow_readers, "SLOW_AFTER", 0.05)
    monkeypatch.setattr(slow_readers, "PATIENCE", 0.4)
    return house(max_in_flight=PLACES, address_limit=10**6, unproved_limit=10**6, client_limit=10**6)


def unread(server: Listening) -> None:
    """Ask for more than the buffers of both sides hold, and read nothing."""
    line = server()
    line.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.send(ASKING * 60)


def wait_until(is_so: Callable[[], bool]) -> bool:
    until = time.monotonic() + 10
    while not (found := is_so()) and time.monotonic() < until:
        time.sleep(0.02)
    return found


def test_clients_that_read_nothing_keep_no_places(its: House, caplog: pytest.LogCaptureFixture) -> None:
    client = its.delegated_name()
    before = disconnected()
    with listening(its, directly=True) as server:
        for _ in range(PLACES):
            unread(server)
        assert wait_until(lambda: disconnected() >= before + PLACES // 2), "also those within the limit of slow readers"
        assert wait_until(lambda: server().ask(request(client)).status == 200)
    assert "Exception in ASGI application" not in caplog.text, "a stranger must not fill the log"


def test_a_client_that_reads_slowly_gets_its_answer(its: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_readers, "PATIENCE", 5.0)  # a busy machine must not look like a slow client
    with listening(its, directly=True) as server:
        whole = server().ask(ASKING).body
        line = server()
        line.send(ASKING * 24)
        for _ in range(24):
            time.sleep(0.01)
            assert line.read().body == whole


def test_a_connection_that_is_closed_waits_for_its_client_no_longer(its: House) -> None:
    async def attack() -> FakeTransport:
        fed = Fed(its.authority.app, transport=FakeTransport(is_read=False))
        await fed.feed([ASKING.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")])
        for _ in range(200):
            if fed.transport.is_aborted:
                break
            await asyncio.sleep(0.01)
        await fed.end()
        return fed.transport

    before = disconnected()
    assert asyncio.run(attack()).is_aborted
    assert disconnected() == before + 1


def test_slow_readers_of_one_network_leave_room_for_those_of_others() -> None:
    readers = SlowReaders(64)
    assert [readers.acquire("192.0.2.1") for _ in range(5)] == [True] * 4 + [False]
    assert [readers.acquire(f"198.51.100.{number}") for number in range(13)] == [True] * 12 + [False]
    readers.release("192.0.2.1")
    assert readers.acquire("192.0.2.1")
