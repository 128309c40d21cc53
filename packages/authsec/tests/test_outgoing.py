"""`requests_auth` and `httpx_auth`: a token for each request, and what follows a 401."""

from __future__ import annotations

import copy
import itertools
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from authsec import AuthSecClient, ConfigError, DelegationDenied
from authsec.clock import Clock
from authsec.outgoing.bearer import Bearer, Origin, named_origins, origin_of
from authsec.outgoing.httpx_auth import httpx_auth
from authsec.outgoing.requests_auth import RequestsAuth
from authsec.tokens import TokenRequest
from fake_authority import refused
from hypothesis import given
from hypothesis import strategies as st

from .fake_api import FakeApi, serving_api
from .speaking_http import SPEAKERS, Speaker

speakers = pytest.mark.parametrize("speaker", SPEAKERS, ids=lambda speaker: speaker.name)


@pytest.fixture
def ended() -> set[str]:
    """The tokens that the API does not accept any more."""
    return set()


@pytest.fixture
def api(ended: set[str]) -> Iterator[FakeApi]:
    with serving_api(lambda token: token not in ended) as serving:
        yield serving


# --- a token for each request ------------------------------------------------------------------------------------


@speakers
def test_each_request_carries_a_token_from_the_cache(
    speaker: Speaker, client: AuthSecClient, authority: Any, api: FakeApi
) -> None:
    auth = speaker.auth(client, allowed_origins=[api.url], scope="customers:read", resource="crm")
    assert [speaker.send(auth, f"{api.url}/customers")[0] for _ in range(3)] == [200] * 3
    assert len(authority.tokens) == 1
    assert api.tokens == authority.tokens * 3
    (asked,) = authority.token_requests
    assert (asked.query["scope"], asked.query["resource"]) == (["customers:read"], ["crm"])


@speakers
def test_an_agent_that_is_refused_sends_nothing(
    speaker: Speaker, client: AuthSecClient, authority: Any, api: FakeApi
) -> None:
    authority.next_answers = [refused(403, "client_disabled")]
    with pytest.raises(DelegationDenied) as caught:
        speaker.send(speaker.auth(client, allowed_origins=[api.url]), api.url)
    assert caught.value.reason == "client_disabled"
    assert api.seen == []


# --- 401 ---------------------------------------------------------------------------------------------------------


@speakers
@pytest.mark.parametrize("body", [None, b"a=1"], ids=["no body", "a body"])
def test_after_a_401_it_is_sent_once_more_with_another_token(
    speaker: Speaker, body: bytes | None, client: AuthSecClient, authority: Any, api: FakeApi, ended: set[str]
) -> None:
    auth = speaker.auth(client, allowed_origins=[api.url])
    ended.add(client.get_delegation_token())
    assert speaker.send(auth, f"{api.url}/customers", body) == (200, body or b"")
    assert api.tokens == authority.tokens
    assert len(authority.tokens) == 2
    assert {sent for _, _, sent in api.seen} == {body or b""}


@speakers
def test_a_streamed_body_is_sent_once_and_the_token_dropped_all_the_same(
    speaker: Speaker, client: AuthSecClient, authority: Any, api: FakeApi, ended: set[str]
) -> None:
    auth = speaker.auth(client, allowed_origins=[api.url])
    ended.add(client.get_delegation_token())
    assert speaker.send(auth, api.url, (b"a", b"b"))[0] == 401
    assert [body for _, _, body in api.seen] == [b"ab"]
    assert speaker.send(auth, api.url, (b"a", b"b")) == (200, b"ab")
    assert api.tokens == authority.tokens
    assert len(authority.tokens) == 2


@speakers
def test_a_403_changes_nothing(speaker: Speaker, client: AuthSecClient, authority: Any, api: FakeApi) -> None:
    api.status = 403
    auth = speaker.auth(client, allowed_origins=[api.url])
    assert [speaker.send(auth, api.url)[0] for _ in range(2)] == [403, 403]
    assert api.tokens == authority.tokens * 2
    assert len(authority.tokens) == 1


