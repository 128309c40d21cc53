"""Tokens in files: named by the program or the environment, or in a pod's projected volume."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authsec import AuthenticationError, AuthSecClient, ConfigError, DelegationDenied, TokenFile
from authsec.clock import Clock
from authsec.credentials import ProjectedToken
from authsec.credentials.token_file import read_token
from authsec.keygen import write_key_pair
from fake_authority import refused
from hypothesis import given
from hypothesis import strategies as st
from workload_tokens import CLUSTER, ProjectedVolume, service_account_token

Make = Callable[..., AuthSecClient]


@pytest.fixture
def volume(tmp_path: Path, authority: Any) -> ProjectedVolume:
    """The volume of a pod that the Connect tab's manifest made."""
    made = ProjectedVolume(tmp_path / "authsec")
    made.write(service_account_token(authority.issuer))
    return made


def in_pod(volume: ProjectedVolume) -> ProjectedToken:
    return ProjectedToken(path=volume.path, automounted=volume.folder / "none")


def sent(authority: Any) -> str:
    header: str = authority.token_requests[-1].headers["Authorization"]
    return header.removeprefix("Bearer ")


def test_the_projected_token_proves_the_agent(volume: ProjectedVolume, make_client: Make, authority: Any) -> None:
    client = make_client(credential=in_pod(volume))
    assert client.get_delegation_token() in authority.tokens
    assert sent(authority) == volume.path.read_text()
    proof = client.authority.find_proof()
    assert proof is not None
    assert proof.source == f"token file {volume.path} (the pod's projected volume)"


def test_a_renewed_token_is_read_anew(volume: ProjectedVolume, make_client: Make, authority: Any) -> None:
    client = make_client(credential=in_pod(volume))
    client.get_token()
    first = sent(authority)
    volume.write(service_account_token(authority.issuer))
    client.get_token(force_refresh=True)
    assert sent(authority) == volume.path.read_text() != first


def test_a_reader_sees_the_old_token_or_the_new_one(volume: ProjectedVolume, make_client: Make, authority: Any) -> None:
    """The kubelet swaps a link; at no moment is the token not there, or half there."""
    authority_of_client = make_client(credential=in_pod(volume)).authority
    authority_of_client.issuer()
    tokens = [service_account_token(authority.issuer) for _ in range(50)]
    written = {volume.path.read_text(), *tokens}
    writer = threading.Thread(target=lambda: [volume.write(token) for token in tokens])
    writer.start()
    seen = set()
    while writer.is_alive():
        proof = authority_of_client.find_proof()
        assert proof is not None
        seen.add(proof.authorization.removeprefix("Bearer "))
    writer.join()
    assert seen <= written


def test_without_a_volume_it_is_not_ours_to_prove(tmp_path: Path, make_client: Make, authority: Any) -> None:
    source = ProjectedToken(path=tmp_path / "a" / "token", automounted=tmp_path / "b")
    assert make_client(credential=source).authority.find_proof() is None
    authority.next_answers = [refused(401, "attestation_required")]
    with pytest.raises(AuthenticationError) as caught:
        make_client(credential=source).get_token()
    assert str(caught.value).endswith(
        "On a laptop, run `authsec enrol`. This machine has no proof (the SDK looked for: "
        f"{tmp_path}/a/token (no such file)). Retrying will not help."
    )


def test_a_link_that_leads_nowhere_is_broken(volume: ProjectedVolume, make_client: Make, authority: Any) -> None:
    (volume.folder / "..data").unlink()
    assert f"There is no file {volume.path}" in broken(make_client, in_pod(volume))
    assert authority.token_requests == []


def test_a_name_that_cannot_be_looked_at_is_broken(tmp_path: Path, make_client: Make) -> None:
    path = tmp_path / ("x/" * 3000)
    for source in (ProjectedToken(path=path), TokenFile(path)):
        assert "cannot be read: File name too long" in broken(make_client, source)


# --- the file that the environment names --------------------------------------------------------------------------


