"""How an agent finds its proof, and what the proof is."""

from __future__ import annotations

import copy
import os
import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authsec import AuthenticationError, AuthSecClient, ConfigError, InvalidResponse, KeyFile, TokenFile, TransportError
from authsec.credentials import Proof, ProofRequest, default_sources
from authsec.jose import PrivateKey, parse_compact
from authsec.keygen import write_key_pair
from fake_authority import CLIENT_ID, Reply, broken_off, refused

Make = Callable[..., AuthSecClient]


@pytest.fixture
def key_file(tmp_path: Path, authority: Any) -> Path:
    """The key of an agent that the authority knows by it."""
    return known_key(tmp_path / "agent.pem", authority)


def known_key(path: Path, authority: Any, kind: str = "ed25519") -> Path:
    write_key_pair(path, kind)
    authority.agent_key = PrivateKey.from_pem(path.read_bytes()).public
    return path


def assertion_of(seen: Any) -> Any:
    return parse_compact(seen.headers["Authorization"].removeprefix("Bearer "))


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_key_file_proves_the_agent(kind: str, tmp_path: Path, make_client: Make, authority: Any) -> None:
    path = known_key(tmp_path / "agent.pem", authority, kind)
    assert make_client(credential=KeyFile(path)).get_delegation_token() in authority.tokens
    assertion = assertion_of(authority.token_requests[0])
    assert assertion.header == {
        "alg": "EdDSA" if kind == "ed25519" else "RS256",
        "typ": "client-authentication+jwt",
        "kid": authority.agent_key.thumbprint(),
    }
    assert set(assertion.claims) == {"iss", "sub", "aud", "jti", "iat", "exp"}
    assert assertion.claims["iss"] == assertion.claims["sub"] == CLIENT_ID
    assert assertion.claims["aud"] == authority.issuer
    assert assertion.claims["exp"] == assertion.claims["iat"] + 60
    assert len(assertion.claims["jti"]) == 22  # 128 bits in base64url


def test_the_issuer_is_asked_for_once(key_file: Path, make_client: Make, authority: Any) -> None:
    client = make_client(credential=KeyFile(key_file))
    client.get_token()
    client.get_token(force_refresh=True)
    paths = [seen.path.rpartition("/")[2] for seen in authority.seen]
    assert paths == ["oauth-authorization-server", "delegation-token", "delegation-token"]


def test_every_try_has_an_assertion_of_its_own(key_file: Path, make_client: Make, authority: Any) -> None:
    """An assertion is accepted once (jti): repeating it after a broken connection would be refused as a replay."""

    def use_up_and_break_off(seen: Any) -> Reply:
        assert authority.proof_refused(seen) is None
        return broken_off()

    authority.next_answers = [use_up_and_break_off, use_up_and_break_off]
    assert make_client(credential=KeyFile(key_file)).get_delegation_token() in authority.tokens
    assert len({assertion_of(seen).claims["jti"] for seen in authority.token_requests}) == 3


def test_a_pinned_issuer_is_not_asked_for(key_file: Path, make_client: Make, authority: Any) -> None:
    authority.documents["/authsec/.well-known/oauth-authorization-server"] = Reply(500)
    client = make_client(credential=KeyFile(key_file), issuer=authority.issuer)
    assert client.get_delegation_token() in authority.tokens


@pytest.mark.parametrize(
    "issuer",
    [
        7,
        "",
        "authsec",
        "https://",
        "https://[",
        "https://a.example?x",
        "https://a#x",
        "https://a.example:x",
        "https://a/$(id)",
        "https://a.example/ b",
        "https://a:99999",
    ],
)
def test_metadata_without_a_valid_issuer(issuer: Any, key_file: Path, make_client: Make, authority: Any) -> None:
    authority.documents["/authsec/.well-known/oauth-authorization-server"] = Reply(body={"issuer": issuer})
    with pytest.raises(InvalidResponse, match="has no valid issuer"):
        make_client(credential=KeyFile(key_file)).get_delegation_token()
    assert authority.token_requests == []


def test_an_authority_that_was_renamed_is_understood_after_one_refusal(
    key_file: Path, make_client: Make, authority: Any
) -> None:
    client = make_client(credential=KeyFile(key_file))
    client.get_token()
    authority.issuer = "https://new.example.com"
    with pytest.raises(AuthenticationError):
        client.get_token(force_refresh=True)
    assert client.get_token(force_refresh=True).value in authority.tokens


# --- where it is looked for --------------------------------------------------------------------------------------