@speakers
def test_an_api_that_refuses_every_token_costs_the_authority_one_in_half_a_minute(
    speaker: Speaker, make_client: Any, authority: Any
) -> None:
    now = [1000.0]
    client = make_client(clock=Clock(monotonic=lambda: now[0]))
    with serving_api(lambda _: False) as api:
        auth = speaker.auth(client, allowed_origins=[api.url])
        assert [speaker.send(auth, api.url)[0] for _ in range(5)] == [401] * 5
        assert len(authority.tokens) == 2
        assert len(api.seen) == 6
        now[0] += 31
        assert speaker.send(auth, api.url)[0] == 401
        assert len(authority.tokens) == 3
        api.good = bool
        assert speaker.send(auth, api.url)[0] == 200
        api.good = lambda token: token != authority.tokens[2]  # at once, since the API has taken one in between
        assert speaker.send(auth, api.url)[0] == 200


@speakers
def test_no_request_is_sent_a_third_time(speaker: Speaker, client: AuthSecClient) -> None:
    """Half a minute passes between any two looks at the clock, so that each token that is refused is replaced."""
    with serving_api(lambda _: False) as api:
        origins = named_origins(api.url, ())
        clock = Clock(monotonic=itertools.count(0, 31).__next__)
        bearer = Bearer(client=client, origins=origins, wanted=TokenRequest.of(None, None), clock=clock)
        auth = RequestsAuth(bearer=bearer) if speaker.name == "requests" else httpx_auth(bearer)
        assert speaker.send(auth, api.url)[0] == 401
        assert len(set(api.tokens)) == len(api.tokens) == 2


@speakers
def test_each_token_that_ends_is_replaced(
    speaker: Speaker, client: AuthSecClient, authority: Any, api: FakeApi, ended: set[str]
) -> None:
    auth = speaker.auth(client, allowed_origins=[api.url])
    for _ in range(3):
        ended.add(client.get_delegation_token())
        assert speaker.send(auth, api.url)[0] == 200
    assert len(authority.tokens) == 4


@speakers
def test_an_agent_whose_authority_has_ended_hears_of_it(
    speaker: Speaker, client: AuthSecClient, authority: Any, api: FakeApi, ended: set[str]
) -> None:
    auth = speaker.auth(client, allowed_origins=[api.url])
    ended.add(client.get_delegation_token())
    authority.next_answers = [refused(410, "delegation_ended")]
    with pytest.raises(DelegationDenied) as caught:
        speaker.send(auth, api.url)
    assert caught.value.reason == "delegation_ended"


@pytest.mark.parametrize(
    "speaker",
    [SPEAKERS[0], *(pytest.param(each, marks=pytest.mark.soak) for each in SPEAKERS[1:])],
    ids=lambda each: each.name,
)
def test_thirty_401s_at_once_make_one_token(
    speaker: Speaker, client: AuthSecClient, authority: Any, api: FakeApi, ended: set[str]
) -> None:
    auth = speaker.auth(client, allowed_origins=[api.url])
    ended.add(client.get_delegation_token())
    api.together = threading.Barrier(30)  # each of them has the old token by then
    with ThreadPoolExecutor(30) as pool:
        statuses = list(pool.map(lambda _: speaker.send(auth, api.url)[0], range(30)))
    assert statuses == [200] * 30
    assert len(authority.tokens) == 2
    assert sorted(map(authority.tokens.index, api.tokens)) == [0] * 30 + [1] * 30


# --- what may be named -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "is empty"),
        (None, "is empty"),
        (["crm.example.com"], "Did you mean https://crm.example.com?"),
        (["https://crm.example.com/v1"], "Did you mean https://crm.example.com?"),
        (["https://bob:hunter2@crm.example.com"], "Did you mean https://crm.example.com?"),
        (["https://*.example.com"], "ildcards are not supported"),
        (["https://bücher.example"], "ASCII"),
        (["https://a.example\\@b.example"], "needs origins"),
        (["https://crm.example.com:99999"], "needs origins"),
        (["ftp://crm.example.com"], "needs origins"),
        (["http://crm.example.com"], "AUTHSEC_ALLOW_HTTP_HOSTS=crm.example.com"),
        ([None], "needs origins"),
    ],
)
def test_what_is_no_origin_is_refused(names: Any, said: str, client: AuthSecClient) -> None:
    for make in (client.requests_auth, client.httpx_auth):
        with pytest.raises(ConfigError) as caught:
            make(allowed_origins=names)
        assert caught.value.reason == "allowed_origins_invalid"
        assert said in str(caught.value)
        assert "hunter2" not in str(caught.value)


