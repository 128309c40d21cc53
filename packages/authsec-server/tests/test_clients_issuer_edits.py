"""A trusted issuer is edited: the proofs that it can prove no longer count no more, in lists as on pages; on both
databases.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.clients import bindings, search, service
from authsec_server.clients.model import Attention, Client
from authsec_server.clients.proof_status import ProofState, proof_status
from authsec_server.clients.search import ClientFilters
from authsec_server.db import Database
from authsec_server.issuers import service as issuers
from authsec_server.issuers.model import TrustedIssuer
from authsec_server.principal import Act
from selector_proofs import OURS, actions, cluster, onboard, our_spire

pytestmark = pytest.mark.sqlite_suffices

LABELLED = (("k8s:ns", "production"), ("k8s:sa", "support"), ("k8s:pod-label:app", "support"))
ASKED = {"api_server": "https://10.0.0.1:6443", "credentials": "token", "pod_lookup": True}


def edit(database: Database, act: Act, trusted_issuer: TrustedIssuer, **what: Any) -> TrustedIssuer:
    return database.change(
        lambda tx: bindings.edit_trusted_issuer(
            tx,
            act,
            trusted_issuer.id,
            revision=trusted_issuer.revision,
            changes=what,
            trust_domain=OURS,
            may_look_up=True,
        )
    )


def seen(database: Database, act: Act, client: Client) -> tuple[bool, ProofState]:
    """Whether it can authenticate, as lists have it; and what its page says of its proof. They must agree."""
    wanted = ClientFilters(attention=Attention.CANNOT_PROVE)
    found = database.read(lambda tx: service.load(tx, client.id))
    assert found is not None
    (proof,) = found.proofs
    trusted_issuer = database.read(lambda tx: issuers.find(tx, proof.trusted_issuer_id or ""))
    listed = [each.id for each in database.read(lambda tx: search.page_of(tx, act, wanted))[0]]
    assert (client.id in listed) is not found.can_prove_itself(act.now)
    return found.can_prove_itself(act.now), proof_status(proof, trusted_issuer, act.now).state


def test_a_pod_that_is_looked_up_no_more_proves_no_label(database: Database, act: Act) -> None:
    on = edit(database, act, cluster(database, act), **ASKED)
    labelled, plain = onboard(database, act, "Labelled", selectors=LABELLED), onboard(database, act, "Plain")
    assert seen(database, act, labelled) == seen(database, act, plain) == (True, ProofState.PROVES)
    off = edit(database, act, on, pod_lookup=False)
    assert seen(database, act, labelled) == (False, ProofState.CANNOT_PROVE)
    assert seen(database, act, plain) == (True, ProofState.PROVES)
    database.change(lambda tx: bindings.disable_trusted_issuer(tx, act, off.id))
    assert seen(database, act, plain) == (False, ProofState.TRUSTED_ISSUER_DISABLED)
    enabled = database.change(lambda tx: bindings.enable_trusted_issuer(tx, act, off.id, trust_domain=OURS))
    assert seen(database, act, labelled) == (False, ProofState.CANNOT_PROVE), "to enable it adds nothing"
    assert seen(database, act, plain) == (True, ProofState.PROVES)
    edit(database, act, enabled, pod_lookup=True)
    assert seen(database, act, labelled) == (True, ProofState.PROVES)


def test_a_claim_that_is_gone_proves_nothing(database: Database, act: Act) -> None:
    ci = actions(database, act)
    job = onboard(database, act, platform="oidc", selectors=(("github:repository", "example/agent"),))
    assert seen(database, act, job) == (True, ProofState.PROVES)
    edit(database, act, ci, claims={"github:ref": "ref"})
    assert seen(database, act, job) == (False, ProofState.CANNOT_PROVE)


def test_another_trust_domain_knows_none_of_these_workloads(database: Database, act: Act) -> None:
    spire = our_spire(database, act)
    held = onboard(database, act, platform="docker", selectors=(("docker:image_id", "a"),))
    assert seen(database, act, held) == (True, ProofState.PROVES)
    moved = edit(database, act, spire, issuer="other.example.org")
    assert seen(database, act, held) == (False, ProofState.CANNOT_PROVE)
    edit(database, act, moved, issuer=OURS)
    assert seen(database, act, held) == (True, ProofState.PROVES)


def test_a_name_changes_nothing_for_anybody(database: Database, act: Act) -> None:
    trusted_issuer = cluster(database, act)
    client = onboard(database, act)
    edit(database, act, trusted_issuer, name="Another")
    assert database.read(lambda tx: service.load(tx, client.id)) == client
