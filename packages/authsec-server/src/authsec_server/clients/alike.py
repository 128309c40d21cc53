"""Which other clients the same workload could come as: those with equal selectors at the same trust source.

That is allowed (see `Proof`), and seldom meant.
"""

from __future__ import annotations

from authsec_server.audit.model import Named
from authsec_server.clients import resting
from authsec_server.clients.model import Client, Proof, ProofKind
from authsec_server.db import Tx


def sharing(tx: Tx, client: Client) -> dict[str, tuple[Named, ...]]:
    """The other clients that hold a proof like one of this client's, by the id of that proof, each by name."""
    shared = {proof.id: _holders(tx, proof) for proof in client.proofs if proof.kind is ProofKind.SELECTORS}
    return {proof_id: holders for proof_id, holders in shared.items() if holders}


def _holders(tx: Tx, proof: Proof) -> tuple[Named, ...]:
    if proof.source_id is None:
        return ()
    asked = frozenset(proof.selectors)
    found = resting.of_source_with(tx.connection, proof.source_id, _rarest(proof))
    alike = {
        holder.id: holder
        for holder, other in found
        if holder.id != proof.client_id and frozenset(other.selectors) == asked
    }
    return tuple(alike.values())


def _rarest(proof: Proof) -> str:
    """The value that is likely to be in the fewest proofs, of those that JSON writes as they are; empty for none."""
    plain = [each.value for each in proof.selectors if each.value.isascii() and not set(each.value) & {'"', "\\"}]
    return max(plain, key=len, default="")
