"""Somebody who may make namespaces in a test cluster makes one called as in production, with the same account.

The selectors are the same to the letter. They count only of the cluster that the client's proof names.
"""

from __future__ import annotations

from typing import Any

import pytest
from attesting import HELPER
from trusted_issuers import agent, refusals, shows, trust
from workload_evidence import CLUSTER, EC, OTHER_RSA, RSA, kubernetes


@pytest.mark.parametrize("issuer", [CLUSTER, "https://test.example"], ids=["one issuer name", "two"])
def test_the_same_names_in_another_cluster(house: Any, issuer: str) -> None:
    its = house()
    production, test = kubernetes("production", RSA), kubernetes("test", EC, issuer=issuer)
    trust(its, production)
    trust(its, test)
    client_id = agent(its, production, *HELPER, name="Production")
    in_test = agent(its, test, *HELPER, name="Test")
    assert shows(its, client_id, production.token()).status_code == 200
    assert shows(its, in_test, test.token()).status_code == 200
    assert shows(its, client_id, test.token()).json()["reason"] == "attestation_invalid"
    assert shows(its, in_test, production.token()).json()["reason"] == "attestation_invalid"
    assert {each.event.reason for each in refusals(its)} == {"attestation_invalid"}


def test_a_cluster_that_calls_itself_as_another(house: Any) -> None:
    """Who runs a cluster chooses its issuer, and its keys' names; its keys are its own."""
    its = house()
    production = kubernetes("production", RSA)
    trust(its, production)
    client_id = agent(its, production, *HELPER)
    assert shows(its, client_id, kubernetes("forged", OTHER_RSA).token()).json()["reason"] == "attestation_invalid"
