"""The texts of a refused token request, for the agent, its model and the person who runs the agent.

Both token endpoints send these texts. `hints` has the texts for the operator. All functions are pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from authsec.grant_url import grant_page

from authsec_server.tokens.refusal import Denied, Reason
from authsec_server.tokens.request import TokenRequest

_SENTENCES: Mapping[Reason, str] = {
    Reason.CLIENT_ID_MISSING: "client_id is missing.",
    Reason.CLIENT_ID_INVALID: "client_id is not a Client ID.",
    Reason.INVALID_SCOPE: "scope is invalid.",
    Reason.INVALID_TARGET: "This client's delegations are for different APIs, and the request names no resource.",
    Reason.RATE_LIMITED: "Too many token requests.",
    Reason.CLIENT_NOT_FOUND: "There is no client with this Client ID.",
    Reason.ATTESTATION_REQUIRED: "This client must authenticate.",
    Reason.ATTESTATION_INVALID: "The proof is not valid.",
    Reason.SELECTORS_MISMATCH: "The proof is about another workload than this client.",
    Reason.CLIENT_DISABLED: "This client is disabled.",
    Reason.NO_DELEGATION: "Nothing is delegated to this client.",
    Reason.DELEGATION_ENDED: "The delegations to this client have expired or were revoked.",
    Reason.ACTION_NOT_ALLOWED: "This client requested an action that it may not use.",
    Reason.CLIENT_AMBIGUOUS: "Several clients match the proof.",
    Reason.PROOF_NOT_ACCEPTED: "The delegation does not accept this kind of proof.",
    Reason.INVALID_DPOP_PROOF: "The DPoP proof is not valid.",
}
_MALFORMED = {Reason.INVALID_TARGET: "resource is malformed."}
_NEEDS_DPOP = "The delegation grants only tokens that are bound to a key (DPoP)."
_NOT_DELEGATED_THERE = "The requested actions are not delegated for the requested resource."
_GRANTABLE = {Reason.NO_DELEGATION, Reason.DELEGATION_ENDED, Reason.ACTION_NOT_ALLOWED}
"""Reasons for a refusal after which a new trust delegation can help."""


def sentence(denied: Denied, asked: TokenRequest | None) -> str:
    """Return the sentence that says why the request is refused. `asked` is None if the request is malformed."""
    usual = _NEEDS_DPOP if denied.needs_dpop else _SENTENCES[denied.reason]
    if asked is None:
        return _MALFORMED.get(denied.reason, usual)
    return _NOT_DELEGATED_THERE if denied.reason is Reason.INVALID_TARGET and asked.resources else usual


def next_steps(denied: Denied, issuer: str, asked: TokenRequest) -> Mapping[str, object]:
    """Return JSON members with the possible next steps after a refusal.

    The steps are: request fewer actions, or ask an administrator to grant more.
    """
    steps: dict[str, object] = {"missing_actions": denied.missing} if denied.missing else {}
    if denied.smaller:
        steps["allowed_scope"] = " ".join(denied.smaller)
    grantable = [action for action in denied.missing if action not in denied.unknown]
    if denied.reason in _GRANTABLE and (grantable or not denied.missing):
        page = grant_page(issuer, asked.client_id, actions=grantable or asked.actions or (), audiences=asked.resources)
        steps |= {"grantable": True, "grant_at": page}
    return steps
