"""A host answers with a few kilobytes of gzip that unpack to gigabytes."""

from __future__ import annotations

import gzip
from typing import Any

import pytest
from authsec_server.outbound import OutboundFailed


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br", "identity, gzip"])
def test_compressed_answers_are_refused_unread(peer: Any, peers: Any, encoding: str) -> None:
    its = peer(peers.http(gzip.compress(b" " * 1_000_000), f"Content-Encoding: {encoding}"))
    with pytest.raises(OutboundFailed) as failed:
        peers.outbound("127.0.0.1").get(its.url)
    assert failed.value.reason == "compressed"


def test_nothing_is_unpacked_behind_the_limits_back(peer: Any, peers: Any) -> None:
    bomb = gzip.compress(b" " * 1_000_000)
    answer = peers.outbound("127.0.0.1").get(peer(peers.http(bomb)).url)
    assert answer.body == bomb
