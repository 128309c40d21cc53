"""Nobody attacks: the clock of one server on PostgreSQL is twenty minutes behind, and nothing else happened since.

A change runs for some seconds. It has taken its event numbers, and is not committed. The server with the wrong clock
records a refusal. It has a higher number and a time of twenty minutes ago. The other server has a right clock. It took
the refusal for the newest event of five minutes ago, so its checkpoint covered the numbers of the change. The events of
the change never got a seal, and `verify` reported them forever. `docs/reliability.md` promises that such a clock costs
nothing but the lifetime of tokens.
"""

from __future__ import annotations

import secrets
from datetime import datetime, timedelta
from typing import Any

import pytest
from audit_answers import LATER, fill
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Refusal, Tally
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, Tx
from authsec_server.keys.master_key import MasterKey
from authsec_server.keys.sealing_keys import SealingKeys
from authsec_server.principal import LOCAL_OPERATOR, Act
from authsec_server.roles import service as roles

REFUSAL = Refusal(kind=EventKind.TOKEN_REFUSED, reason="client_id_missing", address="192.0.2.7")


@pytest.mark.soak  # test_refusal_that_is_renewed_before_its_seal.py is its neighbour
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_change_is_sealed_though_the_clock_of_another_server_is_behind(database: Database) -> None:
    log, at = fill(database), LATER + timedelta(minutes=30)
    keys = SealingKeys(database, MasterKey(bytes(32)), token_bytes=secrets.token_bytes)
    sealer = Sealer(database, issuer="https://a", signing_key=keys.signing_key, keys=keys.by_kid, now=lambda: at)

    def seal_for(seconds: int) -> None:
        nonlocal at
        for _ in range(0, seconds, 10):
            at += timedelta(seconds=10)
            while sealer.seal():
                pass

    def refuse(clock: datetime) -> None:
        tallies = {REFUSAL: Tally(count=1, request_id="req_000000000000000000behind")}
        database.append(lambda tx: audit.count_refusals(tx, tallies, clock))

    def change(tx: Tx) -> Any:
        act = Act(
            principal=LOCAL_OPERATOR,
            now=at,
            request_id="req_000000000000000000000req",
            address="",
            token_bytes=secrets.token_bytes,
        )
        role = roles.create(tx, act, name="Nightly", actions=["customers:read"])
        refuse(at - timedelta(minutes=20))
        seal_for(20)
        return role

    seal_for(70)
    database.change(change)
    seal_for(700)
    assert database.check(lambda tx: verify(tx, log.keys, [log.checkpoint], now=at)).findings == ()
