"""Count the evidence that did not prove a client, by the trusted issuer that signed the evidence.

Only a key of a trusted issuer causes such a count, so a stranger adds no series: the label is a registered slug.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum

from authsec_server.attestation.model import RefusalReason, Refused, Unchecked
from authsec_server.issuers.model import TrustedIssuer
from authsec_server.metrics.catalogue import EVIDENCE_FAILURES


class EvidenceFailure(StrEnum):
    """Why evidence did not prove a client."""

    CLAIMS = "claims"  # expired, for another audience, or without a needed claim
    NO_MATCH = "no_match"  # the workload matches no client, or several, or another client than the one it names
    DELETED = "deleted"  # the cluster says that the workload is gone
    UNAVAILABLE = "unavailable"  # keys or the cluster could not be asked


def count_failure(refused: Refused, trusted: Iterable[TrustedIssuer]) -> None:
    """Count the refusal if one of these trusted issuers signed the evidence."""
    if refused.deleted_in_cluster is not None:
        _count(refused.deleted_in_cluster, EvidenceFailure.DELETED, trusted)
    elif refused.miss is not None:
        _count(refused.miss.trusted_issuer_id, EvidenceFailure.NO_MATCH, trusted)
    elif refused.failed is not None:
        _count(refused.failed.trusted_issuer_id, EvidenceFailure.CLAIMS, trusted)
    elif refused.unassigned is not None and refused.reason is not RefusalReason.INVALID:
        _count(refused.unassigned.trusted_issuer.id, EvidenceFailure.NO_MATCH, trusted)


@contextmanager
def unchecked_counted(trusted: Iterable[TrustedIssuer]) -> Iterator[None]:
    """Count evidence that could not be checked within this context."""
    try:
        yield
    except Unchecked as error:
        _count(error.failed.trusted_issuer_id, EvidenceFailure.UNAVAILABLE, trusted)
        raise


def _count(id_: str, failure: EvidenceFailure, trusted: Iterable[TrustedIssuer]) -> None:
    slug = next((each.slug for each in trusted if each.id == id_), None)
    if slug is not None:
        EVIDENCE_FAILURES.of(slug, failure).add()
