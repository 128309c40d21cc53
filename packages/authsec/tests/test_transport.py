"""Asking over real sockets, and what happens when the other side is not what it should be."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import certificates
import pytest
from authsec import AuthSecClient, AuthSecConfig, ConfigError, InvalidResponse, ServerError, TransportError
from authsec.authority import Authority
from authsec.clock import Clock
from authsec.tokens import TokenRequest
from fake_authority import CLIENT_ID, FakeAuthority, Reply, basic, broken_off, drip, hang, refused

Make = Callable[..., AuthSecClient]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_the_request_is_the_one_of_the_contract(client: AuthSecClient, authority: Any) -> None:
    client.get_token(scope="customers:read", resource=["crm", "erp"])
    (seen,) = authority.seen
    assert seen.path == "/authsec/uflow/sdk/delegation-token"
    assert seen.query == {"client_id": [CLIENT_ID], "scope": ["customers:read"], "resource": ["crm", "erp"]}
    assert "Authorization" not in seen.headers
    assert seen.headers["User-Agent"].startswith("authsec-python/")


def test_a_path_prefix_is_kept(make_client: Make, authority: Any) -> None:
    make_client(base_url=f"{authority.base_url}/tenant/").get_delegation_token()
    assert authority.seen[0].path == "/tenant/authsec/uflow/sdk/delegation-token"


def test_nothing_listens(make_client: Make) -> None:
    client = make_client(base_url=f"http://127.0.0.1:{free_port()}")
    began = time.monotonic()
    with pytest.raises(TransportError, match="then that the authority is running") as caught:
        client.get_delegation_token()
    assert (caught.value.reason, caught.value.retryable) == ("unreachable", True)
    assert client.authority.transport.requests_sent == 3
    assert time.monotonic() - began < 3


def test_an_unknown_host_name(make_client: Make) -> None:
    client = make_client(base_url="https://no-such-host.invalid", timeout=3)
    with pytest.raises(TransportError, match=r"host name of no-such-host\.invalid cannot be resolved") as caught:
        client.get_delegation_token()
    assert caught.value.reason == "unreachable"


@pytest.mark.parametrize(
    "slowness",
    [
        hang,
        lambda authority: drip(authority, b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"),
        lambda authority: drip(authority, b"HTTP/1.1 200 OK\r\nX-Slow: "),
    ],
    ids=["silence", "a dripping body", "a dripping header"],
)
def test_a_slow_authority_costs_a_bounded_time(slowness: Any, make_client: Make, authority: Any) -> None:
    authority.next_answers = [slowness(authority)]
    client = make_client(timeout=0.3)
    began = time.monotonic()
    with pytest.raises(TransportError, match="in time") as caught:
        client.get_delegation_token()
    assert (caught.value.reason, caught.value.retryable) == ("timeout", True)
    assert time.monotonic() - began < 2
    assert len(authority.token_requests) == 1  # no second try: the time is up
    assert client.get_delegation_token() in authority.tokens  # and the next call is not behind the slow one


def test_a_broken_connection_is_tried_again(client: AuthSecClient, authority: Any) -> None:
    authority.next_answers = [broken_off(), broken_off()]
    assert client.get_delegation_token() in authority.tokens
    assert len(authority.token_requests) == 3


def test_a_connection_that_keeps_breaking(client: AuthSecClient, authority: Any) -> None:
    authority.next_answers = [broken_off()] * 3
    with pytest.raises(TransportError) as caught:
        client.get_delegation_token()
    assert (caught.value.reason, caught.value.retryable) == ("connection_lost", True)


@pytest.mark.parametrize("retry_after", ["0", "1"])
def test_a_short_retry_after_is_waited_for(retry_after: str, client: AuthSecClient, authority: Any) -> None:
    authority.next_answers = [refused(503, "unavailable", Retry_After=retry_after)]
    assert client.get_delegation_token() in authority.tokens


@pytest.mark.parametrize(("random", "seconds"), [(0, 1.0), (255, 1.5)])
def test_agents_that_were_refused_together_come_back_apart(random: int, seconds: float, authority: Any) -> None:
    authority.next_answers = [refused(503, "unavailable", Retry_After="1")]
    slept: list[float] = []
    config = AuthSecConfig(base_url=authority.base_url, client_id=CLIENT_ID)
    agent = Authority(config, (), clock=Clock(sleep=slept.append), token_bytes=lambda count: bytes([random] * count))
    assert agent.fetch(TokenRequest()).value in authority.tokens
    assert slept == [seconds]


@pytest.mark.parametrize("headers", [{}, {"Retry_After": "30"}, {"Retry_After": "soon"}])
def test_no_other_503_is_tried_again(headers: dict[str, str], client: AuthSecClient, authority: Any) -> None:
    authority.next_answers = [refused(503, "unavailable", **headers)]
    with pytest.raises(ServerError):
        client.get_delegation_token()
    assert len(authority.token_requests) == 1


def test_no_retry_goes_beyond_the_timeout(make_client: Make, authority: Any) -> None:
    authority.next_answers = [refused(503, "unavailable", Retry_After="2")]
    with pytest.raises(ServerError):
        make_client(timeout=1).get_delegation_token()
    assert len(authority.token_requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int, client: AuthSecClient, authority: Any) -> None:
    target = FakeAuthority()
    try:
        authority.next_answers = [Reply(status, headers={"Location": f"{target.base_url}/authsec/x?token=1"})]
        with pytest.raises(InvalidResponse) as caught:
            client.get_delegation_token()
        assert caught.value.reason == "redirected"
        assert f"redirects to {target.base_url}." in str(caught.value)
        assert target.seen == []
    finally:
        target.close()


@pytest.mark.parametrize("location", ["", "/elsewhere", "https://[", "javascript:alert(1)", "https://a b/"])
def test_an_odd_redirect_is_not_quoted(location: str, client: AuthSecClient, authority: Any) -> None:
    authority.next_answers = [Reply(302, headers={"Location": location})]
    with pytest.raises(InvalidResponse, match="redirects to another address"):
        client.get_delegation_token()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>Welcome to the Wi-Fi</html>", {"Content-Type": "text/html"}),
        Reply(200, b"[]"),
        Reply(200, b'{"token": "a.b.c", "token": "d.e.f", "expires_in": 60}'),
        Reply(200, b""),
        Reply(204),
        Reply(404, b'{"detail": "Not Found"}'),
        Reply(404, b"<html>no such page</html>", {"Content-Type": "text/html"}),
        Reply(405, {"error": "Method not allowed.", "reason": "method_not_allowed"}),
    ],
    ids=lambda reply: f"{reply.status} {str(reply.body)[:20]}",
)
def test_something_that_is_no_authority_answers(reply: Reply, client: AuthSecClient, authority: Any) -> None:
    authority.next_answers = [reply]
    with pytest.raises(
        InvalidResponse, match=r"not the root of an AuthSec authority.*Check AUTHSEC_BASE_URL"
    ) as caught:
        client.get_delegation_token()
    assert (caught.value.status, caught.value.retryable) == (reply.status, False)
    assert "Wi-Fi" not in str(caught.value)


def test_an_answer_may_not_be_larger_than_64_kib(client: AuthSecClient, authority: Any) -> None:
    padding = "x" * 70_000
    authority.next_answers = [authority.grant(padding=padding)]
    with pytest.raises(InvalidResponse, match="larger than any"):
        client.get_delegation_token()
    authority.next_answers = [authority.grant(padding=padding[:60_000])]
    assert client.get_delegation_token() in authority.tokens


# --- TLS and proxies ---------------------------------------------------------------------------------------------


def agent(base_url: str = "https://authority.example", **settings: Any) -> AuthSecClient:
    return AuthSecClient(AuthSecConfig(base_url=base_url, client_id=CLIENT_ID, timeout=3, **settings))


def test_an_untrusted_certificate(secure: FakeAuthority) -> None:
    with pytest.raises(TransportError, match=r"not trusted \(self-signed certificate\).*AUTHSEC_CA_FILE") as caught:
        agent(secure.base_url).get_delegation_token()
    assert (caught.value.reason, caught.value.retryable) == ("certificate_untrusted", False)
    assert secure.seen == []


def test_a_certificate_for_another_name(secure: FakeAuthority, pem: Path) -> None:
    with pytest.raises(TransportError, match=r"not trusted.*IP address mismatch"):
        agent(secure.base_url, ca_file=str(pem)).get_delegation_token()


def test_https_where_http_is_spoken(authority: Any) -> None:
    with pytest.raises(TransportError, match="Check that this port serves https") as caught:
        agent(authority.base_url.replace("http:", "https:")).get_delegation_token()
    assert caught.value.reason == "tls_failed"


def test_the_named_certificates_are_trusted(proxied: list[str], secure: FakeAuthority, pem: Path) -> None:
    assert agent(ca_file=str(pem)).get_delegation_token() in secure.tokens
    assert proxied[0].startswith("CONNECT authority.example:443 ")


def test_the_systems_certificates_are_trusted_unless_others_are_named(
    proxied: list[str], secure: FakeAuthority, pem: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE is how OpenSSL is told where the system keeps them."""
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    assert agent().get_delegation_token() in secure.tokens
    folder = tmp_path / "other"
    folder.mkdir()
    other = certificates.certificate(folder, "authority.example")
    with pytest.raises(TransportError, match="not trusted"):
        agent(ca_file=str(other)).get_delegation_token()


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_file_without_certificates(content: bytes | None, secure: FakeAuthority, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"AUTHSEC_CA_FILE.*ca\.pem"):
        agent(secure.base_url, ca_file=str(path)).get_delegation_token()


