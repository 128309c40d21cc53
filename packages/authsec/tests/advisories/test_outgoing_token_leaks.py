"""The token of a request to an API turns up in a log, a repr or a traceback of the program that sent it.

`requests` keeps headers in a plain dict, which error trackers record with the other locals of a frame, and whoever
debugs prints requests, answers and the object that adds the token. So all of that is searched for the token, while all
goes well and while APIs refuse, break off, hang, or are not there.
"""

from __future__ import annotations

import logging
import socket
import threading
import traceback
from collections.abc import Callable
from contextlib import closing
from typing import Any

import httpx
import httpx2
import pytest
import requests
from authsec import AuthSecClient

from ..fake_api import serving_api
from ..speaking_http import SPEAKERS, Speaker

speakers = pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda speaker: speaker.name)

FAILED = (requests.RequestException, httpx.TransportError, httpx2.TransportError)
TIMED_OUT = (requests.Timeout, httpx.TimeoutException, httpx2.TimeoutException)


def parts_of(authority: Any) -> list[str]:
    return [part for token in authority.tokens for part in token.split(".")[1:]]


@speakers
def test_no_log_and_no_repr_holds_it(
    speaker: Speaker, client: AuthSecClient, authority: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    old = client.get_delegation_token()
    with serving_api(lambda token: token != old) as api:
        auth = speaker.auth(client, allowed_origins=[api.url])
        assert speaker.send(auth, api.url)[0] == 200
    told = caplog.text + repr(auth) + repr(vars(auth) if hasattr(auth, "__dict__") else auth.bearer)
    assert len(parts_of(authority)) == 4
    assert not any(part in told for part in parts_of(authority))


def test_no_request_and_no_answer_shows_it(client: AuthSecClient, authority: Any) -> None:
    with serving_api() as api:
        answers: list[Any] = [requests.get(api.url, auth=client.requests_auth(allowed_origins=api.url), timeout=5)]
        answers += [
            library.get(api.url, auth=client.httpx_auth(allowed_origins=api.url)) for library in (httpx, httpx2)
        ]
        told = "".join(repr([answer, answer.headers, answer.request, answer.request.headers]) for answer in answers)
    assert parts_of(authority)
    assert not any(part in told for part in parts_of(authority))
    assert "hidden" in told


def refused(_: socket.socket) -> None:
    """Takes the request, and resets the connection."""


def cut_off(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")


def nonsense(connection: socket.socket) -> None:
    connection.recv(65536)
    connection.sendall(b"I am no web server\r\n\r\n")


@speakers
@pytest.mark.parametrize("failure", [refused, cut_off, nonsense])
def test_no_traceback_holds_it(
    failure: Callable[[socket.socket], None], speaker: Speaker, client: AuthSecClient, authority: Any
) -> None:
    """As an error tracker sees it: text, chain, and the locals of every frame."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                failure(connection)

        threading.Thread(target=serve, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        auth = speaker.auth(client, allowed_origins=[url])
        with pytest.raises(FAILED) as caught:
            speaker.send(auth, url)
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True, compact=False)
    assert parts_of(authority)
    assert not any(part in "".join(told.format()) for part in parts_of(authority))


@speakers
def test_an_api_that_hangs_costs_the_time_that_the_caller_gave_it(
    speaker: Speaker, client: AuthSecClient, authority: Any
) -> None:
    """And what the time-out shows holds no token."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        auth = speaker.auth(client, allowed_origins=[url])
        with pytest.raises(TIMED_OUT) as caught:
            speaker.send(auth, url, patience=0.2)
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True, compact=False)
    assert not any(part in "".join(told.format()) for part in parts_of(authority))
