"""A refused token request, and every reason to refuse one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from authsec_server.attestation.model import Failed, Miss, Refused, Unassigned
from authsec_server.failures import seconds_text
from authsec_server.keys.model import Algorithm


class Reason(StrEnum):
    """The reasons to refuse a token request: the stable error codes of both token endpoints, in the order of checks.

    `CLIENT_AMBIGUOUS` occurs only in the audit log. The caller gets `ATTESTATION_INVALID`.
    """

    CLIENT_ID_MISSING = "client_id_missing"
    CLIENT_ID_INVALID = "client_id_invalid"
    INVALID_SCOPE = "invalid_scope"
    INVALID_TARGET = "invalid_target"
    RATE_LIMITED = "rate_limited"
    CLIENT_NOT_FOUND = "client_not_found"
    ATTESTATION_REQUIRED = "attestation_required"
    ATTESTATION_INVALID = "attestation_invalid"
    SELECTORS_MISMATCH = "selectors_mismatch"
    CLIENT_DISABLED = "client_disabled"
    NO_DELEGATION = "no_delegation"
    DELEGATION_ENDED = "delegation_ended"
    ACTION_NOT_ALLOWED = "action_not_allowed"
    PROOF_NOT_ACCEPTED = "proof_not_accepted"
    INVALID_DPOP_PROOF = "invalid_dpop_proof"
    CLIENT_AMBIGUOUS = "client_ambiguous"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """A refused token request. `details` is a text for the caller.

    `missing` are the requested actions that are not delegated. `unknown` are the missing actions that no role
    and no API has. `withheld` are the missing actions that a live delegation allows with another proof. `smaller` is
    a smaller set of actions that would pass. `offered` are the delegated actions.
    `algorithms` are the signing algorithms of the requested audiences, if they differ.

    The caller never sees the last three fields. `miss` describes how an authenticated workload differs from the
    client's proof. `deleted_in_cluster` is the id of the trusted issuer whose cluster reported that the workload no
    longer exists. `failed` says what was wrong with a credential, or why its trusted issuer could not check
    it. `is_authentic` says of an invalid proof that the caller is the client nevertheless, so that `details` may be
    about the client. `needs_dpop` says that the same request with a DPoP proof would pass the check of the delegation.
    `of_address` says that the address is over its rate limit, so that no client was looked for.
    """

    reason: Reason
    details: str = ""
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()
    smaller: tuple[str, ...] = ()
    algorithms: Mapping[str, Algorithm] = field(default_factory=dict)
    offered: tuple[str, ...] = ()
    retry_after: float = 0.0
    miss: Miss | None = None
    deleted_in_cluster: str | None = None
    failed: Failed | None = None
    unassigned: Unassigned | None = None
    is_authentic: bool = False
    needs_dpop: bool = False
    of_address: bool = False

    @classmethod
    def of(cls, refused: Refused) -> Denied:
        """Return the refusal of a request with this invalid evidence."""
        return cls(
            reason=Reason(refused.reason),
            details=refused.details,
            miss=refused.miss,
            deleted_in_cluster=refused.deleted_in_cluster,
            failed=refused.failed,
            unassigned=refused.unassigned,
            is_authentic=refused.is_authentic,
        )


def too_often(wait: float, *, of_address: bool = False) -> Denied:
    """Return the refusal for a request over a rate limit. The caller can retry in `wait` seconds."""
    return Denied(
        reason=Reason.RATE_LIMITED, details=f"Retry in {seconds_text(wait)}.", retry_after=wait, of_address=of_address
    )
