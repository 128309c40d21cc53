"""The verbs of proofs that wait for a trust source, and are given one. What becomes of them later is in `following`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from authsec_server import naming
from authsec_server.audit.model import EventKind, Named
from authsec_server.clients import resting
from authsec_server.clients.holding import record
from authsec_server.clients.model import Proof, ProofKind, Selector
from authsec_server.clients.proofs import platform_of
from authsec_server.clients.vouching import proves, require_suitable
from authsec_server.db import Tx
from authsec_server.failures import Conflict, Invalid, NotFound
from authsec_server.principal import Act, Role
from authsec_server.sources import service as sources
from authsec_server.sources.model import TrustSource

MOST_AT_ONCE = 500  # each is recorded for itself, under the authority lock

_Mark = tuple[str, frozenset[Selector]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A proof, and the client that holds it."""

    client: Named
    proof: Proof


def waiting(tx: Tx, act: Act, source: TrustSource, *, trust_domain: str = "") -> list[Held]:
    """The proofs without a source that this one could prove, by the names of their clients.

    `trust_domain` is that of the clients' SPIFFE IDs, as for `service.create`.
    """
    act.principal.require(Role.VIEWER)
    return [
        Held(client=client, proof=proof)
        for client, proof in resting.without_source(tx.connection)
        if proves(platform_of(proof), proof.selectors, source, trust_domain)
    ]


def resting_on(tx: Tx, act: Act, source: TrustSource, *, limit: int) -> list[Held]:
    """The proofs that rest on the source, by the names of their clients; at most so many."""
    act.principal.require(Role.VIEWER)
    return [Held(client=client, proof=proof) for client, proof in resting.of_source(tx.connection, source.id, limit)]


def bind(
    tx: Tx, act: Act, id_or_slug: str, proof_ids: Collection[str] | None = None, *, trust_domain: str = ""
) -> list[Held]:
    """Have these proofs rest on the source from now on, or all that wait for one like it; those that were bound.

    Of all at most `MOST_AT_ONCE`, in the order of `waiting`: ask again until none is bound.
    What rests on it already stays as it is. Raises `NotFound`, `Invalid` where the source cannot prove what a proof
    asks for, and `Conflict` where the proof has another source, or its client holds the same one already.
    """
    act.principal.require(Role.OPERATOR)
    if proof_ids is not None and len(proof_ids) > MOST_AT_ONCE:
        raise Invalid("proofs", f"There are more than {MOST_AT_ONCE} proofs.", "Bind some of them, then the others.")
    source = sources.get(tx, act, id_or_slug)
    held = {_mark(client, proof) for client, proof in resting.of_source(tx.connection, source.id)}
    if proof_ids is None:
        all_waiting = waiting(tx, act, source, trust_domain=trust_domain)
        asked = [each for each in all_waiting if _mark(each.client, each.proof) not in held][:MOST_AT_ONCE]
    else:
        asked = _asked(tx, source, dict.fromkeys(proof_ids), held, trust_domain)
    bound = [replace(each, proof=_resting(each.proof, source)) for each in asked]
    resting.rest_on(tx.connection, [each.proof.id for each in bound], source)
    holders = list(dict.fromkeys(each.client.id for each in bound))
    resting.revise(tx.connection, holders, at=act.now, by=act.principal.name)
    for each in bound:
        record(tx, act, EventKind.PROOF_BOUND, each.client, each.proof)
    return bound


def _asked(tx: Tx, source: TrustSource, proof_ids: Collection[str], held: set[_Mark], trust_domain: str) -> list[Held]:
    known = resting.by_ids(tx.connection, [each for each in proof_ids if naming.is_uuid(each)])
    found = {proof.id: Held(client=client, proof=proof) for client, proof in known}
    asked = []
    for proof_id in proof_ids:
        each = found.get(proof_id)
        if each is None:
            raise NotFound(
                f"There is no proof {naming.quoted(proof_id)}.", "Those of one agent: authsec agents proofs list AGENT"
            )
        if each.proof.source_id != source.id:
            _require_bindable(tx, each, source, held, trust_domain)
            asked.append(each)
    return asked


def _require_bindable(tx: Tx, asked: Held, source: TrustSource, held: set[_Mark], trust_domain: str) -> None:
    proof, name = asked.proof, asked.client.name
    if proof.kind is not ProofKind.SELECTORS:
        raise Invalid("proofs", f"A {proof.kind} proof of {name} needs no trust source.", "Leave it out.")
    if proof.source_id is not None:
        other = sources.by_ids(tx, [proof.source_id])[proof.source_id]
        raise Conflict(
            f"This proof of {name} rests on the trust source {other.name!r} ({other.slug}), and on no other.",
            "Add another proof to it, and remove this one.",
        )
    try:
        require_suitable(platform_of(proof), proof.selectors, source, trust_domain)
    except Invalid as problem:
        raise Invalid("proofs", f"Of a proof of {name}: {problem.message}", problem.remedy) from None
    if _mark(asked.client, proof) in held:
        raise Conflict(
            f"{name} holds a proof with these selectors and this trust source already.", "Remove one of the two."
        )


def _mark(client: Named, proof: Proof) -> _Mark:
    """What no client may hold twice of one source."""
    return client.id, frozenset(proof.selectors)


def _resting(proof: Proof, source: TrustSource) -> Proof:
    return replace(proof, source_id=source.id, source_enabled=source.enabled)
