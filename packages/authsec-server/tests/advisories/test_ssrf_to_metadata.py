"""Whoever may write a URL that this server fetches (an issuer, a key set) writes the cloud's metadata service.

It hands the machine's credentials to any process of the machine that asks. Its address has many spellings.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from authsec_server.outbound import OutboundFailed, outbound_of
from authsec_server.settings import Settings

SPELLINGS = [
    "https://169.254.169.254/latest/meta-data/",
    "https://[::ffff:169.254.169.254]/",
    "https://[::ffff:a9fe:a9fe]/",
    "https://[64:ff9b::169.254.169.254]/",
    "https://[2002:a9fe:a9fe::1]/",
    "https://[::169.254.169.254]/",
    "https://2852039166/",
    "https://0xa9fea9fe/",
    "https://0xa9.0xfe.0xa9.0xfe/",
    "https://0251.0376.0251.0376/",
    "https://169.254.43518/",
    "https://169.254.169.254./",
    "https://[fd00:ec2::254]/",
    "https://100.100.100.200/",
    "https://192.0.0.192/",
    "https://168.63.129.16/",
    "https://127.0.0.1/",
    "https://0.0.0.0/",
    "https://[::]/",
    "https://[::1]/",
    "https://10.0.0.1/",
    "https://[fe80::a9fe:a9fe]/",
]


@pytest.mark.parametrize("url", SPELLINGS)
def test_no_spelling_gets_through(url: str) -> None:
    with pytest.raises(OutboundFailed) as failed:
        outbound_of(Settings(), time.monotonic).get(url)
    assert failed.value.reason in {"address_not_allowed", "url_invalid"}


@pytest.mark.parametrize("url", SPELLINGS)
def test_nor_by_way_of_a_proxy(peer: Any, peers: Any, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    proxy = peer(b"HTTP/1.1 200 OK\r\n\r\n")
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(OutboundFailed) as failed:
        peers.outbound().get(url)
    assert failed.value.reason in {"address_not_allowed", "url_invalid"}
    assert proxy.requests == []


@pytest.mark.parametrize("address", ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "fe80::1%eth0"])
def test_nor_does_a_name_that_is_there(peers: Any, address: str) -> None:
    door = peers.outbound("keycloak.internal", names={"keycloak.internal": [address]})
    with pytest.raises(OutboundFailed) as failed:
        door.get("https://keycloak.internal/")
    assert failed.value.reason == "address_not_allowed"
