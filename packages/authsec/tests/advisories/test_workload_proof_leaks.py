"""The proof of a workload turns up in a log, a repr, an exception, a traceback or a URL.

An agent's own assertion is used once. A projected token, an SVID or the token of a job is good for as long as it lives,
for everybody who has it; and the token with which a job asks GitHub makes more of them, for any audience. Error
trackers record the local variables of every frame, so the frames are searched too.
"""

from __future__ import annotations

import copy
import gc
import logging
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest
from authsec import AuthSecClient, AuthSecError, TokenFile
from authsec.credentials import GitHubActions, ProjectedToken, SpiffeWorkloadApi
from fake_authority import FakeAuthority, Reply, broken_off, refused
from workload_tokens import ProjectedVolume, github_token, service_account_token

REQUEST_TOKEN = "canary-request-token"


def everything_about(error: BaseException) -> str:
    """As an error tracker sees it: text, chain, and the locals of every frame."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True, compact=False)
    return "".join(told.format()) + repr(error) + repr(error.__dict__) + repr(error.__context__)


def told_by(client: AuthSecClient) -> str:
    """What is to be learned from the failure to find a proof; caught here, where no local holds one."""
    with pytest.raises(AuthSecError) as caught:
        client.authority.find_proof()
    return everything_about(caught.value)


def parts_of(*tokens: str) -> list[str]:
    """Payload and signature; a header is the same for all tokens of an issuer."""
    return [part for token in tokens for part in token.split(".")[1:]]


def everything_printable() -> str:
    """The repr of every object of ours that lives."""
    ours = [thing for thing in gc.get_objects() if str(type(thing).__module__).startswith("authsec.")]
    return "".join(map(repr, ours))


@pytest.fixture
def volume(tmp_path: Path, authority: Any) -> ProjectedVolume:
    made = ProjectedVolume(tmp_path / "authsec")
    made.write(service_account_token(authority.issuer))
    return made


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Any:
    running = FakeAuthority()
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{running.base_url}/authsec/uflow/sdk/delegation-token")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", REQUEST_TOKEN)
    yield running
    running.close()


def test_a_projected_token_is_printed_nowhere(
    volume: ProjectedVolume, make_client: Any, authority: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client: AuthSecClient = make_client(credential=ProjectedToken(path=volume.path))
    client.get_token()
    proof = client.authority.find_proof()
    told = caplog.text + everything_printable() + repr(proof)
    told += "".join(f"{seen.path}{seen.query}" for seen in authority.seen)
    copies = pickle.dumps(client) + repr(copy.deepcopy(client).__dict__).encode()
    for part in parts_of(volume.path.read_text()):
        assert part not in told
        assert part.encode() not in copies


@pytest.mark.parametrize(
    "reply",
    [
        refused(401, "attestation_invalid"),
        refused(403, "selectors_mismatch"),
        broken_off(),
        lambda seen: Reply(401, {"error": "No.", "reason": "attestation_invalid", "details": str(seen.headers)}),
        lambda seen: Reply(307, headers={"Location": f"/{seen.headers['Authorization']}"}),
    ],
    ids=["refused", "another workload", "aborted", "echoed", "redirected"],
)
def test_no_refusal_of_a_projected_token_holds_it(
    reply: Any, volume: ProjectedVolume, make_client: Any, authority: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    authority.next_answers = [reply] * 3
    with pytest.raises(AuthSecError) as caught:
        make_client(credential=ProjectedToken(path=volume.path)).get_token()
    told = everything_about(caught.value) + caplog.text
    assert not any(part in told for part in parts_of(volume.path.read_text()))


def test_no_complaint_about_a_token_holds_it(tmp_path: Path, make_client: Any) -> None:
    """Nor do the frames of whoever looks for the proof without asking for a token, as `authsec smoke` does."""
    path = tmp_path / "token"
    token = service_account_token("https://other.example")
    for content in (token, f"{token}\n{token}", f"{token}~"):
        path.write_text(content)
        told = told_by(make_client(credential=TokenFile(path)))
        assert not any(part in told for part in parts_of(token))


@pytest.mark.parametrize(
    "failure",
    [
        Reply(200, {"value": f"{github_token('x')}~"}),
        lambda seen: Reply(401, {"message": seen.headers["Authorization"]}),
        lambda seen: Reply(500, {"message": seen.headers["Authorization"]}),
        broken_off(),
        Reply(200, b"x" * 70_000),
    ],
    ids=["no token", "echoed", "later", "aborted", "too large"],
)
def test_the_token_that_asks_github_is_in_no_exception(
    failure: Any, github: Any, make_client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    github.next_answers = [failure]
    told = told_by(make_client(credential=GitHubActions())) + caplog.text
    assert REQUEST_TOKEN not in told
    assert github_token("x").split(".")[1][:40] not in told
    assert github.seen[0].headers["Authorization"] == f"Bearer {REQUEST_TOKEN}"
    assert not any(REQUEST_TOKEN in f"{seen.path}{seen.query}" for seen in github.seen)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HTTPS_PROXY", "socks5://proxy.example"),
        ("ACTIONS_ID_TOKEN_REQUEST_URL", "http://pipelines.example"),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", f"{REQUEST_TOKEN}\nX: y"),
    ],
)
def test_nor_when_it_is_not_even_sent(
    variable: str, value: str, make_client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", "https://pipelines.example/idtoken")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", REQUEST_TOKEN)
    monkeypatch.setenv(variable, value)
    assert REQUEST_TOKEN not in told_by(make_client(credential=GitHubActions()))


def test_an_svid_is_in_no_exception(make_client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the second process says, be it an SVID in a form that is none, or a traceback."""
    token = service_account_token("x")
    interpreter = tmp_path / "python"
    (tmp_path / "socket").touch()
    monkeypatch.setattr("sys.executable", str(interpreter))
    for said in (f'{{"token": "{token}~"}}', token, f'{{"failed": "{token}"}}', f'{{"token": ["{token}"]}}'):
        interpreter.write_text(f"#!/bin/sh\ncat <<'EOF'\n{said}\nEOF\n")
        interpreter.chmod(0o700)
        told = told_by(make_client(credential=SpiffeWorkloadApi(socket=f"unix:{tmp_path}/socket")))
        assert not any(part in told for part in parts_of(token))
