"""The token, or the proof that gets it, turns up in a log, a repr, an exception or a traceback.

Error trackers record the local variables of every frame, frameworks send tracebacks to models, and people paste logs
into tickets. Whoever reads one of these could then call the API as the agent. So everything that can be printed is
searched here for every token and every proof that the authority has seen, while all goes well and while all fails.
"""

from __future__ import annotations

import gc
import logging
import traceback
from pathlib import Path
from typing import Any

import pytest
from authsec import AuthSecClient, AuthSecConfig, AuthSecError, KeyFile
from authsec.jose import PrivateKey
from authsec.keygen import write_key_pair
from fake_authority import Reply, Seen, broken_off, refused


@pytest.fixture
def proved(authority: Any, make_client: Any, tmp_path: Path) -> AuthSecClient:
    """A client that proves itself with a key."""
    path = tmp_path / "agent.pem"
    write_key_pair(path, "ed25519")
    authority.agent_key = PrivateKey.from_pem(path.read_bytes()).public
    client: AuthSecClient = make_client(credential=KeyFile(path))
    return client


def secrets_of(authority: Any) -> list[str]:
    """Every part of a token or proof that is longer than a common header."""
    proofs = [seen.headers["Authorization"].split()[-1] for seen in authority.seen if "Authorization" in seen.headers]
    return [part for value in [*authority.tokens, *proofs] for part in value.split(".")[1:]]


def everything_about(error: BaseException) -> str:
    """As an error tracker sees it: text, chain, and the locals of every frame."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True, compact=False)
    return "".join(told.format()) + repr(error) + repr(error.__dict__) + repr(error.__context__)


def echo(seen: Seen) -> Reply:
    """An authority (or something before it) that quotes the request's proof in its refusal."""
    proof = seen.headers["Authorization"]
    body = {"error": proof, "reason": "attestation_invalid", "details": f"Not valid: {proof}", "request_id": proof}
    return Reply(401, body)


def quote_token(authority: Any) -> Any:
    """A 200 that cannot be used, and has a token in it."""

    def run(seen: Seen) -> Reply:
        return Reply(body=authority.grant(seen).body | {"expires_in": -1})

    return run


FAILURES: dict[str, Any] = {
    "refused": lambda _: refused(403, "client_disabled"),
    "unreachable": lambda _: broken_off(),
    "an echo of the proof": lambda _: echo,
    "a token in a bad answer": quote_token,
    "a token in no JSON": lambda authority: Reply(200, authority.grant().body["token"].encode()),
    "a token in a redirect": lambda authority: Reply(
        302, headers={"Location": f"/?t={authority.grant().body['token']}"}
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_no_exception_holds_a_secret(
    failure: str, proved: AuthSecClient, authority: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    authority.next_answers = [FAILURES[failure](authority)] * 3
    with pytest.raises(AuthSecError) as caught:
        proved.get_delegation_token()
    told = everything_about(caught.value) + caplog.text
    assert secrets_of(authority)
    assert not any(secret in told for secret in secrets_of(authority))


def test_no_log_and_no_repr_holds_a_secret(
    proved: AuthSecClient, authority: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = proved.get_token()
    proved.get_token(scope="customers:read", force_refresh=True)
    proved.invalidate(token)
    gc.collect()  # An earlier test may have left an object whose constructor raised, without a repr.
    ours = [thing for thing in gc.get_objects() if str(type(thing).__module__).startswith("authsec.")]
    told = caplog.text + "".join(map(repr, ours))
    assert len(secrets_of(authority)) == 8
    assert not any(secret in told for secret in secrets_of(authority))


def test_no_url_holds_a_secret(proved: AuthSecClient, authority: Any) -> None:
    proved.get_token()
    urls = "".join(f"{seen.path}{seen.query}" for seen in authority.seen)
    assert not any(secret in urls for secret in secrets_of(authority))


def test_a_password_in_the_address_is_not_repeated() -> None:
    with pytest.raises(AuthSecError) as caught:
        AuthSecConfig(base_url="https://bob:hunter2@authsec.example.com", client_id="x")
    assert "hunter2" not in str(caught.value) + repr(caught.value)


@pytest.mark.parametrize("problem", ["open to others", "damaged", "nobody says what the authority is called"])
def test_no_frame_holds_the_private_key(problem: str, proved: AuthSecClient, authority: Any, tmp_path: Path) -> None:
    path = tmp_path / "agent.pem"
    if problem == "open to others":
        path.chmod(0o644)
    elif problem == "damaged":
        path.write_text(f"{path.read_text()}{path.read_text()}")
    else:
        authority.documents["/authsec/.well-known/oauth-authorization-server"] = Reply(body={})
    with pytest.raises(AuthSecError) as caught:
        proved.authority.find_proof()
    told = everything_about(caught.value)
    assert path.read_text().splitlines()[1] not in told
    assert authority.token_requests == []
