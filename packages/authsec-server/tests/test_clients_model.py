"""Clients and their proofs as values."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
from authsec.jose import PrivateKey
from authsec_server.clients.model import (
    Client,
    ClientKind,
    Onboarding,
    Platform,
    Proof,
    ProofKind,
    parse_labels,
    parse_platform,
    spiffe_id,
)
from authsec_server.clients.proofs import make_proof
from authsec_server.failures import Invalid

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ID = "6f1d2a34-0000-4000-8000-000000000001"
PAIR = PrivateKey.generate_ed25519()
PUBLIC = PAIR.public.to_pem().decode()


def client(*proofs: Proof) -> Client:
    return Client(
        id=ID,
        slug="customer-support",
        name="Customer Support",
        kind=ClientKind.AI_AGENT,
        platform=Platform.KEY,
        owner="someone",
        description="",
        labels={},
        enabled=True,
        created_at=NOW,
        proofs=proofs,
    )


def proof(kind: ProofKind, expires_at: datetime | None = None) -> Proof:
    return Proof(id="p", client_id=ID, kind=kind, expires_at=expires_at, created_at=NOW)


def made(platform: Platform, *pairs: tuple[str, str], public_key: str | None = None) -> Proof:
    return make_proof(
        id="p",
        client_id=ID,
        platform=platform,
        selectors=pairs,
        public_key=public_key,
        now=NOW,
        token_bytes=lambda n: b"\x07" * n,
    )


def test_a_spiffe_id_holds_nothing_that_a_person_typed() -> None:
    assert spiffe_id("authsec.internal", ID) == f"spiffe://authsec.internal/agent/{ID}"


@pytest.mark.parametrize(
    ("kind", "proves", "unattested"),
    [
        (ProofKind.KEY_PAIR, True, False),
        (ProofKind.SELECTORS, False, False),
        (ProofKind.SECRET, True, False),
        (ProofKind.UNATTESTED, False, True),
    ],
)
def test_what_a_proof_is_good_for(kind: ProofKind, proves: bool, unattested: bool) -> None:
    assert client(proof(kind)).can_prove_itself(NOW) is proves
    assert client(proof(kind)).unattested(NOW) is unattested


@pytest.mark.parametrize("kind", ProofKind)
def test_an_expired_proof_is_good_for_nothing(kind: ProofKind) -> None:
    ends = NOW + timedelta(hours=1)
    held = client(proof(kind, expires_at=ends))
    assert proof(kind, expires_at=ends).is_valid(ends - timedelta(seconds=1))
    assert not proof(kind, expires_at=ends).is_valid(ends), "at its end it has ended"
    assert not held.can_prove_itself(ends)
    assert not held.unattested(ends)


def test_nothing_to_show_means_no() -> None:
    assert not client().can_prove_itself(NOW)
    assert not client().unattested(NOW)


def test_each_platform_gets_the_proof_that_it_calls_for() -> None:
    assert made(Platform.KUBERNETES, ("k8s:ns", "production")).kind is ProofKind.SELECTORS
    assert made(Platform.DOCKER, ("docker:image_id", "a")).kind is ProofKind.SELECTORS
    assert made(Platform.UNIX, ("unix:uid", "1000")).kind is ProofKind.SELECTORS
    assert made(Platform.UNATTESTED).kind is ProofKind.UNATTESTED
    key = made(Platform.KEY, public_key=PUBLIC)
    assert key.kind is ProofKind.KEY_PAIR
    assert key.thumbprint == PAIR.public.thumbprint()
    assert key.public_key == PAIR.public.to_jwk()
    secret = made(Platform.SECRET)
    assert secret.kind is ProofKind.SECRET
    assert secret.secret is not None
    assert secret.secret_sha256 == sha256(secret.secret.encode()).hexdigest()
    assert {secret.secret, secret.secret_sha256}.isdisjoint(repr(secret).split("'"))


def test_a_private_key_is_refused_with_a_warning_and_never_repeated() -> None:
    private = PAIR.to_pem().decode()
    with pytest.raises(Invalid, match="PRIVATE key") as caught:
        made(Platform.KEY, public_key=private)
    assert caught.value.field == "public_key"
    assert "Treat the key as exposed" in caught.value.message
    secret = private.splitlines()[1]
    assert secret not in caught.value.message + caught.value.remedy
    assert secret not in repr(Onboarding(name="x", platform="key", public_key=private))
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "pem", ["", "\0", "no key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", PUBLIC * 2]
)
def test_what_is_no_public_key(pem: str) -> None:
    with pytest.raises(Invalid, match="cannot be used") as caught:
        made(Platform.KEY, public_key=pem)
    assert caught.value.field == "public_key"
    assert "authsec keygen" in caught.value.remedy


def test_the_platform_key_needs_one_and_the_others_take_none() -> None:
    with pytest.raises(Invalid, match="needs the agent's public key"):
        made(Platform.KEY)
    for platform, pairs in ((Platform.UNATTESTED, ()), (Platform.UNIX, (("unix:uid", "1"),))):
        with pytest.raises(Invalid, match="has no public key") as caught:
            made(platform, *pairs, public_key=PUBLIC)
        assert caught.value.field == "public_key"
    with pytest.raises(Invalid, match="takes no selectors"):
        made(Platform.KEY, ("unix:uid", "1"), public_key=PUBLIC)


def test_an_unknown_platform_is_told_the_known_ones() -> None:
    assert parse_platform("docker") is Platform.DOCKER
    with pytest.raises(Invalid, match="'k8s' is not a platform") as caught:
        parse_platform("k8s")
    assert caught.value.field == "platform"
    assert all(platform in caught.value.remedy for platform in Platform)


def test_labels_are_sorted_and_checked() -> None:
    assert list(parse_labels("labels", {"team": "Support", "cost/center": "42"})) == ["cost/center", "team"]
    for labels, field in (({"Team": "x"}, "labels"), ({"team": "\x1b"}, "labels.team"), ({"": "x"}, "labels")):
        with pytest.raises(Invalid) as caught:
            parse_labels("labels", labels)
        assert caught.value.field == field
    with pytest.raises(Invalid, match="more than 32"):
        parse_labels("labels", {f"l{number}": "x" for number in range(33)})


def test_clients_are_values() -> None:
    held = client(made(Platform.KEY, public_key=PUBLIC))
    assert held == replace(held)
    assert hash(held) == hash(replace(held))
