"""A token goes to somebody who was never meant to have it.

A model picks an address, or an API redirects (or somebody in its name does): to another host, to another port of the
same host, from TLS to plain http. Whoever gets the request could then call the API as the agent. So a token goes along
only where scheme, host and port are exactly those of an API that the program names, and with no redirect.
"""

from __future__ import annotations

import logging
from typing import Any

import pytest
import requests
from authsec import AuthSecClient

from ..fake_api import serving_api
from ..speaking_http import SPEAKERS, Speaker

speakers = pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda speaker: speaker.name)


@speakers
def test_an_origin_that_is_not_named_gets_none_and_that_is_logged_once(
    speaker: Speaker, client: AuthSecClient, authority: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "authsec")
    with serving_api() as api, serving_api() as stranger:
        auth = speaker.auth(client, allowed_origins=[api.url])
        for url in (stranger.url, f"{stranger.url}/again", f"{api.url}@{stranger.url.removeprefix('http://')}"):
            assert speaker.send(auth, url)[0] == 401
        assert stranger.tokens == [None] * 3
    assert authority.seen == []
    assert caplog.messages == [f"no token is sent to {stranger.url}: allowed_origins has {api.url}"]


@speakers
def test_a_name_that_leads_to_the_same_place_is_another_origin(speaker: Speaker, client: AuthSecClient) -> None:
    with serving_api() as api:
        auth = speaker.auth(client, allowed_origins=[api.url])
        assert speaker.send(auth, api.url.replace("127.0.0.1", "localhost"))[0] == 401
        assert api.tokens == [None]


@speakers
def test_no_redirect_takes_it_elsewhere(speaker: Speaker, client: AuthSecClient, authority: Any) -> None:
    with serving_api() as api, serving_api() as stranger:
        api.moved = {"/away": f"{stranger.url}/", "/other-name": f"{api.url.replace('127.0.0.1', 'localhost')}/"}
        auth = speaker.auth(client, allowed_origins=[api.url])
        for path in api.moved:
            assert speaker.send(auth, api.url + path, b"a=1")[0] == 401
        assert stranger.tokens == [None]
        assert api.tokens == [authority.tokens[0], authority.tokens[0], None]
    assert len(authority.tokens) == 1, "the 401 of somebody who was sent no token drops none"


@speakers
def test_nor_after_a_401(speaker: Speaker, client: AuthSecClient, authority: Any) -> None:
    """The second try is redirected, which the first was not."""
    old = client.get_delegation_token()
    with serving_api(lambda token: token != old) as api, serving_api() as stranger:
        auth = speaker.auth(client, allowed_origins=[api.url])

        def answer(path: str, token: str | None, body: bytes) -> tuple[int, dict[str, str], bytes]:
            return (401, {}, b"") if token == old else (307, {"Location": stranger.url}, b"")

        api.answer = answer  # type: ignore[method-assign] # this one API answers so
        assert speaker.send(auth, api.url, b"a=1")[0] == 401
        assert stranger.tokens == [None]
    assert len(authority.tokens) == 2


@speakers
def test_a_redirect_within_the_origin_keeps_it(speaker: Speaker, client: AuthSecClient, authority: Any) -> None:
    old = client.get_delegation_token()
    with serving_api(lambda token: token != old) as api:
        api.moved = {"/old": "/new"}
        auth = speaker.auth(client, allowed_origins=[api.url])
        assert speaker.send(auth, f"{api.url}/old")[0] == 200
        assert (api.tokens[-1], api.seen[-1][0]) == (authority.tokens[1], "/new")
        assert speaker.send(auth, f"{api.url}/old")[0] == 200
    assert len(authority.tokens) == 2


@speakers
def test_a_second_try_that_is_redirected_goes_on_with_its_own_token(
    speaker: Speaker, client: AuthSecClient, authority: Any
) -> None:
    old = client.get_delegation_token()
    with serving_api() as api:

        def answer(path: str, token: str | None, body: bytes) -> tuple[int, dict[str, str], bytes]:
            api.seen.append((path, token, body))
            moved = path == "/old" and token != old
            return (307 if moved else 401 if token == old else 200), {"Location": "/new"} if moved else {}, b""

        api.answer = answer  # type: ignore[method-assign] # this one API answers so
        assert speaker.send(speaker.auth(client, allowed_origins=[api.url]), f"{api.url}/old")[0] == 200
        new = authority.tokens[1]
        assert [(path, token) for path, token, _ in api.seen] == [("/old", old), ("/old", new), ("/new", new)]


def test_requests_keeps_it_from_another_scheme_of_the_same_host(client: AuthSecClient) -> None:
    """From http to https on the usual ports `requests` would take the header along by itself."""
    session = requests.Session()
    session.mount("http://", _Moved("https://localhost/"))
    session.mount("https://", secure := _Moved(None))
    session.auth = client.requests_auth(allowed_origins="http://localhost")
    assert session.get("http://localhost/").status_code == 200
    (arrived,) = secure.seen
    assert "Authorization" not in arrived.headers


class _Moved(requests.adapters.BaseAdapter):
    """Redirects to `location`, or is where it leads."""

    def __init__(self, location: str | None) -> None:
        super().__init__()
        self.location = location
        self.seen: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        self.seen.append(request)
        response = requests.Response()
        response.request, response.url = request, str(request.url)
        response.status_code = 307 if self.location else 200
        response.headers.update({"Location": self.location} if self.location else {})
        response._content = b""
        response.raw = requests.packages.urllib3.HTTPResponse()  # where requests looks for cookies
        return response

    def close(self) -> None:
        pass