def test_the_proxy_is_told_its_password_and_the_authority_is_not(
    proxied: list[str], secure: FakeAuthority, pem: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", os.environ["HTTPS_PROXY"].replace("http://", "bob:s3cret%40@"))
    agent(ca_file=str(pem)).get_delegation_token()
    assert basic("bob:s3cret@") in proxied[0]
    assert not any("proxy" in name.lower() for name in secure.seen[0].headers)


def test_no_proxy_is_obeyed(proxied: list[str], pem: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "authority.example")
    with pytest.raises(TransportError, match=r"host name of authority\.example cannot be resolved"):
        agent(ca_file=str(pem)).get_delegation_token()
    assert proxied == []


def test_loopback_and_plain_http_never_go_through_a_proxy(
    proxied: list[str], make_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    make_client().get_delegation_token()
    with pytest.raises(TransportError):
        agent("http://authority.example", allow_http_hosts=("authority.example",)).get_delegation_token()
    with pytest.raises(TransportError):
        agent(f"https://127.0.0.1:{free_port()}").get_delegation_token()
    assert proxied == []


def test_a_proxy_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(TransportError, match=r"proxy of HTTPS_PROXY did not connect to authority\.example") as caught:
        agent().get_delegation_token()
    assert caught.value.reason == "proxy_failed"


def test_a_proxy_of_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://bob:s3cret@127.0.0.1:1080")
    with pytest.raises(ConfigError, match="HTTP proxy") as caught:
        agent().get_delegation_token()
    assert "s3cret" not in str(caught.value)
