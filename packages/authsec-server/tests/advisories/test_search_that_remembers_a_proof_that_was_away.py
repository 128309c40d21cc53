"""Raw SQL takes the proof of an agent away for the moment of one token request at `POST /oauth/token`, and restores it.

The server must read its rows again after ten minutes, as docs/audit-verify.md says.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.clients.store import proofs
from sqlalchemy import select, update
from token_endpoint import by_grant
from trusted_issuers import agent, trust
from workload_evidence import kubernetes

House = Any
POD = (("k8s:ns", "production"), ("k8s:sa", "customer-support-sa"))


@pytest.fixture
def its(house_on_each: Callable[..., House]) -> House:
    return house_on_each(local_operator=True)


def test_the_server_reads_the_proof_again_after_ten_minutes(its: House) -> None:
    cluster = kubernetes()
    trust(its, cluster)
    mine = agent(its, cluster, *POD, name="Mine")
    database, door = its.authority.database, its.door()
    rightly = database.read(
        lambda tx: tx.connection.scalar(select(proofs.c.selectors).where(proofs.c.client_id == mine))
    )

    def write(selectors: Any) -> None:
        change = update(proofs).where(proofs.c.client_id == mine).values(selectors=selectors)
        database.append(lambda tx: tx.connection.execute(change))

    write([["k8s:ns", "elsewhere"]])
    assert by_grant(door, cluster.token()).status_code == 400  # the moment
    write(rightly)
    its.clock.at += timedelta(minutes=11)
    cluster.now = its.clock.at
    answer = by_grant(door, cluster.token())
    named = by_grant(door, cluster.token(), client_id=mine)
    assert named.status_code == 200
    assert answer.status_code == 200, "the server has not read its rows again"
