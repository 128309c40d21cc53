"""A host sends one byte now and then: each starts a socket's own time limit anew, and the thread is held for hours."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from authsec_server.outbound import OutboundFailed, OutboundLimits

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def dripping(beginning: bytes, drop: bytes = b"x") -> Callable[[socket.socket, bytes], None]:
    def drip(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(beginning)
        for _ in range(60):  # until the other side is gone
            time.sleep(0.05)
            connection.sendall(drop)

    return drip


@pytest.mark.parametrize(
    ("beginning", "drop"),
    [
        (b"", b"H"),
        (HEAD, b"X-A: b\r\n"),
        (HEAD + b"X-Endless: ", b"x"),
        (HEAD + b"Content-Length: 1000\r\n\r\n", b" "),
        (HEAD + b"Connection: close\r\n\r\n", b" "),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
def test_the_time_limit_is_for_everything(peer: Any, peers: Any, beginning: bytes, drop: bytes) -> None:
    its = peer(dripping(beginning, drop))
    began = time.monotonic()
    with pytest.raises(OutboundFailed) as failed:
        peers.outbound("127.0.0.1").get(its.url, limits=OutboundLimits(seconds=0.3))
    assert failed.value.reason == "timeout"
    assert time.monotonic() - began < 1.5


def test_over_tls_as_well(peer: Any, peers: Any) -> None:
    certificate = peers.Certificate("idp.example")
    its = peer(dripping(HEAD + b"Connection: close\r\n\r\n", b" "), certificate=certificate)
    door = peers.outbound("idp.example", trust=certificate.trusted(), names={"idp.example": ["127.0.0.1"]})
    with pytest.raises(OutboundFailed) as failed:
        door.get(f"https://idp.example:{its.port}/", limits=OutboundLimits(seconds=0.3))
    assert failed.value.reason == "timeout"


def test_an_answer_cut_off_by_the_limit_is_not_taken_for_a_whole_one(peer: Any, peers: Any) -> None:
    whole = itertools.repeat(b"{}")  # JSON as it stands; more was to come
    its = peer(dripping(HEAD + b"Connection: close\r\n\r\n" + next(whole), b" "))
    with pytest.raises(OutboundFailed):
        peers.outbound("127.0.0.1").get(its.url, limits=OutboundLimits(seconds=0.2))


def test_a_proxy_that_drips_is_left_too(peer: Any, peers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", peer(dripping(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n")).url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    began = time.monotonic()
    with pytest.raises(OutboundFailed) as failed:
        peers.outbound().get("https://idp.example/", limits=OutboundLimits(seconds=0.3))
    assert failed.value.reason == "timeout"
    assert time.monotonic() - began < 1.5
