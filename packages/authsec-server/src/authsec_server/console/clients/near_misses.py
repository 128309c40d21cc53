"""The closest miss of each proof: the refused workload that matched the most selectors of the proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from authsec_server.audit import service as audit
from authsec_server.audit.filters import EventFilter
from authsec_server.audit.model import EventKind, Recorded
from authsec_server.clients.model import Client
from authsec_server.db import Tx
from authsec_server.principal import Act
from authsec_server.tokens.decision import Reason

RECENT = timedelta(days=7)
LOOKED_AT = 100  # refusals


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosestMiss:
    """The recent refusals that matched the most selectors of a proof.

    `last` is the newest of these refusals. `sentence` says how the workload differed from the proof.
    """

    sentence: str
    last: Recorded
    times: int


def closest_misses(tx: Tx, act: Act, client: Client) -> dict[str, ClosestMiss]:
    """Return the closest miss of each proof of the client, by the proof's id. Proofs without a miss are left out."""
    wanted = EventFilter(
        client_id=client.id,
        kinds=frozenset({EventKind.TOKEN_REFUSED}),
        reason=Reason.SELECTORS_MISMATCH,
        since=act.now - RECENT,
    )
    seen = audit.page(tx, act.principal, wanted, limit=LOOKED_AT).items  # the newest first
    held = {proof.id for proof in client.proofs}
    found: dict[str, ClosestMiss] = {}
    for recorded in seen:
        miss = _miss(recorded)
        if miss.get("proof_id") not in held or not isinstance(miss.get("sentence"), str):
            continue  # a proof that is gone, or a minute of which only the number is known
        before = found.get(miss["proof_id"])
        if before is None or _agreeing(_miss(before.last)) < _agreeing(miss):
            found[miss["proof_id"]] = ClosestMiss(sentence=miss["sentence"], last=recorded, times=recorded.count)
        elif before.sentence == miss["sentence"]:
            times = before.times + recorded.count
            found[miss["proof_id"]] = ClosestMiss(sentence=before.sentence, last=before.last, times=times)
    return found


def _miss(recorded: Recorded) -> Mapping[str, Any]:
    miss = recorded.event.detail.get("miss")
    return miss if isinstance(miss, dict) else {}


def _agreeing(miss: Mapping[str, Any]) -> int:
    rows = miss.get("selectors")
    return sum(bool(row.get("agrees")) for row in rows) if isinstance(rows, list) else 0
