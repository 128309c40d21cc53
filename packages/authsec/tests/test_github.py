"""The token of a job of GitHub Actions as the proof, asked for over real HTTP on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from authsec import AuthenticationError, AuthSecClient, ConfigError, TransportError
from authsec.jose import parse_compact
from fake_authority import FakeAuthority, Reply, broken_off, hang, refused
from long_runs import some_of
from workload_tokens import github_token

Make = Callable[..., AuthSecClient]
PATH = "/00000000/idtoken"
REQUEST_TOKEN = "eyJ0canary.request.token"


class GitHub(FakeAuthority):
    """Where a job asks: `…/idtoken?api-version=2.0&audience=…`, with the job's request token."""

    def answer(self, seen: Any) -> Reply:
        if self.next_answers:
            return super().answer(type(seen)("/authsec/uflow/sdk/delegation-token", seen.query, seen.headers))
        assert seen.path == PATH
        assert seen.headers["Authorization"] == f"Bearer {REQUEST_TOKEN}"
        (audience,) = seen.query["audience"]
        return Reply(body={"count": 1, "value": github_token(audience)})


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    running = GitHub()
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{running.base_url}{PATH}?api-version=2.0")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", REQUEST_TOKEN)
    yield running
    running.close()


def test_the_job_proves_the_agent(github: GitHub, client: AuthSecClient, authority: Any) -> None:
    assert client.get_delegation_token() in authority.tokens
    assert github.seen[0].query == {"api-version": ["2.0"], "audience": [authority.issuer]}
    token = parse_compact(authority.token_requests[0].headers["Authorization"].removeprefix("Bearer "))
    assert token.claims["repository_id"] == "74"
    assert token.claims["aud"] == authority.issuer
    proof = client.authority.find_proof()
    assert proof is not None
    assert proof.source == "the job's token of GitHub Actions"


def test_an_address_without_a_query(
    github: GitHub, client: AuthSecClient, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{github.base_url}{PATH}")
    client.get_token()
    assert github.seen[0].query == {"audience": [authority.issuer]}


def test_the_audience_cannot_add_to_the_query(github: GitHub, make_client: Make) -> None:
    make_client(proof_audience="a&audience=https://vault.example#?").get_token()
    assert github.seen[0].query["audience"] == ["a&audience=https://vault.example#?"]


def test_a_refused_job_is_named(github: GitHub, client: AuthSecClient, authority: Any) -> None:
    authority.next_answers = [refused(401, "attestation_invalid")]
    with pytest.raises(AuthenticationError, match=r"the job's token of GitHub Actions.*this repository, ref and env"):
        client.get_token()


def test_a_job_that_may_not_ask_hears_what_it_needs(
    client: AuthSecClient, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    authority.next_answers = [refused(401, "attestation_required")]
    with pytest.raises(AuthenticationError) as caught:
        client.get_token()
    assert "GitHub Actions (this job is not allowed to request a token)" in str(caught.value)
    assert "Retrying will not help.\nThe job needs, in its workflow:\n    permissions:\n      id-token: write" in str(
        caught.value
    )


def failure(client: AuthSecClient, kind: type[Exception]) -> Any:
    with pytest.raises(kind) as caught:
        client.get_token()
    assert "canary" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, {"value": ""}),
        Reply(200, {"value": 7}),
        Reply(200, {"value": "canary"}),
        Reply(200, {"value": "a.e30.c\r\nX-Canary: 1"}),
        Reply(200, {"token": "a.e30.c"}),
        Reply(200, b"canary"),
        Reply(200, b'["canary"]'),
        Reply(401, {"value": "a.e30.c"}),
        Reply(403, b"canary"),
        Reply(302, headers={"Location": "https://canary.example"}),
    ],
)
def test_what_is_no_token_is_broken(reply: Reply, github: GitHub, client: AuthSecClient, authority: Any) -> None:
    github.next_answers = [reply]
    error = failure(client, ConfigError)
    assert error.reason == "credential_broken"
    assert f"GitHub issued no token to this job (status {reply.status})." in str(error)
    assert "id-token: write" in str(error)
    assert authority.token_requests == []


@pytest.mark.parametrize(
    "reply",
    some_of([Reply(500), Reply(503), Reply(429), broken_off(), Reply(200, b"x" * 70_000)]),
    ids=["500", "503", "429", "aborted", "too large"],
)
def test_what_may_be_otherwise_soon_is_tried_again(
    reply: Reply, github: GitHub, client: AuthSecClient, authority: Any
) -> None:
    github.next_answers = [reply]
    assert client.get_delegation_token() in authority.tokens
    github.next_answers = [reply] * 3
    with pytest.raises(TransportError, match="GitHub") as caught:
        client.get_token(force_refresh=True)
    assert caught.value.retryable


def test_silence_costs_a_bounded_time(github: GitHub, make_client: Make) -> None:
    github.next_answers = [hang(github)]
    error = failure(make_client(timeout=0.5), TransportError)
    assert (error.reason, error.retryable) == ("timeout", True)


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("", REQUEST_TOKEN),
        ("https://pipelines.example/canary", ""),
        ("http://pipelines.example/canary", REQUEST_TOKEN),
        ("https://user:canary@pipelines.example/", REQUEST_TOKEN),
        ("https://[canary/", REQUEST_TOKEN),
        ("https:///canary", REQUEST_TOKEN),
        ("https://pipelines.example/#canary", REQUEST_TOKEN),
        ("https://pipelines.example/ca nary", REQUEST_TOKEN),
        ("file:///canary", REQUEST_TOKEN),
        ("https://pipelines.example/", "canary\r\nX-Canary: 1"),
        ("https://pipelines.example/", "canäry"),
    ],
)
def test_settings_that_are_not_of_github(
    url: str, token: str, client: AuthSecClient, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", url)
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", token)
    error = failure(client, ConfigError)
    assert error.reason == "credential_broken"
    assert "both have the values that GitHub Actions sets" in str(error)
    assert authority.seen == []


def test_a_proxy_that_cannot_be_used_is_said_so(
    client: AuthSecClient, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "https://pipelines.example/idtoken")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", REQUEST_TOKEN)
    monkeypatch.setenv("HTTPS_PROXY", "socks5://127.0.0.1:1")
    assert failure(client, ConfigError).reason == "proxy_invalid"
