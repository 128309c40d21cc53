"""`authsec enrol` as a person types it: a key on this machine, and what stands in its way."""

from __future__ import annotations

import json
import logging
import os
import re
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from authsec import AuthenticationError, AuthSecClient, cli
from authsec.enrolment_code import hashed, read_code
from authsec.jose import PrivateKey, parse_compact
from click.testing import CliRunner, Result
from fake_authority import CLIENT_ID, ENROL_PATH, FakeAuthority, Reply, Seen, broken_off, refused

CODE = "K3CZ-051F-1MX6-EY6X-F9G4-TPJS-04XB-7JRE"


@pytest.fixture
def here(authority: FakeAuthority, monkeypatch: pytest.MonkeyPatch) -> FakeAuthority:
    """The authority that this machine knows."""
    monkeypatch.setenv("AUTHSEC_BASE_URL", authority.base_url)
    monkeypatch.setenv("AUTHSEC_AGENT_CLIENT_ID", CLIENT_ID)
    return authority


@pytest.fixture
def key_file() -> Path:
    """Where the agent's key is looked for."""
    return Path(os.environ["XDG_CONFIG_HOME"], "authsec", "keys", f"{CLIENT_ID}.pem")


def enrol(*words: str, typed: str = "") -> Result:
    group = cli.Script("authsec", commands=dict(cli.commands.commands))
    return CliRunner().invoke(group, ["enrol", *words], input=typed)


def asked(authority: FakeAuthority) -> list[Seen]:
    return [seen for seen in authority.seen if seen.path == ENROL_PATH]


def test_the_key_stays_here_and_the_agent_finds_it(here: FakeAuthority, key_file: Path) -> None:
    result = enrol(CODE, "--machine", "ada-laptop")
    assert result.exit_code == 0, result.output
    assert "as Support" in result.output
    assert str(key_file) in result.output
    assert "authsec smoke" in result.output
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert [each.name for each in key_file.parent.iterdir()] == [key_file.name]
    (seen,) = asked(here)
    sent = json.loads(seen.body)
    assert sent.keys() == {"client_id", "code", "public_key", "possession", "machine"}
    assert (sent["code"], sent["machine"]) == (CODE.replace("-", ""), "ada-laptop")
    assert b"PRIVATE" not in seen.body
    shown = parse_compact(sent["possession"])
    assert shown.header["typ"] == "authsec-enrolment+jwt"
    assert shown.claims["code_sha256"] == hashed(read_code(CODE) or "")
    assert AuthSecClient().get_delegation_token()


def test_without_a_code_and_a_terminal_it_says_how_to_give_the_code(here: FakeAuthority) -> None:
    result = enrol()
    assert (result.exit_code, asked(here)) == (2, [])
    assert "No code was typed. Pass the code: authsec enrol CODE" in result.stderr


def test_enrolling_again_replaces_the_key_once_the_new_one_counts(here: FakeAuthority, key_file: Path) -> None:
    enrol(CODE)
    first = key_file.read_bytes()
    here.next_answers = [refused(403, "enrolment_refused", "It was used.")]
    assert enrol(CODE).exit_code == 1
    assert key_file.read_bytes() == first
    assert enrol(CODE).exit_code == 0
    assert key_file.read_bytes() != first
    assert [each.name for each in key_file.parent.iterdir()] == [key_file.name]


def test_it_is_said_when_the_new_key_ends_before_the_one_that_it_replaces(here: FakeAuthority) -> None:
    assert "ends earlier" not in enrol(CODE).output
    assert "ends earlier" not in enrol(CODE).output, "it ends as late"
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds")
    here.next_answers = [lambda seen: here.enrol(seen, expires_at=soon)]
    assert re.search(
        r"! ends earlier +the replaced key was enrolled until \d{4}-\d\d-\d\d ",
        enrol(CODE).output,
    )
    assert "ends earlier" not in enrol(CODE).output


def test_a_key_that_was_registered_by_hand_is_not_lost(here: FakeAuthority, key_file: Path) -> None:
    key_file.parent.mkdir(parents=True)
    key_file.write_bytes(by_hand := PrivateKey.generate_ed25519().to_pem())
    result = enrol(CODE)
    assert (result.exit_code, "--replace" in result.stderr) == (1, True)
    assert key_file.read_bytes() == by_hand
    assert asked(here) == [], "the code is not used up"
    assert enrol(CODE, "--replace").exit_code == 0
    assert key_file.read_bytes() != by_hand


