"""A JWT-SVID as the proof, from a real Workload API on a unix socket."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from authsec import AuthenticationError, AuthSecClient, ConfigError, TransportError
from authsec.credentials import SpiffeWorkloadApi
from authsec.jose import parse_compact
from fake_authority import refused

Make = Callable[..., AuthSecClient]
AGENT = "spiffe://example.org/agent/3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88"


def test_the_svid_proves_the_agent(
    sockets: Path, client: AuthSecClient, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPIFFE_ENDPOINT_SOCKET", f"unix://{sockets}/works")
    assert client.get_delegation_token() in authority.tokens
    svid = parse_compact(authority.token_requests[0].headers["Authorization"].removeprefix("Bearer "))
    assert svid.claims["sub"] == "spiffe://example.org/node"  # the first that it gives
    assert svid.claims["aud"] == [authority.issuer]
    proof = client.authority.find_proof()
    assert proof is not None
    assert proof.source == f"JWT-SVID of the SPIFFE Workload API at unix://{sockets}/works"


@pytest.mark.soak
def test_the_identity_that_is_wanted(
    sockets: Path, make_client: Make, authority: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def subject(**named: str) -> str:
        source = SpiffeWorkloadApi(socket=f"unix:{sockets}/works", **named)
        make_client(credential=source).get_token()
        bearer = authority.token_requests[-1].headers["Authorization"].removeprefix("Bearer ")
        return str(parse_compact(bearer).claims["sub"])

    assert subject(spiffe_id=AGENT) == AGENT
    monkeypatch.setenv("AUTHSEC_SPIFFE_ID", AGENT)
    assert subject() == AGENT


def test_the_audience_is_the_one_that_the_trusted_issuer_asks_for(
    sockets: Path, make_client: Make, authority: Any
) -> None:
    source = SpiffeWorkloadApi(socket=f"unix:{sockets}/works")
    make_client(credential=source, proof_audience="authsec").get_token()
    bearer = authority.token_requests[-1].headers["Authorization"].removeprefix("Bearer ")
    assert parse_compact(bearer).claims["aud"] == ["authsec"]


def test_a_refused_svid_is_named(sockets: Path, make_client: Make, authority: Any) -> None:
    authority.next_answers = [refused(401, "attestation_invalid")]
    with pytest.raises(AuthenticationError, match=r"JWT-SVID of .*is a trusted issuer.*unset SPIFFE_ENDPOINT"):
        make_client(credential=SpiffeWorkloadApi(socket=f"unix:{sockets}/works")).get_token()


def broken(make_client: Make, socket: str, **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        make_client(credential=SpiffeWorkloadApi(socket=socket), **settings).get_token()
    assert caught.value.reason == "credential_broken"
    return str(caught.value)


def test_a_workload_without_identity(sockets: Path, make_client: Make, authority: Any) -> None:
    text = broken(make_client, f"unix:{sockets}/denies")
    assert "has no identity for this workload. Register the workload in SPIRE" in text
    assert "4711" not in text  # others' words
    assert authority.token_requests == []


@pytest.mark.parametrize("way", ["talks-nonsense", "is-late", "mistakes-the-audience"])
def test_what_is_no_svid_for_this_authority(way: str, sockets: Path, make_client: Make, authority: Any) -> None:
    text = broken(make_client, f"unix:{sockets}/{way}")
    assert "no usable SVID" in text
    assert "canary" not in text
    assert authority.token_requests == []


def test_an_identity_that_is_none(sockets: Path, make_client: Make) -> None:
    source = SpiffeWorkloadApi(socket=f"unix:{sockets}/works", spiffe_id="agent")
    with pytest.raises(ConfigError, match="Check that AUTHSEC_SPIFFE_ID"):
        make_client(credential=source).get_token()


def test_an_api_that_says_nothing(sockets: Path, make_client: Make, authority: Any) -> None:
    source = SpiffeWorkloadApi(socket=f"unix:{sockets}/hangs")
    with pytest.raises(TransportError) as caught:
        make_client(credential=source, timeout=1.5).get_token()
    assert (caught.value.reason, caught.value.retryable) == ("timeout", True)
    assert authority.token_requests == []


@pytest.mark.parametrize(
    "there", [pytest.param(True, marks=pytest.mark.soak), False], ids=["nobody listens", "not there"]
)
def test_an_api_that_is_away_may_come_back(there: bool, tmp_path: Path, make_client: Make) -> None:
    path = tmp_path / "s"
    if there:
        path.touch()
    with pytest.raises(TransportError, match="Check that the SPIRE agent runs") as caught:
        make_client(credential=SpiffeWorkloadApi(socket=f"unix://{path}")).get_token()
    assert (caught.value.reason, caught.value.retryable) == ("unreachable", True)


@pytest.mark.parametrize("socket", ["/run/agent.sock", "tcp://127.0.0.1:8081", "unix:", "unix:agent.sock"])
def test_an_address_that_is_no_socket(socket: str, make_client: Make) -> None:
    assert "as in unix:///run/spire/sockets/agent.sock" in broken(make_client, socket)


def test_without_the_extra_it_says_what_is_missing(make_client: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spiffe", None)
    text = broken(make_client, "unix:/run/agent.sock")
    assert 'pip install "./packages/authsec[spiffe]"' in text
    assert "AUTHSEC_AGENT_KEY_FILE" in text


@pytest.mark.parametrize(("attribute", "value"), [("executable", ""), ("frozen", True)])
def test_a_program_without_an_interpreter(
    attribute: str, value: Any, make_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, attribute, value, raising=False)
    assert "AUTHSEC_WORKLOAD_TOKEN_FILE" in broken(make_client, "unix:/run/agent.sock")


@pytest.mark.parametrize("executable", ["/no/such/python", "/bin/true", "/bin/echo"])
def test_an_interpreter_that_is_none(
    executable: str, sockets: Path, make_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", executable)
    assert "AUTHSEC_WORKLOAD_TOKEN_FILE" in broken(make_client, f"unix:{sockets}/works")


def test_a_second_process_that_hangs_is_ended(
    sockets: Path, tmp_path: Path, make_client: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    interpreter = tmp_path / "python"
    interpreter.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    interpreter.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(interpreter))
    source = SpiffeWorkloadApi(socket=f"unix:{sockets}/works")
    with pytest.raises(TransportError, match="Workload API did not answer in time"):
        make_client(credential=source, timeout=1.5).get_token()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_the_agents_process_never_loads_grpc(sockets: Path, make_client: Make) -> None:
    make_client(credential=SpiffeWorkloadApi(socket=f"unix:{sockets}/works")).get_token()
    assert "grpc" not in sys.modules


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_while_an_svid_is_on_its_way(sockets: Path, make_client: Make, authority: Any) -> None:
    """With gRPC in this process, parent and child would read from one socket."""
    client = make_client(credential=SpiffeWorkloadApi(socket=f"unix:{sockets}/is-slow"), issuer=authority.issuer)
    parents = threading.Thread(target=client.get_token)
    parents.start()
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(sender, client.get_delegation_token().encode())
        finally:
            os._exit(0)
    os.close(sender)
    with os.fdopen(receiver) as stream:
        token = stream.read()
    os.waitpid(child, 0)
    parents.join()
    assert token in authority.tokens
    assert len(authority.tokens) == 2
