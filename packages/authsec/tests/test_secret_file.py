"""A client secret in a file, which the agent sends where it has no other proof."""

from __future__ import annotations

import os
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authsec import AuthenticationError, AuthSecClient, ConfigError
from authsec.client_secret import text_of
from authsec.credentials import SecretFile
from authsec.keygen import write_key_pair
from fake_authority import refused

Make = Callable[..., AuthSecClient]
SECRET, OTHER = text_of(b"\1" * 32), text_of(b"\2" * 32)


def write(path: Path, content: str = f"{SECRET}\n", mode: int = 0o600) -> Path:
    path.write_text(content)
    path.chmod(mode)
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "agent-secret")


def sent(authority: Any) -> str:
    scheme, _, credential = authority.token_requests[-1].headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    return b64decode(credential, validate=True).decode()


def test_the_secret_goes_to_the_authority_with_the_clients_id(file: Path, make_client: Make, authority: Any) -> None:
    client = make_client(credential=SecretFile(file))
    assert client.get_delegation_token() in authority.tokens
    assert sent(authority) == f"{client.config.client_id}:{SECRET}"
    proof = client.authority.find_proof()
    assert proof is not None
    assert proof.source == f"secret file {file} (AuthSecClient(credential=…))"


def test_a_rotated_secret_is_read_anew(file: Path, make_client: Make, authority: Any) -> None:
    client = make_client(credential=SecretFile(file))
    client.get_token()
    write(file, OTHER)
    client.get_token(force_refresh=True)
    assert sent(authority).endswith(OTHER)


def test_it_is_the_last_that_is_looked_for(
    file: Path, tmp_path: Path, client: AuthSecClient, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTHSEC_AGENT_SECRET_FILE", str(file))
    client.get_token()
    assert sent(authority).endswith(SECRET)
    write_key_pair(tmp_path / "agent-key.pem", "ed25519")
    monkeypatch.setenv("AUTHSEC_AGENT_KEY_FILE", str(tmp_path / "agent-key.pem"))
    client.get_token(force_refresh=True)
    assert authority.token_requests[-1].headers["Authorization"].startswith("Bearer ")


@pytest.mark.parametrize(
    "content",
    ["", "\n", SECRET[:-1], f"{SECRET}x", SECRET.lower(), f"{SECRET}\n{OTHER}", f"id:{SECRET}", "hunter2", "x" * 9999],
    ids=["empty", "a line", "cut short", "too long", "lower case", "two", "with the id", "another", "large"],
)
def test_what_is_no_secret_stops_and_is_not_quoted(
    content: str, tmp_path: Path, make_client: Make, authority: Any
) -> None:
    file = write(tmp_path / "agent-secret", content)
    with pytest.raises(ConfigError, match="does not contain a client secret") as caught:
        make_client(credential=SecretFile(file)).get_token()
    assert caught.value.reason == "credential_broken"
    assert content.strip()[:7] not in str(caught.value).replace("authsec_cs_", "") or not content.strip()
    assert authority.seen == []


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX's")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o777])
def test_a_file_that_others_may_open_proves_nothing(mode: int, tmp_path: Path, make_client: Make) -> None:
    file = write(tmp_path / "agent-secret", mode=mode)
    with pytest.raises(ConfigError, match=f"other users of this machine.*\n    chmod 600 {file}"):
        make_client(credential=SecretFile(file)).get_token()


def test_a_file_that_is_none_stops(tmp_path: Path, make_client: Make, authority: Any) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, why in ((tmp_path / "absent", "no file"), (tmp_path, "not a file"), (tmp_path / "pipe", "not a file")):
        with pytest.raises(ConfigError, match=why):
            make_client(credential=SecretFile(path)).get_token()
    assert authority.seen == []


def test_whoever_is_refused_hears_where_the_secret_came_from(file: Path, make_client: Make, authority: Any) -> None:
    authority.next_answers = [refused(401, "attestation_invalid")]
    with pytest.raises(AuthenticationError, match="that the secret was not rotated") as caught:
        make_client(credential=SecretFile(file)).get_token()
    assert str(file) in str(caught.value)
