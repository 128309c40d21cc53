"""The smoke test: what it says when all is well, and at each step that can fail."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authsec import AuthSecClient, AuthSecError, KeyFile
from authsec.clock import Clock
from authsec.jose import PrivateKey
from authsec.keygen import write_key_pair
from authsec.smoke import Smoke
from authsec.terminal import command_line, described, duration
from fake_authority import CLIENT_ID, Reply, refused

Make = Callable[..., AuthSecClient]


def report(client: AuthSecClient, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = Smoke(client).run()
    text = capsys.readouterr().out
    return status, re.sub(r"\d[\d.]* m?s\b", "<time>", text)


def test_all_is_well(make_client: Make, authority: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "agent.pem"
    write_key_pair(path, "ed25519")
    authority.agent_key = PrivateKey.from_pem(path.read_bytes()).public
    status, text = report(make_client(credential=KeyFile(path)), capsys)
    assert status == 0
    assert re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, in .*", "<when>", text) == (
        f"""
    authority           {authority.base_url}
    agent               {CLIENT_ID}

  ✓ server reached      issuer {authority.issuer}, answered in <time>
  ✓ proof found         key file {path} (AuthSecClient(credential=…))
  ✓ token received      in <time>
  ✓ signature verified  with the authority's published key
  ✓ claims              agent        spiffe://example.org/agent/{CLIENT_ID}
                        audience     authsec-api
                        actions      customers:read
                        roles        support
                        delegations  7a9b
                        attestation  key
  ✓ expires             <when>
  ✓ second call         from the cache in <time>, no request sent

  All is well: this agent can get tokens.

"""
    )


def test_an_unattested_agent_is_said_to_be_one(client: AuthSecClient, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = report(client, capsys)
    assert status == 0
    assert "  ! proof found         none; only an unattested agent needs no proof" in text
    assert "UNATTESTED: anybody who knows the client_id can get this token" in text


def test_no_token_is_shown(client: AuthSecClient, authority: Any, capsys: pytest.CaptureFixture[str]) -> None:
    Smoke(client).run()
    text = capsys.readouterr().out
    assert not any(part in text for token in authority.tokens for part in token.split("."))


def test_a_refusal_says_what_would_help(
    client: AuthSecClient, authority: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    authority.next_answers = [refused(410, "delegation_ended", "Ask an administrator for a new trust delegation.")]
    status, text = report(client, capsys)
    assert status == 1
    assert text.endswith(
        f"""  ✗ token received      delegation_ended

  The delegations of this agent have expired or were revoked. Ask an administrator for a new
  trust delegation.

  reason      delegation_ended (HTTP 410)
  request id  req-7
  retrying    will not help until something changes

  To check every possible cause:  {command_line("doctor")}

"""
    )


METADATA = "/authsec/.well-known/oauth-authorization-server"
JWKS = "/authsec/.well-known/jwks.json"


@pytest.mark.parametrize(
    ("path", "reply", "step", "said"),
    [
        (METADATA, Reply(200, b"<html>"), "server reached", "not the root of an AuthSec"),
        (METADATA, Reply(503), "server reached", "not like an AuthSec authority"),
        (METADATA, refused(503, "unavailable"), "server reached", "cannot issue tokens right now"),
        (JWKS, Reply(404), "signature verified", "not the root of an AuthSec"),
        (JWKS, Reply(body={"keys": "none"}), "signature verified", "key set is not a JWK Set"),
        (JWKS, Reply(body={"keys": []}), "signature verified", "key"),
    ],
)
def test_each_step_can_fail(
    path: str, reply: Reply, step: str, said: str, client: AuthSecClient, authority: Any, capsys: Any
) -> None:
    authority.documents[path] = reply
    status, text = report(client, capsys)
    assert status == 1
    assert f"✗ {step} " in text
    assert said in text


def test_a_broken_proof_says_how_to_mend_it(make_client: Make, tmp_path: Path, capsys: Any) -> None:
    status, text = report(make_client(credential=KeyFile(tmp_path / "none.pem")), capsys)
    assert status == 1
    assert "✗ proof found         credential_broken" in text
    assert f"There is no file {tmp_path}/none.pem;" in " ".join(text.split())


def test_a_forged_token_is_noticed(client: AuthSecClient, authority: Any, capsys: Any) -> None:
    other = PrivateKey.generate_ec()
    authority.documents[JWKS] = Reply(body={"keys": [{**other.public.to_jwk(), "kid": "k1"}]})
    status, text = report(client, capsys)
    assert status == 1
    assert "✗ signature verified" in text
    assert "HTTP" not in text, "it was found here"


def test_an_answer_that_names_no_audience(client: AuthSecClient, authority: Any, capsys: Any) -> None:
    authority.next_answers = [authority.grant(audience=None)]
    status, text = report(client, capsys)
    assert status == 1
    assert "✗ signature verified  audience_missing" in text


def test_a_second_call_that_goes_to_the_network_is_noticed(make_client: Make, authority: Any, capsys: Any) -> None:
    authority.life = 1
    clock = Clock(monotonic=itertools.count().__next__, wall=itertools.count(time.time()).__next__)
    status, text = report(make_client(clock=clock), capsys)
    assert status == 1
    assert "✗ second call         not_cached" in text


def test_without_the_extra(client: AuthSecClient, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "authsec.verifier", None)
    status, text = report(client, capsys)
    assert status == 1
    assert "✗ signature verified  extra_missing" in text
    assert '\n      pip install "./packages/authsec[key,verify]"\n' in text


def test_a_terminal_without_check_marks(authority: Any) -> None:
    settings = {"AUTHSEC_BASE_URL": authority.base_url, "AUTHSEC_AGENT_CLIENT_ID": CLIENT_ID}
    done = subprocess.run(
        [Path(sys.executable).with_name("authsec"), "smoke"],
        env={**settings, "PYTHONIOENCODING": "ascii", "PATH": ""},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (done.stdout.count("\n  ok "), done.stdout.count("\n  ! ")) == (6, 1)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.000021, "0.021 ms"),
        (0.0072, "7.2 ms"),
        (0.0999, "100 ms"),
        (0.25, "250 ms"),
        (1.25, "1.2 s"),
        (61, "1 min 1 s"),
        (3599.9, "1 h 0 min"),
        (86_399, "23 h 59 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_retry_advice() -> None:
    assert described(AuthSecError("No.", reason="x", retryable=True, retry_after=5)).endswith("may help in 5.0 s")
    assert described(AuthSecError("No.", reason="x", retryable=True)).endswith("may help")
