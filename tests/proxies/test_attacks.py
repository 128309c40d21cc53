"""Every attack on every proxy: none reaches what its token does not allow, and none is taken for somebody else."""

from __future__ import annotations

from typing import Any

import pytest
from long_runs import some_of

from .attacks import ATTACKS, Attack, damage
from .exchanges import Http1, Http2, asks_for_websocket
from .table import outdated


@pytest.fixture(scope="session")
def reader(estate: Any) -> str:
    """A token that allows reading customers, and nothing else."""
    token: str
    token, _ = estate.agent("Attacker", "customers:read")
    return token


@pytest.mark.parametrize("attack", some_of(ATTACKS, each=6), ids=lambda attack: attack.name)
def test_an_attack_fails(
    estate: Any, proxy: str, attack: Attack, reader: str, record_property: pytest.RecordProperty
) -> None:
    found: list[str] = []
    outcomes = set()
    for exchange in attack.exchanges:
        for token in ("", reader):
            estate.seen.clear()
            status = exchange.send(estate.urls[proxy], token)
            found += [f"{exchange}: {status}: {harm}" for request in estate.seen for harm in damage(request)]
            if token:
                outcomes.add("harmless" if estate.seen else "refused")
    assert not found, "\n".join(found)
    record_property("verdict", (proxy, attack.title, ", ".join(sorted(outcomes, reverse=True))))


def test_what_is_no_attack_passes(estate: Any, proxy: str, reader: str, record_property: pytest.RecordProperty) -> None:
    """Or the attacks would fail for another reason than the caller's rights."""
    url = estate.urls[proxy]
    head = "POST /customers/42 HTTP/1.1\r\nHost: @HOST@\r\nConnection: close\r\n@AUTHORIZATION@"
    assert Http1(data=f"{head}Content-Length: 3\r\n\r\nabc").send(url, reader) == "200"
    old = Http1(data="GET /customers/42 HTTP/1.0\r\nHost: @HOST@\r\n@AUTHORIZATION@\r\n").send(url, reader)
    assert old == ("426" if proxy == "envoy" else "200")
    assert Http2().send(url, reader) == "200"
    assert Http2(fields=[(":method", "POST"), ("content-length", "3")], body=b"abc").send(url, reader) == "200"
    chunked = Http1(data=f"{head}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n").send(url, reader)
    assert chunked == ("411" if proxy == "haproxy" else "200")
    record_property(
        "verdict",
        (proxy, "a chunked body, without attack", "passed on" if chunked == "200" else f"refused ({chunked})"),
    )


def test_a_websocket_is_opened_for_those_who_may(
    estate: Any, proxy: str, reader: str, record_property: pytest.RecordProperty
) -> None:
    url = estate.urls[proxy]
    assert asks_for_websocket(url, "/delete/42", reader) == ("403", b"")
    assert asks_for_websocket(url, "/customers/websocket", "none")[0] in {"401", "403"}
    asked = asks_for_websocket(url, "/customers/websocket", reader)
    expected = {"nginx": ("200", b""), "apache": ("200", b""), "envoy": ("403", b"")}
    assert asked == expected.get(proxy, ("101", b"through\n"))
    told = {"101": "opened", "200": "answered as a plain request", "403": "refused"}
    record_property("verdict", (proxy, "a WebSocket, without attack", told[asked[0]]))


def test_the_table_names_every_attack_and_version() -> None:
    assert outdated() == [], "renew it: uv run --no-sync python -m tests.proxies --write"