def test_the_environment_names_the_token_file(
    tmp_path: Path, client: AuthSecClient, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    path.write_text(f"{service_account_token(authority.issuer)}\n")
    monkeypatch.setenv("AUTHSEC_WORKLOAD_TOKEN_FILE", str(path))
    monkeypatch.setenv("AUTHSEC_AGENT_KEY_FILE", "/no/such/file")  # the token is looked for first
    assert client.get_delegation_token() in authority.tokens
    assert sent(authority) == path.read_text().strip()
    proof = client.authority.find_proof()
    assert proof is not None
    assert proof.source == f"token file {path} (AUTHSEC_WORKLOAD_TOKEN_FILE)"


def test_a_key_that_was_named_counts_before_what_the_platform_offers(
    tmp_path: Path, client: AuthSecClient, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_key_pair(tmp_path / "agent.pem", "ed25519")
    monkeypatch.setenv("AUTHSEC_AGENT_KEY_FILE", str(tmp_path / "agent.pem"))
    monkeypatch.setenv("SPIFFE_ENDPOINT_SOCKET", "unix:///no/such/socket")
    proof = client.authority.find_proof()
    assert proof is not None
    assert proof.source.startswith("key file")


def test_an_explicit_token_file_says_where_it_looks(
    tmp_path: Path, make_client: Make, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    path.write_text(service_account_token(authority.issuer))
    client = make_client(credential=TokenFile(path))
    authority.next_answers = [refused(401, "attestation_invalid")]
    with pytest.raises(AuthenticationError) as caught:
        client.get_token()
    assert f"The proof came from: token file {path} (AuthSecClient(credential=…)). Check that" in str(caught.value)
    assert TokenFile(path).looked_at(client.authority.proof_request(0.0)) == f"the token file {path}"


def test_a_workload_that_is_another_one_hears_where_its_proof_came_from(
    volume: ProjectedVolume, make_client: Make, authority: Any
) -> None:
    authority.next_answers = [refused(403, "selectors_mismatch")]
    with pytest.raises(DelegationDenied, match=f"The proof came from: token file {volume.path}") as caught:
        make_client(credential=in_pod(volume)).get_token()
    assert (caught.value.reason, caught.value.status, caught.value.request_id) == ("selectors_mismatch", 403, "req-7")


# --- mine, but broken --------------------------------------------------------------------------------------------


def broken(make_client: Make, source: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        make_client(credential=source).get_delegation_token()
    assert caught.value.reason == "credential_broken"
    return str(caught.value)


def broken_content(content: bytes, tmp_path: Path, make_client: Make) -> str:
    path = tmp_path / "token"
    path.write_bytes(content)
    return broken(make_client, TokenFile(path))


@pytest.mark.parametrize("content", [b"", b"\n", b"  \n \n"])
def test_an_empty_file(content: bytes, tmp_path: Path, make_client: Make, authority: Any) -> None:
    assert "token is empty" in broken_content(content, tmp_path, make_client)
    assert authority.token_requests == []


@pytest.mark.parametrize(
    "content",
    [
        b"hunter2",
        b"a.b",
        b"a.b.c.d",
        b"..",
        b"a.\xff.c",
        b"a.bm8.c",  # base64url of what is no JSON
        b"a.W10.c",  # of a JSON array
        b"a.x.c",
        b"-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n",
        b"a.e30.c\na.e30.c\n",
        b"a.e30.c" + b"c" * 16_384,
    ],
    ids=range(11),
)
def test_a_file_that_holds_no_token(content: bytes, tmp_path: Path, make_client: Make, authority: Any) -> None:
    text = broken_content(content, tmp_path, make_client)
    assert "does not contain a token" in text
    assert "hunter2" not in text
    assert authority.token_requests == []


@given(content=st.binary(max_size=300) | st.from_regex(r"[\w.\s-]{0,200}", fullmatch=True).map(str.encode))
def test_whatever_a_file_holds_nothing_else_reaches_the_header(content: bytes, tmp_path_factory: Any) -> None:
    path = tmp_path_factory.mktemp("any") / "token"
    path.write_bytes(content)
    found = read_token(path, "AUTHSEC_WORKLOAD_TOKEN_FILE")
    assert isinstance(found, str) or re.fullmatch(r"[A-Za-z0-9._-]+", found.value)


def test_the_largest_token_that_is_sent(tmp_path: Path, make_client: Make, authority: Any) -> None:
    token = service_account_token(authority.issuer)
    path = tmp_path / "token"
    path.write_text(token + "A" * (16_384 - len(token)) + "\n")
    assert make_client(credential=TokenFile(path)).get_delegation_token() in authority.tokens


def test_a_file_that_is_none(tmp_path: Path, make_client: Make) -> None:
    assert f"{tmp_path} is not a file" in broken(make_client, TokenFile(tmp_path))
    os.mkfifo(tmp_path / "pipe")  # nobody writes to it: reading would wait for ever
    assert f"{tmp_path}/pipe is not a file" in broken(make_client, TokenFile(tmp_path / "pipe"))


def test_a_file_that_is_not_there(tmp_path: Path, make_client: Make) -> None:
    text = broken(make_client, TokenFile(tmp_path / "none"))
    assert text == f"There is no file {tmp_path}/none; is the path right, and is the volume mounted?"


@pytest.mark.parametrize("audience", [CLUSTER, [CLUSTER, "https://other.example"], None, 7])
def test_a_token_for_somebody_else_is_not_sent(
    audience: Any, tmp_path: Path, make_client: Make, authority: Any
) -> None:
    token = service_account_token("", aud=audience)
    text = broken_content(token.encode(), tmp_path, make_client)
    wanted = "(none)" if audience in (None, 7) else CLUSTER
    assert f"has the audience {wanted}" in text
    assert f'- serviceAccountToken: {{audience: "{authority.issuer}", expirationSeconds: 3600, path: token}}' in text
    assert "AUTHSEC_PROOF_AUDIENCE" in text
    assert authority.token_requests == []


def test_the_manifest_is_shown_to_those_who_have_a_pod(tmp_path: Path, make_client: Make) -> None:
    token = service_account_token("https://other.example", **{"kubernetes.io": None})
    assert "serviceAccountToken" not in broken_content(token.encode(), tmp_path, make_client)


def test_the_trusted_issuer_may_ask_for_another_audience(
    tmp_path: Path, make_client: Make, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "token"
    path.write_text(service_account_token(["authsec", "vault"]))
    monkeypatch.setenv("AUTHSEC_PROOF_AUDIENCE", "authsec")
    assert make_client(credential=TokenFile(path)).get_delegation_token() in authority.tokens
    assert [seen.path for seen in authority.seen] == ["/authsec/uflow/sdk/delegation-token"]  # no need to ask


@pytest.mark.parametrize("seconds", [-7200, 0, 7200])
def test_a_wrong_clock_stops_nobody(seconds: int, volume: ProjectedVolume, make_client: Make, authority: Any) -> None:
    client = make_client(credential=in_pod(volume), clock=Clock(wall=lambda: time.time() + seconds))
    assert client.get_delegation_token() in authority.tokens


def test_an_expired_token_is_named_once_the_authority_has_refused_it(
    volume: ProjectedVolume, make_client: Make, authority: Any
) -> None:
    volume.write(service_account_token(authority.issuer, exp=1_000_000))
    authority.next_answers = [refused(401, "attestation_invalid")]
    with pytest.raises(AuthenticationError, match=r"By this machine's clock the token expired \d+ min ago"):
        make_client(credential=in_pod(volume)).get_token()


@pytest.mark.parametrize("exp", [None, "soon", True, 4_000_000_000])
def test_a_token_that_does_not_say_is_not_called_expired(
    exp: Any, volume: ProjectedVolume, make_client: Make, authority: Any
) -> None:
    volume.write(service_account_token(authority.issuer, exp=exp))
    authority.next_answers = [refused(401, "attestation_invalid")]
    with pytest.raises(AuthenticationError) as caught:
        make_client(credential=in_pod(volume)).get_token()
    assert "expired" not in str(caught.value)
