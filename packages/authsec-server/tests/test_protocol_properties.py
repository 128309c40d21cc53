"""Any octets at the HTTP protocol: both ways answer the same, wherever they are cut, and none ends in an error."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from authsec_server.web.uvicorn_protocol import MAX_HEAD
from fed_protocol import Fed
from hypothesis import example, given, settings
from hypothesis import strategies as st
from raw_http import ENDPOINT, no_application

from examples import examples

House = Any
UNLIKE = re.compile(rb'"token":"[^"]*"|req_\w+|content-length: \d+|x-request-id: \S*')
MALFORMED = b"Invalid HTTP request received."

line_ends = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\r\n", b"\n\r", b""])
methods = st.sampled_from([b"GET"] * 6 + [b"POST", b"OPTIONS", b"get", b"DELETE", b"", b"QUERY", b"CONNECT"])
targets = st.sampled_from(
    [ENDPOINT.encode() + b"?client_id={}"] * 6
    + [
        ENDPOINT.encode() + b"?client_id={}&scope=customers:read",
        ENDPOINT.encode() + b"?client_id={}&scope=customers:delete",
        ENDPOINT.encode() + b"?client_id={}&client_id={}",
        ENDPOINT.encode() + b"?client_id=%7B%7D%00",
        ENDPOINT.encode() + b"?client_id={}#x",
        ENDPOINT.encode() + b"/?client_id={}",
        ENDPOINT.encode() + b";x?client_id={}",
        b"/authsec/./uflow/sdk/delegation-token?client_id={}",
        b"//127.0.0.1" + ENDPOINT.encode() + b"?client_id={}",
        b"http://127.0.0.1" + ENDPOINT.encode() + b"?client_id={}",
        b"/%61uthsec/uflow/sdk/delegation-token?client_id={}",
        b"/healthz",
        b"/nowhere",
        b"*",
        b"\xff",
        b"127.0.0.1:7468",
        b"/%",
        b"/?%ff=%zz",
    ]
)
versions = st.sampled_from([b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/0.9", b"HTTP/2.0", b"HTTP/1.1 ", b"http/1.1", b""])
headers = st.sampled_from(
    [
        b"Host: 127.0.0.1",
        b"host:127.0.0.1:7468",
        b"Host: other.example",
        b"Host : 127.0.0.1",
        b"Content-Length: 0",
        b"Content-Length: 2",
        b"Content-Length: +2",
        b"Content-Length: 2, 2",
        b"Content-Length: 18446744073709551617",
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: identity",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding:\tchunked",
        b"Authorization: Bearer eyJhbGciOiJub25lIn0.e30.",
        b"Authorization: Basic YTpi",
        b"Authorization:",
        b"DPoP: a.b.c",
        b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        b"traceparent: \xff",
        b"X-Request-ID: req_00000000000000000000mine",
        b"X-Forwarded-For: 192.0.2.1, \xff",
        b"X-Client-Id: {}",
        b"Connection: close",
        b"Connection: keep-alive, upgrade",
        b"Upgrade: websocket",
        b"Upgrade: h2c",
        b"Expect: 100-continue",
        b" folded",
        b"no colon",
        b": no name",
        b"X-Nul: a\x00b",
        b"X: " + b"x" * 300,
    ]
)
bodies = st.sampled_from(
    [
        *[b""] * 6,
        b"ab",
        b"0\r\n\r\n",
        b"2\r\nab\r\n0\r\n\r\n",
        b"2;x=y\r\nab\r\n0\r\nT: t\r\n\r\n",
        b"\r\n",
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request that may be well-formed, with HTTP's usual Host header in most cases."""
    end = draw(line_ends)
    first = b" ".join([draw(methods), draw(targets), draw(versions)])
    host = draw(st.sampled_from([[b"Host: 127.0.0.1"]] * 5 + [[]]))
    lines = [first, *host, *draw(st.lists(headers, max_size=3))]
    made = b"".join(line + end for line in lines) + draw(st.sampled_from([end] * 8 + [b"\r\n"])) + draw(bodies)
    if draw(st.integers(0, 9)) == 0:  # spoil one octet
        place = draw(st.integers(0, len(made) - 1))
        made = made[:place] + bytes([draw(st.integers(0, 255))]) + made[place + 1 :]
    return made


streams = st.lists(requests(), min_size=1, max_size=3).map(b"".join) | st.binary(max_size=300)
USUAL = b"GET " + ENDPOINT.encode() + b"?client_id={} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class Both:
    """An authority whose usual requests are answered directly, or by its application."""

    def __init__(self, its: House, runner: asyncio.Runner) -> None:
        self._its = its
        self._runner = runner
        self._client = its.delegated_name().encode()
        assert its.door().get(ENDPOINT, params={"client_id": self._client.decode()}).status_code == 200

    def answers(self, stream: bytes, *, directly: bool, cuts: Sequence[int] = ()) -> bytes:
        """What the server answers to the stream in these pieces, without what differs from one request to the next."""
        stream = stream.replace(b"{}", self._client)
        places = sorted({min(cut, len(stream)) for cut in cuts})
        pieces = [stream[begin:end] for begin, end in zip([0, *places], [*places, len(stream)], strict=True)]

        async def ask() -> bytes:
            fed = Fed(self._its.authority.app, direct=self._its.authority.direct if directly else None)
            await fed.feed(piece for piece in pieces if piece)
            return await fed.answers()

        return UNLIKE.sub(b"", self._runner.run(ask()))


@pytest.fixture
def both(house: Callable[..., House]) -> Iterator[Both]:
    with asyncio.Runner() as runner:
        yield Both(house(address_limit=10**9, unproved_limit=10**9, client_limit=10**9), runner)


@pytest.mark.hypothesis
def test_both_ways_answer_the_same_octets(both: Both) -> None:
    @settings(max_examples=examples(200))
    @given(streams)
    @example(USUAL * 3)
    def check(stream: bytes) -> None:
        answers = both.answers(stream, directly=True)
        assert answers == both.answers(stream, directly=False)
        assert not re.search(rb"HTTP/1.1 5\d\d", answers)

    check()


@pytest.mark.hypothesis
def test_it_makes_no_difference_where_octets_are_cut(both: Both) -> None:
    """Only the answer to malformed octets overtakes those to the requests before them."""

    @settings(max_examples=examples(200))
    @given(streams, st.lists(st.integers(0, 600), max_size=6))
    @example(USUAL * 2, list(range(1, 400)))
    @example(USUAL.replace(b"GET", b"CONNECT") + USUAL, [130])  # the second one was answered, or not, by the cut
    @example(USUAL.replace(b"\r\n\r\n", b"\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n") + USUAL, [160])
    def check(stream: bytes, cuts: list[int]) -> None:
        whole = both.answers(stream, directly=True)
        cut = both.answers(stream, directly=True, cuts=cuts)
        if MALFORMED in whole:
            assert MALFORMED in cut
        else:
            assert cut == whole

    check()


@given(st.sampled_from([b"GET /", b"GET / HTTP/1.1\r\nX: ", b"GET / HTTP/1.1\r\n"]), st.sampled_from(b"ax%;:=-"))
def test_no_head_is_kept_beyond_its_bound(begin: bytes, fill: int) -> None:
    async def ask() -> bool:
        fed = Fed(no_application)
        line = bytes([fill]) * 997 + (b": x\r\n" if begin.endswith(b"1\r\n") else b"")
        await fed.feed([begin, *[line] * (2 * MAX_HEAD // 997)])
        is_closed = fed.transport.is_closing()
        await fed.end()
        return is_closed

    assert asyncio.run(ask())
