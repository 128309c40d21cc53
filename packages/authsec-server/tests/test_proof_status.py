"""What a proof is worth, in plain words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from authsec_server.clients.model import Client, ClientKind, Platform, Proof, ProofKind, Selector
from authsec_server.clients.proof_status import ProofState, proof_status, removal_caution

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
ENDS = NOW + timedelta(hours=1)


def proof(kind: ProofKind, expires_at: datetime | None = None) -> Proof:
    seen = (Selector(key="docker:image_id", value="a"),) if kind is ProofKind.SELECTORS else ()
    return Proof(id=kind, client_id="c", kind=kind, selectors=seen, expires_at=expires_at, created_at=NOW)


def client(*proofs: Proof) -> Client:
    return Client(
        id="c",
        slug="support",
        name="Support",
        kind=ClientKind.AI_AGENT,
        platform=Platform.KEY,
        owner="someone",
        description="",
        labels={},
        enabled=True,
        created_at=NOW,
        proofs=proofs,
    )


@pytest.mark.parametrize(
    ("kind", "state", "heading", "missing"),
    [
        (ProofKind.KEY_PAIR, ProofState.PROVES, "Proved by signature", ""),
        (
            ProofKind.SELECTORS,
            ProofState.CANNOT_PROVE,
            "Cannot prove itself yet",
            "No trust source vouches for it yet",
        ),
        (ProofKind.SECRET, ProofState.CANNOT_PROVE, "Cannot prove itself yet", "This authority does not check secrets"),
        (ProofKind.UNATTESTED, ProofState.UNATTESTED, "Proves nothing", "Give the client a key pair"),
    ],
)
def test_each_kind_says_how_it_is_proved_and_what_it_lacks(
    kind: ProofKind, state: ProofState, heading: str, missing: str
) -> None:
    status = proof_status(proof(kind, ENDS), NOW)
    assert (status.state, status.heading) == (state, heading)
    assert status.missing.startswith(missing)
    assert bool(status.missing) is bool(missing)


@pytest.mark.parametrize("kind", ProofKind)
def test_what_is_said_is_what_holds(kind: ProofKind) -> None:
    held = client(proof(kind, ENDS))
    for now in (NOW, ENDS):
        state = proof_status(held.proofs[0], now).state
        assert (state is ProofState.PROVES) is held.can_prove_itself(now)
        assert (state is ProofState.UNATTESTED) is held.unattested(now)
        assert (state is ProofState.EXPIRED) is (now == ENDS)


def test_selectors_that_a_trust_source_vouches_for_prove() -> None:
    vouched = replace(proof(ProofKind.SELECTORS, ENDS), source_id="s")
    status = proof_status(vouched, NOW)
    assert (status.state, status.missing) == (ProofState.PROVES, "")
    assert client(vouched).can_prove_itself(NOW)
    assert proof_status(vouched, ENDS).state is ProofState.EXPIRED


def test_whoever_removes_the_last_way_in_is_told() -> None:
    key, open_door, seen = (proof(each) for each in (ProofKind.KEY_PAIR, ProofKind.UNATTESTED, ProofKind.SELECTORS))
    assert removal_caution(client(key), key, NOW).startswith("This is the last proof of Support")
    assert removal_caution(client(seen), seen, NOW).startswith("This is the last proof of Support")
    assert removal_caution(client(key, seen), key, NOW).startswith("No other proof of Support can be checked")
    assert removal_caution(client(key, seen), seen, NOW) == ""
    assert removal_caution(client(key, open_door), key, NOW) == ""
