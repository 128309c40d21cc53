"""A host answers without end, or with more than this server can hold."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

import pytest
from authsec_server.outbound import OutboundFailed, OutboundLimits


@pytest.mark.parametrize("framing", [b"Connection: close", b"Content-Length: 100000000000"])
def test_reading_stops_at_the_limit(peer: Any, peers: Any, framing: bytes) -> None:
    sent = 0

    def flood(connection: socket.socket, _request: bytes) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + framing + b"\r\n\r\n")
        with suppress(OSError):  # whoever reads it hangs up, which is what is wanted
            while sent < 500_000_000:
                sent += connection.send(b" " * 65_536)

    with pytest.raises(OutboundFailed) as failed:
        peers.outbound("127.0.0.1").get(peer(flood).url, limits=OutboundLimits(max_bytes=100_000))
    assert failed.value.reason == "too_large"
    assert sent < 50_000_000  # what the sockets between them hold, and no more


def test_what_just_fits_is_read(peer: Any, peers: Any) -> None:
    its = peer(peers.http(b" " * 998 + b"{}"))
    assert len(peers.outbound("127.0.0.1").get(its.url, limits=OutboundLimits(max_bytes=1000)).body) == 1000
    with pytest.raises(OutboundFailed):
        peers.outbound("127.0.0.1").get(its.url, limits=OutboundLimits(max_bytes=999))


def test_a_head_without_end_is_no_way_round(peer: Any, peers: Any) -> None:
    endless = b"HTTP/1.1 200 OK\r\n" + b"X-More: y\r\n" * 100_000 + b"\r\n{}"
    with pytest.raises(OutboundFailed) as failed:
        peers.outbound("127.0.0.1").get(peer(endless).url)
    assert failed.value.reason == "connection_lost"