def test_scope_and_resource_are_read_at_once(client: AuthSecClient) -> None:
    for make in (client.requests_auth, client.httpx_auth):
        with pytest.raises(ConfigError, match="is not an action"):
            make(allowed_origins="https://crm.example.com", scope="everything")


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("https://crm.example.com", "https://CRM.example.com:443/v1?a=b#c"),
        ("HTTPS://crm.example.com:443/", "https://crm.example.com/"),
        ("https://crm.example.com:8443", "https://crm.example.com:8443/v1"),
        ("http://localhost:8000", "http://LOCALHOST:8000/"),
        ("http://[::1]:8000", "http://[::1]:8000/v1"),
        ("http://crm", "http://crm/v1"),
    ],
)
def test_the_same_origin_is_the_same_however_it_is_written(name: str, url: str) -> None:
    assert origin_of(url) in named_origins(name, ["crm"])


@pytest.mark.parametrize("url", ["https://a.example\\@b.example", "https://a.example:x", "https://[::1", "/v1", ""])
def test_an_address_that_can_be_read_in_two_ways_has_no_origin(url: str) -> None:
    assert origin_of(url) is None


def test_an_origin_is_shown_as_it_would_be_named() -> None:
    shown = [str(Origin.of("https", "crm.example.com", None)), str(Origin.of("http", "::1", 8000))]
    assert shown == ["https://crm.example.com", "http://[::1]:8000"]
    assert {str(origin) for origin in named_origins(shown, ())} == set(shown)


@given(st.text(alphabet="ab.:/@\\#?[]%e0 \t\n", max_size=20))
def test_no_address_is_taken_for_a_named_one_that_leads_elsewhere(rest: str) -> None:
    """Whatever stands behind the scheme: who is allowed must be the host that a URL parser finds."""
    origin = origin_of(f"https://{rest}")
    if origin == Origin("https", "a.b", 443):
        assert rest.partition("/")[0].partition("?")[0].partition("#")[0].rpartition("@")[2].strip() in {
            "a.b",
            "a.b:443",
        }


# --- as an object ------------------------------------------------------------------------------------------------


@speakers
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda auth: pickle.loads(pickle.dumps(auth))])  # noqa: S301 - of its own making
def test_a_copy_works_and_knows_no_token(
    copied: Any, speaker: Speaker, client: AuthSecClient, api: FakeApi, ended: set[str]
) -> None:
    auth = speaker.auth(client, allowed_origins=[api.url])
    ended.add(client.get_delegation_token())
    assert speaker.send(auth, api.url)[0] == 200
    told = pickle.dumps(auth)
    assert not any(token.encode() in told for token in api.tokens if token)
    assert speaker.send(copied(auth), api.url)[0] == 200


def test_the_sdk_needs_none_of_these_libraries() -> None:
    program = """
import sys
from authsec import AuthSecClient, ConfigError
client = AuthSecClient(base_url="http://127.0.0.1:9", client_id="3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88")
client.requests_auth(allowed_origins="https://crm.example.com")
print({"requests", "httpx", "httpx2"} & set(sys.modules))
sys.modules["httpx"] = None
print(client.httpx_auth(allowed_origins="https://crm.example.com"))
sys.modules["httpx2"] = None
from authsec.outgoing import httpx_auth
httpx_auth._kind.cache_clear()
try: client.httpx_auth(allowed_origins="https://crm.example.com")
except ConfigError as error: print(error.reason)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    none, one, neither = done.stdout.splitlines()
    assert (none, neither) == ("set()", "httpx_missing")
    assert one.startswith("httpx_auth(Bearer(client=AuthSecClient(")
