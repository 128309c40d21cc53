"""`authsec doctor` on the way to the authority: name, connection, proxy, and certificates that are really shown."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec import AuthSecConfig
from authsec.clock import Clock
from authsec.doctor import network
from authsec.doctor.report import Finding
from authsec.terminal import Grade
from certificates import DAY, authority_with, certificate
from fake_authority import CLIENT_ID, connect_proxy

NAME = "https://authority.example"


def reached(base_url: str = NAME, **settings: Any) -> dict[str, Finding]:
    config = AuthSecConfig(base_url=base_url, client_id=CLIENT_ID, **settings)
    return {finding.step: finding for finding in network.check_network(config, Clock())}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextmanager
def shown(pem: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """An authority with this certificate, which a proxy leads to, whatever its name."""
    with authority_with(pem) as running, connect_proxy(running.port) as (address, seen):
        monkeypatch.setenv("HTTPS_PROXY", address)
        yield seen
        assert running.seen == []  # looking at a certificate sends nothing


def test_a_certificate_that_is_trusted_and_ends_soon(proxied: list[str], pem: Path) -> None:
    found = reached(ca_file=str(pem))
    assert found["connection"].facts[1].startswith("through the proxy 127.0.0.1:")
    told = found["certificate"]
    assert told.facts[0] == "for authority.example, signed by authority.example"
    assert told.facts[2].startswith(f"trusted by the file of AUTHSEC_CA_FILE ({pem}), over TLSv1.")
    assert (told.grade, told.facts[-1]) == (Grade.AMBER, "the certificate expires in 0 days")


def test_a_certificate_that_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem = certificate(tmp_path, "authority.example", ends=60 * DAY)
    with shown(pem, monkeypatch):
        assert reached(ca_file=str(pem))["certificate"].grade is Grade.GOOD


def test_nobody_here_knows_who_signed(proxied: list[str], pem: Path, secure: Any) -> None:
    told = reached()["certificate"]
    assert (told.grade, told.reason) == (Grade.BAD, "certificate_untrusted")
    assert told.facts[:2] == (
        "not trusted: self-signed certificate",
        "for authority.example, signed by authority.example",
    )
    assert "system's trust store" in told.facts[-1]
    assert "AUTHSEC_CA_FILE" in told.remedy
    assert secure.seen == []


def test_another_name_than_the_certificate_has(secure: Any, pem: Path) -> None:
    told = reached(secure.base_url, ca_file=str(pem))["certificate"]
    assert told.grade is Grade.BAD
    assert "IP address mismatch" in told.facts[0]
    assert told.facts[1].startswith("for authority.example,")
    assert told.remedy == "Use a name from the certificate in AUTHSEC_BASE_URL; 127.0.0.1 is not in it."


@pytest.mark.parametrize(("begins", "ends", "said"), [(-9 * DAY, -DAY, "expired"), (DAY, 9 * DAY, "not yet valid")])
def test_out_of_its_time(
    begins: timedelta, ends: timedelta, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = certificate(tmp_path, "authority.example", begins=begins, ends=ends)
    with shown(pem, monkeypatch):
        told = reached(ca_file=str(pem))["certificate"]
    assert said in told.facts[0]
    assert told.facts[2].startswith("valid 20")
    assert "this machine's clock says" in told.facts[3]
    assert "clock is correct" in told.remedy


def test_a_certificate_that_cannot_be_read_a_second_time(
    proxied: list[str], monkeypatch: pytest.MonkeyPatch, pem: Path
) -> None:
    """As behind a load balancer whose servers differ: what failed is said all the same."""
    from authsec.doctor import network as module

    monkeypatch.setattr(module, "_trusting_only", lambda _: module._unverifying())
    told = reached()["certificate"]
    assert told.facts[0] == "not trusted: self-signed certificate"
    assert told.reason == "certificate_untrusted"


def test_https_where_http_is_spoken(authority: Any) -> None:
    told = reached(authority.base_url.replace("http:", "https:"))["certificate"]
    assert (told.grade, told.reason) == (Grade.BAD, "tls_failed")
    assert "scheme and port" in told.remedy


def test_a_port_that_accepts_and_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_PATIENCE", 0.2)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        began = time.monotonic()
        told = reached(f"https://127.0.0.1:{listener.getsockname()[1]}")["certificate"]
    assert told.facts == ("no TLS connection could be made: no answer in time",)
    assert time.monotonic() - began < 3


def test_a_file_without_certificates(secure: Any, tmp_path: Path) -> None:
    told = reached(secure.base_url, ca_file=str(tmp_path / "none.pem"))["certificate"]
    assert (told.grade, told.reason) == (Grade.BAD, "ca_file_invalid")


def test_nothing_listens() -> None:
    told = reached(f"https://127.0.0.1:{free_port()}")
    assert list(told) == ["connection"]
    assert (told["connection"].grade, told["connection"].reason) == (Grade.BAD, "unreachable")
    assert "Connection refused" in told["connection"].facts[0]


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://no-such-proxy.invalid:3128")
    told = reached()["name"]
    assert told.facts == ("no address was found for no-such-proxy.invalid, the proxy of HTTPS_PROXY",)
    monkeypatch.setenv("NO_PROXY", "authority.example")
    told = reached()["name"]
    assert told.facts == ("no address was found for authority.example",)
    assert reached(f"https://{'a' * 70}.example")["name"].reason == "unknown_host"  # no name can be so long


def test_a_name_that_is_known(authority: Any) -> None:
    found = reached(authority.base_url.replace("127.0.0.1", "localhost"))
    assert found["name"].facts[0].startswith("localhost is ")
    assert list(found) == ["name", "connection"]


def test_a_proxy_that_is_away_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    told = reached()["connection"]
    assert (told.grade, told.reason) == (Grade.BAD, "proxy_failed")
    assert "NO_PROXY" in told.remedy
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1080")
    assert reached()["connection"].reason == "proxy_invalid"


def test_a_proxy_is_told_its_password_and_nobody_else(
    proxied: list[str], pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", os.environ["HTTPS_PROXY"].replace("http://", "http://bob:canary%40@"))
    found = reached(ca_file=str(pem))
    assert all("proxy-authorization: Basic Ym9iOmNhbmFyeUA=" in request for request in proxied)
    assert "canary" not in repr(found)


def test_a_proxy_is_not_used_for_everything(
    authority: Any, proxied: list[str], secure: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "plain http is never sent through a proxy" in reached(authority.base_url)["connection"].facts[1]
    assert "an address on this machine needs no proxy" in reached(secure.base_url)["connection"].facts[1]
    assert proxied == []
