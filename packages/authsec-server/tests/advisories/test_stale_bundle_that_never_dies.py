"""A trust bundle whose expiry was reset on a failed refresh.

Whoever keeps an issuer from being reached would keep its old keys alive for ever, among them one that was stolen and
withdrawn. A failed refresh leaves a set as old as it is; 24 hours after it was fetched it is dead, also for processes
that start in between, and through every other change of its trusted issuer.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.db import Database
from authsec_server.issuers.key_cache import Condition
from issuers import NOW, Asking, Issuer


@pytest.fixture
def its(database: Database, peers: Any, peer: Callable[..., Any]) -> Asking:
    return Asking(Issuer(peers, peer), database, peers.outbound("127.0.0.1"))


@pytest.mark.sqlite_suffices
def test_failed_refreshes_do_not_extend_it(its: Asking) -> None:
    assert its.has("one")
    its.issuer.fails()
    for _ in range(23):
        its.wait(hours=1)
        assert its.has("one")
        assert its.key_sets.refresh(its.trusted_issuer).usable_until == NOW + timedelta(hours=24)
    its.wait(minutes=59, seconds=59)
    assert its.has("one")
    its.wait(seconds=1)
    assert "more than 24 hours old" in its.failure("one")
    assert its.state().condition is Condition.DEAD
    its.restart()
    assert "more than 24 hours old" in its.failure("one")
    its.issuer.recovers()
    its.wait(seconds=6)
    assert its.has("one")


def test_nor_do_restarts_and_new_names(its: Asking) -> None:
    assert its.has("one")
    its.issuer.fails()
    for number in range(6):
        its.wait(hours=4)
        its.restart()
        its.edit(name=f"Name {number}")
        assert its.state().usable_until == NOW + timedelta(hours=24)
    assert "more than 24 hours old" in its.failure("one")
