"""Clients that one workload could come as; on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.clients.model import Client
from authsec_server.clients.proof_status import sharing
from authsec_server.db import Database
from authsec_server.principal import Act
from selector_proofs import SEEN, cluster, onboard, our_spire
from workload_evidence import EC

pytestmark = pytest.mark.sqlite_suffices


def others(database: Database, client: Client) -> list[str]:
    shared = database.read(lambda tx: sharing(tx, client))
    assert shared.keys() <= {proof.id for proof in client.proofs}
    return [each.name for holders in shared.values() for each in holders]


def test_equal_selectors_at_one_trusted_issuer_in_any_order(database: Database, act: Act) -> None:
    trusted_issuer = cluster(database, act)
    first = onboard(database, act, "First")
    second = onboard(database, act, "Second", selectors=SEEN[::-1])
    onboard(database, act, "More", selectors=(*SEEN, ("k8s:node-name", "worker-1")))
    onboard(database, act, "Less", selectors=SEEN[:1])
    cluster(database, act, "cluster-b", key=EC)
    onboard(database, act, "Elsewhere", trusted_issuer="cluster-b")
    third = onboard(database, act, "Third", trusted_issuer=trusted_issuer.id)
    assert others(database, first) == ["Second", "Third"]
    assert others(database, second) == ["First", "Third"]
    assert others(database, third) == ["First", "Second"]


def test_without_a_trusted_issuer_nobody_is_anybody(database: Database, act: Act) -> None:
    first, _ = onboard(database, act, "First"), onboard(database, act, "Second")
    assert others(database, first) == []


@pytest.mark.parametrize("value", ["50%_off", 'a"quote', "back\\slash", "größe", "x"])
def test_values_that_a_database_would_read_otherwise(database: Database, act: Act, value: str) -> None:
    our_spire(database, act)
    what: dict[str, Any] = {"platform": "docker", "selectors": (("docker:label:app", value),)}
    first, _ = onboard(database, act, "First", **what), onboard(database, act, "Second", **what)
    onboard(database, act, "Other", platform="docker", selectors=(("docker:label:app", "50xyoff"),))
    assert others(database, first) == ["Second"]
