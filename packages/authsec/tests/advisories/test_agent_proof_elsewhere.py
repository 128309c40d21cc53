"""An agent's proof is lured to somebody else, or used by the one who receives it.

A redirect takes the Authorization header to another host. A proof that names no single audience can be handed on by
its receiver (RFC 7523 §3, item 3; the "audience injection" of 2025 against private_key_jwt). And who answers at
`base_url` could name the issuer for whom proofs are made, unless the issuer is pinned.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from authsec import AuthSecClient, InvalidResponse, KeyFile
from authsec.jose import parse_compact
from authsec.keygen import write_key_pair
from fake_authority import FakeAuthority, Reply


@pytest.fixture
def credential(tmp_path: Path) -> KeyFile:
    write_key_pair(tmp_path / "agent.pem", "ed25519")
    return KeyFile(tmp_path / "agent.pem")


@pytest.mark.parametrize(
    "path", ["/authsec/uflow/sdk/delegation-token", "/authsec/.well-known/oauth-authorization-server"]
)
def test_no_redirect_takes_the_proof_along(path: str, make_client: Any, authority: Any, credential: KeyFile) -> None:
    thief = FakeAuthority()
    try:
        authority.documents[path] = Reply(307, headers={"Location": f"{thief.base_url}{path}"})
        with pytest.raises(InvalidResponse):
            make_client(credential=credential).get_delegation_token()
        assert thief.seen == []
    finally:
        thief.close()


def test_a_proof_names_one_audience(make_client: Any, authority: Any, credential: KeyFile) -> None:
    make_client(credential=credential).get_delegation_token()
    proof = authority.token_requests[0].headers["Authorization"].removeprefix("Bearer ")
    assert parse_compact(proof).claims["aud"] == authority.issuer


def test_a_pinned_issuer_cannot_be_talked_out_of(make_client: Any, authority: Any, credential: KeyFile) -> None:
    """The proof that a false authority receives is good at the true one's name only, and used up or stale there."""
    client: AuthSecClient = make_client(credential=credential, issuer="https://true.example.com")
    authority.issuer = "https://other.example.com"
    client.get_delegation_token()
    proof = authority.token_requests[0].headers["Authorization"].removeprefix("Bearer ")
    assert parse_compact(proof).claims["aud"] == "https://true.example.com"
