"""Every attack on every proxy: none reaches what its token does not allow, and none is taken for somebody else."""

from __future__ import annotations

from typing import Any

import pytest

from .attacks import ATTACKS, Attack, damage
from .exchanges import Http2, websocket_echo


@pytest.fixture(scope="session")
def reader(estate: Any) -> str:
    """A token that allows reading customers, and nothing else."""
    token: str
    token, _ = estate.agent("Attacker", "customers:read")
    return token


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_an_attack_fails(
    estate: Any, proxy: str, attack: Attack, reader: str, record_property: pytest.RecordProperty
) -> None:
    found: list[str] = []
    outcomes = set()
    for exchange in attack.exchanges:
        for token in ("", reader):
            estate.seen.clear()
            status = exchange.send(estate.urls[proxy], token)
            found += [f"{exchange}: {status}: {harm}" for request in estate.seen for harm in damage(request)]
            outcomes.add("passed on without harm" if estate.seen else "refused")
    assert not found, "\n".join(found)
    record_property("verdict", (proxy, attack.title, " or ".join(sorted(outcomes, reverse=True))))
