"""An empty key set, or one without a usable key, in the place of a good one.

A half-deployed issuer, or somebody before it, answers `{"keys": []}` once: everybody who had the good set would refuse
every workload until the next fetch. Such an answer is a fault like any other, and never replaces anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from authsec_server.db import Database
from authsec_server.issuers.key_cache import Condition
from issuers import ONE, Asking, Issuer
from long_runs import some_of

EMPTY: list[dict[str, Any]] = [
    {"keys": []},
    {"keys": [{**ONE.public.to_jwk(), "kid": "one", "use": "enc"}]},
    {"keys": [ONE.public.to_jwk()]},
    {},
]


@pytest.fixture
def its(database: Database, peers: Any, peer: Callable[..., Any]) -> Asking:
    return Asking(Issuer(peers, peer), database, peers.outbound("127.0.0.1"))


@pytest.mark.sqlite_suffices
@pytest.mark.parametrize("document", some_of(EMPTY), ids=["empty", "no key for signatures", "no kid", "no list"])
def test_the_good_one_stays_here_and_in_the_database(its: Asking, document: dict[str, Any]) -> None:
    assert its.has("one")
    its.issuer.says(document)
    its.wait(hours=1)
    assert its.has("one")
    its.wait(seconds=6)
    its.key_sets.refresh(its.trusted_issuer)
    its.restart()
    assert its.has("one")
    assert (its.state().condition, list(its.state().keys)) == (Condition.STALE, ["one"])
    assert "cannot be used" in its.state().failure
