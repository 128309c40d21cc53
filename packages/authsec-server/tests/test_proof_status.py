"""What a proof is worth, in plain words."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from authsec_server.clients.model import Client, ClientKind, Platform, Proof, ProofKind, Selector
from authsec_server.clients.proof_status import ProofState, proof_status, removal_caution
from authsec_server.issuers.model import TrustedIssuer
from workload_evidence import kubernetes, spire

SPIRE, CLUSTER = spire().trusted_issuer, kubernetes().trusted_issuer
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
            "Not proved",
            "This proof has no trusted issuer yet.",
        ),
        (ProofKind.SECRET, ProofState.WEAK, "Weak: a secret", ""),
        (ProofKind.UNATTESTED, ProofState.UNATTESTED, "Proves nothing", "Give the client a key pair"),
    ],
)
def test_each_kind_says_how_it_is_proved_and_what_it_lacks(
    kind: ProofKind, state: ProofState, heading: str, missing: str
) -> None:
    status = proof_status(proof(kind, ENDS), None, NOW)
    assert (status.state, status.heading) == (state, heading)
    assert status.missing.startswith(missing)
    assert bool(status.missing) is bool(missing)


@pytest.mark.parametrize("kind", ProofKind)
def test_what_is_said_is_what_holds(kind: ProofKind) -> None:
    held = client(proof(kind, ENDS))
    for now in (NOW, ENDS):
        state = proof_status(held.proofs[0], None, now).state
        assert (state in {ProofState.PROVES, ProofState.WEAK}) is held.can_prove_itself(now)
        assert (state is ProofState.UNATTESTED) is held.unattested(now)
        assert (state is ProofState.EXPIRED) is (now == ENDS)


def resting(*keys: str, trusted_issuer: TrustedIssuer = SPIRE, **changes: Any) -> Proof:
    held = tuple(Selector(key=key, value="a") for key in keys)
    resting = {
        "trusted_issuer_id": trusted_issuer.id,
        "trusted_issuer_enabled": trusted_issuer.enabled,
        "selectors": held,
    }
    return replace(proof(ProofKind.SELECTORS, ENDS), **(resting | changes))


def test_selectors_that_a_trusted_issuer_proves_prove() -> None:
    held = resting("docker:image_id")
    status = proof_status(held, SPIRE, NOW)
    assert (status.state, status.missing) == (ProofState.PROVES, "")
    assert status.explanation.startswith("The SPIFFE trust domain 'spire-a' proves")
    assert client(held).can_prove_itself(NOW)
    assert proof_status(held, SPIRE, ENDS).state is ProofState.EXPIRED


def test_each_selector_says_how_it_is_proved() -> None:
    by_spire = proof_status(resting("spiffe:id", "docker:image_id"), SPIRE, NOW)
    assert [each.shown for each in by_spire.selectors] == ["proved by the token", "enforced by SPIRE"]
    by_cluster = proof_status(resting("k8s:ns", "k8s:pod-label:app", trusted_issuer=CLUSTER), CLUSTER, NOW)
    assert [each.shown for each in by_cluster.selectors] == [
        "proved by the token",
        "cannot be proved by this trusted issuer",
    ]
    (nobody,) = proof_status(proof(ProofKind.SELECTORS), None, NOW).selectors
    assert nobody.shown == "no trusted issuer"


def test_what_the_trusted_issuer_cannot_prove_any_more_proves_nothing() -> None:
    status = proof_status(resting("k8s:ns", "k8s:pod-label:app", trusted_issuer=CLUSTER), CLUSTER, NOW)
    assert status.state is ProofState.CANNOT_PROVE
    assert "is not set up to prove k8s:pod-label:app" in status.explanation
    assert "turn on pod look-up" in status.missing


def test_a_disabled_trusted_issuer_is_what_is_missing() -> None:
    off = replace(CLUSTER, enabled=False)
    held = resting("k8s:ns", trusted_issuer=off)
    status = proof_status(held, off, NOW)
    assert (status.state, client(held).can_prove_itself(NOW)) == (ProofState.TRUSTED_ISSUER_DISABLED, False)
    assert status.missing.startswith("Enable the trusted issuer 'cluster-a'")


def test_what_to_register_is_said() -> None:
    status = proof_status(proof(ProofKind.SELECTORS), None, NOW)
    assert "Docker workloads need a SPIFFE trust domain. To add one: `authsec issuers add`" in status.missing


def test_whoever_removes_the_last_way_in_is_told() -> None:
    key, open_door, seen = (proof(each) for each in (ProofKind.KEY_PAIR, ProofKind.UNATTESTED, ProofKind.SELECTORS))
    assert removal_caution(client(key), key, NOW).startswith("This is the last proof of Support")
    assert removal_caution(client(seen), seen, NOW).startswith("This is the last proof of Support")
    assert removal_caution(client(key, seen), key, NOW).startswith("No other proof of Support can be checked")
    assert removal_caution(client(key, seen), seen, NOW) == ""
    assert removal_caution(client(key, open_door), key, NOW) == ""