def expired(authority: FakeAuthority) -> list[Reply | Callable[[Seen], Reply]]:
    return [lambda seen: authority.enrol(seen, expires_at="2020-01-01T00:00:00Z")]


def test_when_it_is_over_the_refusal_says_what_to_do(here: FakeAuthority) -> None:
    here.next_answers = expired(here)
    assert enrol(CODE).exit_code == 0
    here.agent_key = PrivateKey.generate_ed25519().public
    with pytest.raises(
        AuthenticationError, match=r"until 2020-01-01 00:00 UTC. This time has passed.* create a new code"
    ):
        AuthSecClient().get_delegation_token()


ANSWERS: list[tuple[Reply, str, str]] = [
    (refused(403, "enrolment_refused", "Ask for a new one."), "enrolment_refused", "did not accept this code. Ask for"),
    (refused(400, "invalid_request", "Check the machine's clock."), "invalid_request", "clock"),
    (refused(409, "conflict", "Remove one first."), "conflict", "Remove one first."),
    (refused(429, "rate_limited", retry_after="7"), "rate_limited", "may help in 7"),
    (refused(503, "unavailable", retry_after="1"), "unavailable", "may help"),
    (Reply(404, b"not here"), "invalid_response", "not the root of an AuthSec authority"),
    (Reply(302, b"", {"Location": "https://evil.example/x"}), "redirected", "Redirects are not followed"),
    (Reply(201, b"[]"), "invalid_response", "AuthSec authority"),
    (Reply(201, {"client_id": CLIENT_ID, "name": "x", "thumbprint": "another"}), "invalid_response", "AuthSec"),
    (broken_off(), "connection_lost", "The code may already have been used"),
]


@pytest.mark.parametrize(
    ("answer", "reason", "said"), ANSWERS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_what_the_authority_may_say_instead(
    here: FakeAuthority, key_file: Path, answer: Reply, reason: str, said: str
) -> None:
    here.next_answers = [answer]
    result = enrol(CODE)
    assert result.exit_code == (5 if reason in {"rate_limited", "unavailable", "connection_lost"} else 1)
    text = " ".join(result.stderr.split())
    assert f"reason {reason}" in text
    assert said in text
    assert CODE.replace("-", "") not in result.output
    assert list(key_file.parent.iterdir()) == [], "no half-made key is left"


@pytest.mark.parametrize("code", ["", "0000", "https://authsec.example.com/console/enrol", CODE + "U"])
def test_what_is_no_code_is_sent_nowhere(here: FakeAuthority, code: str) -> None:
    result = enrol(*([code] if code else []), typed="nonsense\n")
    assert (result.exit_code, "code_malformed" in result.stderr) == (1, True)
    assert here.seen == []


def test_without_a_code_it_is_asked_for(here: FakeAuthority) -> None:
    result = enrol(typed=f"{CODE}\n")
    assert (result.exit_code, len(asked(here))) == (0, 1)


def test_where_no_key_can_be_kept_the_code_is_not_used(here: FakeAuthority, key_file: Path) -> None:
    key_file.parents[1].parent.mkdir(parents=True, exist_ok=True)
    key_file.parents[1].write_text("in the way")
    result = enrol(CODE)
    assert (result.exit_code, "file_not_" in result.stderr) == (1, True)
    assert asked(here) == []


def test_a_proof_that_comes_before_it_is_named(
    here: FakeAuthority, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = tmp_path / "other.pem"
    other.write_bytes(PrivateKey.generate_ed25519().to_pem())
    other.chmod(0o600)
    monkeypatch.setenv("AUTHSEC_AGENT_KEY_FILE", str(other))
    assert f"key file {other} (AUTHSEC_AGENT_KEY_FILE)" in enrol(CODE).output
    monkeypatch.setenv("AUTHSEC_AGENT_KEY_FILE", str(tmp_path / "none.pem"))
    assert "There is no file" in enrol(CODE).output


def test_nothing_is_logged_of_the_code_or_the_key(here: FakeAuthority, caplog: Any, key_file: Path) -> None:
    caplog.set_level(logging.DEBUG)
    result = enrol(CODE)
    secret = key_file.read_text().splitlines()[-2]
    for text in (caplog.text, result.output):
        assert CODE not in text
        assert CODE.replace("-", "") not in text
        assert secret not in text
