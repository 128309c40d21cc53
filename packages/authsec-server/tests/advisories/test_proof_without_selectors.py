"""An empty list of selectors that means everything: any pod of the cluster would be the agent."""

from __future__ import annotations

from typing import Any

import pytest
from attesting import SHOWN, ask, client, proof, refused
from authsec_server.attestation.model import RefusalReason
from trusted_issuers import agent, shows, trust
from workload_evidence import github, kubernetes, spire


@pytest.mark.parametrize("make", [kubernetes, spire, github])
def test_it_matches_nobody(make: Any) -> None:
    its = make()
    missed = refused(ask(its.token(), [its], proof(its)), RefusalReason.MISMATCH).miss
    assert missed is not None
    assert missed.sentence == "The proof has no selectors, so no workload can match it."


def test_not_even_the_clients_own_svid() -> None:
    its = spire()
    own = its.token(sub=f"spiffe://example.org/agent/{client().id}")
    refused(ask(own, [its], proof(its)), RefusalReason.MISMATCH)


def test_nor_beside_one_that_has_some(house: Any) -> None:
    its = house()
    issuer = kubernetes()
    trust(its, issuer)
    client_id = agent(its, issuer)
    assert shows(its, client_id, issuer.token()).json()["reason"] == "selectors_mismatch"


def test_a_trusted_issuer_that_maps_nothing_proves_nothing() -> None:
    its = github(claims={})
    refused(ask(its.token(), [its], proof(its, *SHOWN[its.trusted_issuer.kind])))
