"""A host name is public when it is checked and private when it is connected to: its DNS answers differ each time."""

from __future__ import annotations

import ssl
import time
from typing import Any

import pytest
from authsec_server.outbound import Outbound, OutboundFailed, Policy


def test_a_name_is_looked_up_once_and_what_was_checked_is_connected_to(peer: Any, peers: Any) -> None:
    its = peer(peers.http({}))
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])  # a second look-up would be told something else
    door = Outbound(
        Policy.of(http_hosts=["rebound.example"], private_hosts=["127.0.0.1"]),
        trust=ssl.create_default_context(),
        monotonic=time.monotonic,
        resolve=lambda _host: next(answers),
    )
    assert door.get(f"http://rebound.example:{its.port}/").status == 200
    with pytest.raises(OutboundFailed) as failed:
        door.get(f"http://rebound.example:{its.port}/")
    assert failed.value.reason == "address_not_allowed"


def test_one_private_address_among_public_ones_is_enough_to_refuse(peer: Any, peers: Any) -> None:
    its = peer(peers.http({}))
    door = peers.outbound(http_hosts=["mixed.example"], names={"mixed.example": ["192.0.2.1", "127.0.0.1"]})
    with pytest.raises(OutboundFailed) as failed:
        door.get(f"http://mixed.example:{its.port}/")
    assert failed.value.reason == "address_not_allowed"
    assert its.requests == []
