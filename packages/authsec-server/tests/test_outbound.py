"""The one door for outgoing HTTP, on real sockets."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
from authsec_server.failures import StartupRefused
from authsec_server.outbound import Outbound, OutboundFailed, OutboundLimits, Policy, outbound_of
from authsec_server.outbound.ssrf import read_target, system_resolver
from authsec_server.settings import Settings, load_settings
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def why(door: Outbound, url: str, **more: Any) -> tuple[str, str]:
    with pytest.raises(OutboundFailed) as failed:
        door.get(url, **more)
    return failed.value.reason.value, str(failed.value)


def test_a_get_brings_the_answer_whatever_its_status(peer: Any, peers: Any) -> None:
    its = peer(peers.http({"kind": "Status"}, "X-Its-Own: yes", status="404 Not Found"))
    answer = peers.outbound("127.0.0.1").get(f"{its.url}/a/b?c=d", headers={"Authorization": "Bearer abc"})
    assert (answer.status, answer.headers["x-its-own"], answer.json_object()) == (404, "yes", {"kind": "Status"})
    assert answer.source == f"{its.url}/a/b"
    assert "abc" not in repr(answer)
    head = its.requests[0].decode().split("\r\n")
    assert head[0] == "GET /a/b?c=d HTTP/1.1"
    assert f"Host: 127.0.0.1:{its.port}" in head
    assert "Authorization: Bearer abc" in head
    assert "Accept-Encoding: identity" in head


def test_forms_and_json_are_posted(peer: Any, peers: Any) -> None:
    its = peer(peers.http({}))
    door = peers.outbound("127.0.0.1")
    door.post_form(its.url, {"code": "a b", "more": "é&="})
    door.post_json(f"{its.url}/apis", {"spec": {"token": "x"}}, headers={"Authorization": "Bearer abc"})
    form, posted = its.requests
    assert form.startswith(b"POST / HTTP/1.1\r\n")
    assert b"\r\nContent-Type: application/x-www-form-urlencoded\r\n" in form
    assert form.endswith(b"\r\n\r\ncode=a+b&more=%C3%A9%26%3D")
    assert b"\r\nContent-Type: application/json\r\n" in posted
    assert posted.endswith(b'\r\n\r\n{"spec":{"token":"x"}}')


def test_tls_is_with_the_name_at_the_address_that_was_checked(peer: Any, peers: Any) -> None:
    certificate = peers.Certificate("idp.example")
    its = peer(peers.http({}), certificate=certificate)
    names = {"idp.example": ["127.0.0.1"], "other.example": ["127.0.0.1"]}
    door = peers.outbound("idp.example", "other.example", trust=certificate.trusted(), names=names)
    assert door.get(f"https://idp.example:{its.port}/").status == 200
    assert its.server_names == ["idp.example"]
    assert f"Host: idp.example:{its.port}".encode() in its.requests[0]
    reason, text = why(door, f"https://other.example:{its.port}/")
    assert reason == "certificate_untrusted"
    assert "Hostname mismatch" in text


def test_a_certificate_that_nobody_trusts_is_said_with_the_remedy(peer: Any, peers: Any) -> None:
    its = peer(peers.http({}), certificate=peers.Certificate("idp.example"))
    door = peers.outbound("idp.example", names={"idp.example": ["127.0.0.1"]})
    reason, text = why(door, f"https://idp.example:{its.port}/")
    assert reason == "certificate_untrusted"
    assert "AUTHSEC_SERVER_OUTBOUND_CA_FILE" in text
    assert its.requests == []


def test_trust_can_be_given_for_one_peer(peer: Any, peers: Any) -> None:
    certificate = peers.Certificate("cluster.example")
    its = peer(peers.http({}), certificate=certificate)
    door = peers.outbound("cluster.example", names={"cluster.example": ["127.0.0.1"]})
    assert door.get(f"https://cluster.example:{its.port}/", trust=certificate.trusted()).status == 200


def test_a_file_of_certificates_counts_beside_the_systems(peer: Any, peers: Any, tmp_path: Path) -> None:
    certificate = peers.Certificate("localhost")
    its = peer(peers.http({}), certificate=certificate)
    file = tmp_path / "ca.pem"
    file.write_bytes(certificate.pem)
    settings = Settings(outbound_ca_file=file, outbound_private_hosts=("localhost",))
    if "127.0.0.1" not in system_resolver("localhost"):
        pytest.skip("this machine's localhost is not 127.0.0.1, where the peer listens")
    assert outbound_of(settings, time.monotonic).get(f"https://localhost:{its.port}/").status == 200
    file.write_text("-----BEGIN NOTHING-----")
    with pytest.raises(StartupRefused, match="AUTHSEC_SERVER_OUTBOUND_CA_FILE"):
        outbound_of(settings, time.monotonic)


def test_speaking_tls_to_who_does_not(peer: Any, peers: Any) -> None:
    its = peer(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    reason, _ = why(peers.outbound("127.0.0.1"), its.url.replace("http://", "https://"))
    assert reason == "tls_failed"


def test_plain_http_only_to_this_machine_and_where_it_is_named(peer: Any, peers: Any) -> None:
    its = peer(peers.http({}))
    names = {"idp.example": ["127.0.0.1"]}
    reason, text = why(peers.outbound("idp.example", names=names), f"http://idp.example:{its.port}/")
    assert reason == "http_not_allowed"
    assert "add idp.example to AUTHSEC_SERVER_OUTBOUND_HTTP_HOSTS" in text
    door = peers.outbound("idp.example", http_hosts=["IdP.example"], names=names)
    assert door.get(f"http://idp.example:{its.port}/").status == 200


def test_the_next_address_is_tried_when_the_first_does_not_answer(peer: Any, peers: Any) -> None:
    its = peer(peers.http({}))
    names = {"localhost": ["127.0.0.2", "127.0.0.1"]}
    assert peers.outbound("localhost", names=names).get(f"http://localhost:{its.port}/").status == 200


def test_nobody_there(peers: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    door = peers.outbound("127.0.0.1")
    assert why(door, f"http://127.0.0.1:{port}/?secret=x") == (
        "unreachable",
        f"nothing accepts connections at http://127.0.0.1:{port}",
    )
    assert why(door, "https://nowhere.example/") == ("unresolvable", "the host name nowhere.example cannot be resolved")


def test_an_answer_that_breaks_off_is_none(peer: Any, peers: Any) -> None:
    for broken in (b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", b"nonsense\r\n\r\n"):
        reason, _ = why(peers.outbound("127.0.0.1"), peer(broken).url)
        assert reason == "connection_lost"


def test_a_look_up_that_does_not_end_is_left_behind() -> None:
    def resolve(_host: str) -> list[str]:
        time.sleep(1)
        return ["127.0.0.1"]

    door = Outbound(Policy.of(), trust=ssl.create_default_context(), monotonic=time.monotonic, resolve=resolve)
    began = time.monotonic()
    reason, _ = why(door, "https://idp.example/", limits=OutboundLimits(seconds=0.1))
    assert reason == "timeout"
    assert time.monotonic() - began < 0.9


def proxied(monkeypatch: pytest.MonkeyPatch, its: Any, userinfo: str = "") -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"{its.url.partition('//')[0]}//{userinfo}127.0.0.1:{its.port}")


def test_a_proxy_gets_the_name_and_its_credentials(peer: Any, peers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = peers.Certificate("idp.example")

    def tunnel(connection: socket.socket, _request: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with certificate.serving([]).wrap_socket(connection, server_side=True) as inner:
            peers.read_request(inner)
            inner.sendall(peers.http({"through": "the proxy"}))

    proxy = peer(tunnel)
    proxied(monkeypatch, proxy, "ann:p%40ss@")
    door = peers.outbound(trust=certificate.trusted())  # no name can be looked up here
    assert door.get("https://idp.example/x").json_object() == {"through": "the proxy"}
    head = proxy.requests[0].decode().lower()
    assert head.startswith("connect idp.example:443 http/1.")
    assert "proxy-authorization: basic yw5uonbac3m=" in head


def test_a_proxy_that_refuses_is_named(peer: Any, peers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    proxied(monkeypatch, peer(b"HTTP/1.1 403 Forbidden\r\n\r\n"), "ann:secret@")
    reason, text = why(peers.outbound(), "https://idp.example/")
    assert reason == "proxy_failed"
    assert "NO_PROXY" in text
    assert "secret" not in text


def test_no_proxy_names_hosts_that_are_reached_directly(peer: Any, peers: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = peers.Certificate("idp.example")
    its, proxy = peer(peers.http({}), certificate=certificate), peer(b"")
    proxied(monkeypatch, proxy)
    monkeypatch.setenv("NO_PROXY", "idp.example")
    names = {"idp.example": ["127.0.0.1"]}
    door = peers.outbound("idp.example", trust=certificate.trusted(), names=names)
    assert door.get(f"https://idp.example:{its.port}/").status == 200
    assert proxy.requests == []


def test_a_header_that_would_end_another_is_not_sent(peer: Any, peers: Any) -> None:
    its = peer(peers.http({}))
    reason, text = why(peers.outbound("127.0.0.1"), its.url, headers={"Authorization": "Bearer abc\r\nX-Admin: yes"})
    assert reason == "request_invalid"
    assert "abc" not in text
    assert its.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]",
        b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 13\r\n\r\n{"a":1,"a":2}',
    ],
)
def test_what_is_not_one_strict_json_object_is_refused(peer: Any, peers: Any, answer: bytes) -> None:
    got = peers.outbound("127.0.0.1").get(peer(answer).url)
    with pytest.raises(OutboundFailed) as failed:
        got.json_object()
    assert failed.value.reason == "not_json"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "idp.example",
        "//idp.example/",
        "ftp://idp.example/",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://",
        "https:///x",
        "https://idp.example:0/",
        "https://idp.example:/",
        "https://idp.example:99999/",
        "https://user:secret@idp.example/",
        "https://idp.example@evil.example/",
        "https://idp.example\\@evil.example/",
        "https://idp.example/#fragment",
        "https://idp.exa mple/",
        "https://idp.example/\r\nX: y",
        "https://ídp.example/",
        "https://idp%2eexample/",
        "https://idp..example/",
        "https://idp.example./",
        "https://-idp.example/",
        "https://[fe80::1%25eth0]/",
        "https://[idp.example]/",
        "https://[::1/",
        "https://127.1/",
        "https://0x7f000001/",
        "https://017700000001/",
        "https://127.0.0.01/",
        "https://1.2.3.4.5/",
        f"https://{'a' * 64}.example/",
        f"https://idp.example/{'a' * 2048}",
    ],
)
def test_urls_that_could_be_read_in_two_ways_are_refused(url: str) -> None:
    with pytest.raises(OutboundFailed) as failed:
        read_target(url)
    assert failed.value.reason == "url_invalid"
    assert "secret" not in str(failed.value)


@given(st.text(alphabet="htps:/[]@.%#?\\-_01axé ", max_size=40).map(lambda text: f"https://{text}"))
def test_what_is_accepted_every_parser_reads_alike(url: str) -> None:
    import httpx2
    from urllib3.util import parse_url

    try:
        target = read_target(url)
    except OutboundFailed:
        return  # refused: the property is about what is taken
    other, third = httpx2.URL(url), parse_url(url)
    assert other.host == target.host == str(third.host).strip("[]")
    assert (other.port or 443) == (third.port or 443) == target.port


@given(st.ip_addresses())
def test_no_address_is_connected_to_but_public_and_named_ones(address: Any) -> None:
    host = f"[{address}]" if address.version == 6 else str(address)
    target = read_target(f"https://{host}/")
    policy = Policy.of()
    meant = getattr(address, "ipv4_mapped", None) or address
    if not meant.is_global or meant.is_multicast:
        with pytest.raises(OutboundFailed):
            policy.check_address(target, address)
    Policy.of(private_hosts=[str(meant)]).check_address(target, address)


def test_a_name_opens_private_networks_and_not_where_credentials_are_handed_out() -> None:
    policy = Policy.of(private_hosts=["Keycloak.internal", "192.0.2.0/24"])
    named, other = read_target("https://keycloak.internal/"), read_target("https://other.internal/")
    for text in ("10.1.2.3", "172.16.0.1", "192.168.1.1", "127.0.0.1", "100.64.0.1", "::1", "fd12::1"):
        policy.check_address(named, ipaddress.ip_address(text))
        with pytest.raises(OutboundFailed):
            policy.check_address(other, ipaddress.ip_address(text))
    for text in ("169.254.169.254", "fe80::1", "fd00:ec2::254", "100.100.100.200", "224.0.0.1", "0.0.0.0", "::"):
        with pytest.raises(OutboundFailed):
            policy.check_address(named, ipaddress.ip_address(text))
    policy.check_address(other, ipaddress.ip_address("192.0.2.1"))
    policy.check_address(other, ipaddress.ip_address("8.8.8.8"))
    policy.check_address(other, ipaddress.ip_address("64:ff9b::8.8.8.8"))  # NAT64: the public 8.8.8.8


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("outbound_http_hosts", "http://idp.example"),
        ("outbound_http_hosts", "idp.example:8080"),
        ("outbound_private_hosts", "10.0.0.1/8"),
        ("outbound_private_hosts", "https://idp.example"),
    ],
)
def test_hosts_are_named_plainly(name: str, value: str) -> None:
    with pytest.raises(StartupRefused, match=name.upper()):
        load_settings(**{name: value})
