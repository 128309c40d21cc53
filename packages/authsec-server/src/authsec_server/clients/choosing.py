"""The trust source that a new proof rests on: the one that is named, or the only one that can be meant."""

from __future__ import annotations

from dataclasses import replace

from authsec_server import naming
from authsec_server.clients.model import Platform, Proof, ProofKind
from authsec_server.clients.proofs import platform_of
from authsec_server.clients.vouching import FITTING, chosen, lacking, require_suitable
from authsec_server.db import Tx
from authsec_server.failures import Invalid
from authsec_server.sources import service as sources
from authsec_server.sources.model import TrustSource


def sourced(tx: Tx, proof: Proof, named: str | None, trust_domain: str) -> Proof:
    """The proof with its trust source: `named` by id or slug, else the only one registered that can prove it.

    One that is disabled is taken, too: it was registered for such workloads, and its word counts again some day. Where
    none fits, the proof has none: the client cannot prove itself by it yet. `trust_domain` is that of the clients'
    SPIFFE IDs. Raises `Invalid`.
    """
    if proof.kind is not ProofKind.SELECTORS:
        if named is not None:
            raise Invalid("source", f"{platform_of(proof).shown} needs no trust source.", "Leave it out.")
        return proof
    source = _source(tx, proof, named, trust_domain)
    return proof if source is None else replace(proof, source_id=source.id, source_enabled=source.enabled)


def lacks(tx: Tx, proof: Proof, trust_domain: str) -> str:
    """What keeps this proof, which rests on no source, from having one of those there are; empty if none fits."""
    return lacking(platform_of(proof), proof.selectors, _fitting(tx, platform_of(proof)), trust_domain)


def _fitting(tx: Tx, platform: Platform) -> list[TrustSource]:
    return sources.of_kinds(tx, FITTING[platform])


def _source(tx: Tx, proof: Proof, named: str | None, trust_domain: str) -> TrustSource | None:
    platform = platform_of(proof)
    if named is None:
        return chosen(platform, proof.selectors, _fitting(tx, platform), trust_domain)
    source = sources.find(tx, named)
    if source is None:
        raise Invalid("source", f"There is no trust source {naming.quoted(named)}.", "See the list: authsec trust list")
    require_suitable(platform, proof.selectors, source, trust_domain)
    return source