def test_the_environment_names_the_key_file(
    key_file: Path, client: AuthSecClient, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTHSEC_AGENT_KEY_FILE", str(key_file))
    assert client.get_delegation_token() in authority.tokens
    proof = client.authority.find_proof()
    assert proof is not None
    assert proof.source == f"key file {key_file} (AUTHSEC_AGENT_KEY_FILE)"
    assert "Bearer" not in repr(proof)


@pytest.mark.parametrize("variable", ["XDG_CONFIG_HOME", "HOME"])
def test_the_key_file_is_found_by_the_id_of_the_agent(
    variable: str, tmp_path: Path, client: AuthSecClient, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv(variable, str(tmp_path))
    folder = tmp_path / ("" if variable == "XDG_CONFIG_HOME" else ".config") / "authsec" / "keys"
    folder.mkdir(parents=True)
    known_key(folder / f"{CLIENT_ID}.pem", authority)
    assert client.get_delegation_token() in authority.tokens


def test_places_that_cannot_be_looked_at_have_nothing(
    client: AuthSecClient, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where HOME is another user's: an unattested agent gets its token, another one the list of places."""
    monkeypatch.setenv("XDG_CONFIG_HOME", "/x" * 3000)
    assert client.get_delegation_token() in authority.tokens
    authority.next_answers = [refused(401, "attestation_required")]
    with pytest.raises(AuthenticationError, match=r"pem \(cannot be checked: File name too long\)"):
        client.get_token(force_refresh=True)
    monkeypatch.setenv("SPIFFE_ENDPOINT_SOCKET", f"unix://{'/x' * 3000}")
    with pytest.raises(TransportError, match="that this user can open the socket"):
        client.authority.find_proof()


def test_the_explicit_credential_counts_before_all_others(
    key_file: Path, make_client: Make, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTHSEC_AGENT_KEY_FILE", "/no/such/file")
    assert make_client(credential=KeyFile(key_file)).get_delegation_token() in authority.tokens


def test_without_any_proof_the_refusal_says_where_was_looked(
    key_file: Path, client: AuthSecClient, tmp_path: Path
) -> None:
    with pytest.raises(AuthenticationError) as caught:
        client.get_delegation_token()
    error = caught.value
    assert (error.reason, error.status, error.request_id) == ("attestation_required", 401, "req-7")
    assert not error.retryable
    text = str(error)
    assert "AUTHSEC_AGENT_KEY_FILE (not set)" in text
    assert f"{tmp_path}/config/authsec/keys/{CLIENT_ID}.pem (no such file)" in text
    _, _, looked_for = text.partition("(the SDK looked for: ")
    places = ("AUTHSEC_WORKLOAD_TOKEN_FILE", "AUTHSEC_AGENT_KEY_FILE", "SPIFFE_ENDPOINT_SOCKET", "ACTIONS_ID_TOKEN")
    assert re.findall("|".join(places), looked_for) == list(places)  # in this order, each once
    assert "/var/run/secrets/authsec/token (no such file" in text
    assert text.startswith("The authority requires this agent to authenticate. (request req-7) Set AUTHSEC_AGENT_KEY")
    assert text.endswith("). Retrying will not help.")


@pytest.mark.parametrize("source", [*default_sources(), KeyFile("/k.pem"), TokenFile("/t")], ids=repr)
def test_a_source_travels_with_its_agent(source: Any, make_client: Make) -> None:
    """Frameworks deep-copy what holds a client, and worker pools pickle it."""
    client = make_client(credential=source)
    for twin in (copy.deepcopy(client), pickle.loads(pickle.dumps(client))):  # noqa: S301 - our bytes
        assert twin._credential == source


def test_a_refused_proof_is_named(tmp_path: Path, key_file: Path, make_client: Make) -> None:
    other = tmp_path / "other.pem"
    write_key_pair(other, "ed25519")
    with pytest.raises(AuthenticationError, match="did not accept this agent's proof") as caught:
        make_client(credential=KeyFile(other)).get_delegation_token()
    assert caught.value.reason == "attestation_invalid"
    assert f"The proof came from: key file {other}" in str(caught.value)
    assert "In that case, unset AUTHSEC_AGENT_KEY_FILE" in str(caught.value)


def test_another_kind_of_source_can_be_given(make_client: Make, authority: Any) -> None:
    class Projected:
        """As somebody writes it for a platform that is not known here."""

        def __init__(self, token: str | None) -> None:
            self.token = token

        def proof(self, request: ProofRequest) -> Proof | None:
            assert request.client_id == CLIENT_ID
            return Proof(authorization=f"Bearer {self.token}", source="projected") if self.token else None

        def looked_at(self, request: ProofRequest) -> str:
            return f"the projected token of {request.client_id}\nMount it:\n    mount"

    make_client(credential=Projected("workload")).get_delegation_token()
    assert authority.seen[-1].headers["Authorization"] == "Bearer workload"
    authority.next_answers = [refused(401, "attestation_required")]
    with pytest.raises(AuthenticationError) as caught:
        make_client(credential=Projected(None)).get_delegation_token()
    assert f"(the SDK looked for: the projected token of {CLIENT_ID}). Retrying" in str(caught.value)
    assert str(caught.value).endswith("Retrying will not help.\nMount it:\n    mount")


# --- mine, but broken --------------------------------------------------------------------------------------------


def broken(make_client: Make, path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        make_client(credential=KeyFile(path)).get_delegation_token()
    assert caught.value.reason == "credential_broken"
    return str(caught.value)


def test_a_key_file_says_where_it_looks(make_client: Make) -> None:
    request = make_client().authority.proof_request(0.0)
    assert KeyFile("/etc/agent.pem").looked_at(request) == "the key file /etc/agent.pem"


def test_a_key_file_that_is_not_there(make_client: Make, tmp_path: Path, authority: Any) -> None:
    path = tmp_path / "none.pem"
    text = broken(make_client, path)
    assert f"There is no file {path}; is the path right?" in text
    assert "registered first" in text
    assert authority.token_requests == []  # what was meant as the proof is never skipped in silence


@pytest.mark.parametrize(
    "variable", ["AUTHSEC_AGENT_KEY_FILE", "AUTHSEC_WORKLOAD_TOKEN_FILE", "AUTHSEC_AGENT_SECRET_FILE"]
)
def test_a_file_that_is_not_there_is_told_with_the_variable_that_names_it(
    make_client: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    path = tmp_path / "none"
    monkeypatch.setenv(variable, str(path))
    with pytest.raises(ConfigError, match=f"There is no file {path}, which {variable} names; is the path right"):
        make_client().get_delegation_token()


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o644, 0o601])
def test_a_key_file_that_others_may_open(mode: int, make_client: Make, key_file: Path, authority: Any) -> None:
    key_file.chmod(mode)
    assert f"chmod 600 {key_file}" in broken(make_client, key_file)
    assert authority.token_requests == []
    key_file.chmod(0o400)
    assert make_client(credential=KeyFile(key_file)).get_delegation_token() in authority.tokens


def test_a_link_to_a_key_file_that_others_may_open(make_client: Make, key_file: Path, tmp_path: Path) -> None:
    key_file.chmod(0o644)
    link = tmp_path / "link.pem"
    link.symlink_to(key_file)
    assert "chmod 600" in broken(make_client, link)


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_file_that_holds_no_key(content: bytes, make_client: Make, tmp_path: Path) -> None:
    path = tmp_path / "agent.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    text = broken(make_client, path)
    assert f"The key file {path} cannot be used: " in text
    assert "AAAA" not in text


def test_the_public_half_instead_of_the_private_one(make_client: Make, key_file: Path) -> None:
    public = Path(f"{key_file}.pub")
    assert f"{public} has the public key" in broken(make_client, public)  # not: others may open it
    renamed = public.rename(public.with_name("renamed.pem"))
    assert f"{renamed} has the public key" in broken(make_client, renamed)


def test_a_public_key_of_another_format(make_client: Make, tmp_path: Path) -> None:
    path = tmp_path / "id_ed25519.pub"
    path.write_text("ssh-ed25519 AAAAC3Nz someone@example.com")
    assert f"{path} has the public key" in broken(make_client, path)


def test_a_folder_or_a_pipe_instead_of_a_file(make_client: Make, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)  # opened as a file is, it would be waited at for ever
    for path in (tmp_path, pipe):
        assert f"{path} is not a file: name the file" in broken(make_client, path)


def test_a_broken_key_file_of_the_environment_is_not_skipped(
    client: AuthSecClient, monkeypatch: pytest.MonkeyPatch, authority: Any
) -> None:
    monkeypatch.setenv("AUTHSEC_AGENT_KEY_FILE", "/no/such/file")
    with pytest.raises(ConfigError, match="/no/such/file"):
        client.get_delegation_token()
    assert authority.seen == []


def test_without_the_extra_a_key_file_says_what_is_missing(
    make_client: Make, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "authsec.jose", None)
    assert 'pip install "./packages/authsec[key,verify]"' in broken(make_client, key_file)
