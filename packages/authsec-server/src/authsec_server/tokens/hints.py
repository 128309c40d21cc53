"""The remedy for a refused token request, for the operator, and the console page for the remedy.

The answer to the agent only describes what the caller can do, and tells an unauthenticated caller nothing new. The
remedies in this module are for the operator. All functions are pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from authsec_server.attestation.model import DER_SIGNED, NOT_SIGNED, OWN_AS_GRANT, WRONG_LENGTH, WRONG_SECRET
from authsec_server.audit.model import Event, EventKind
from authsec_server.tokens.refusal import Reason


class Place(StrEnum):
    """The console page where the operator can apply the remedy."""

    CLIENT = "client"
    PROOFS = "proofs"
    CONNECT = "connect"
    DELEGATIONS = "delegations"
    NEW_DELEGATION = "new_delegation"
    ACTIVITY = "activity"
    SETTINGS = "settings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """A remedy and the console page for it. `scope` is a smaller request that the server would have accepted."""

    text: str
    place: Place
    scope: str = ""


def remedy(reason: Reason, detail: Mapping[str, Any], *, can_prove: bool = True) -> Remedy:
    """Return the remedy for a refusal.

    `detail` comes from the refusal's event. `detail` has few members if the caller was not authenticated.
    `can_prove` is true if the client has a proof that this authority can check. `can_prove` is also true if
    nothing is known about the client's proofs.
    """
    if reason is Reason.ATTESTATION_REQUIRED and not can_prove:
        return _NOTHING_TO_CHECK
    if reason is Reason.ACTION_NOT_ALLOWED:
        return _action_not_allowed(detail)
    if reason is Reason.INVALID_TARGET:
        return _invalid_target(detail)
    if reason is Reason.PROOF_NOT_ACCEPTED:
        return _proof_not_accepted(detail)
    if reason is Reason.SELECTORS_MISMATCH:
        return _selectors_mismatch(detail)
    if reason is Reason.CLIENT_AMBIGUOUS:
        return _client_ambiguous(detail)
    if reason is Reason.UNAVAILABLE and "failed" in detail:
        return _TRUSTED_ISSUER_AWAY
    if reason is Reason.ATTESTATION_INVALID and "failed" in detail and "trusted_issuer" not in detail:
        failed = detail["failed"]
        is_short_or_long = isinstance(failed, str) and failed.startswith(tuple(WRONG_LENGTH.values()))
        return _OWN_CREDENTIAL.get(failed, _WRONG_LENGTH if is_short_or_long else _WRONG_ASSERTION)
    text, place = _ALWAYS[reason]
    return Remedy(text=text, place=place)


def remedy_of(event: Event, *, can_prove: bool = True) -> Remedy | None:
    """Return the remedy for the refusal in this event. Return None if the event is not a refusal."""
    if event.kind is not EventKind.TOKEN_REFUSED or event.reason not in set(Reason):
        return None
    return remedy(Reason(event.reason), event.detail, can_prove=can_prove)


_ALWAYS: Mapping[Reason, tuple[str, Place]] = {
    Reason.CLIENT_ID_MISSING: (
        "The request has no client_id: set the agent's Client ID where the agent runs.",
        Place.CONNECT,
    ),
    Reason.CLIENT_ID_INVALID: (
        "The client_id is not a Client ID: copy it again, complete and in lower case.",
        Place.CONNECT,
    ),
    Reason.INVALID_SCOPE: (
        "The requested scope is malformed, or has more actions than one token can have: request only the actions "
        "needed, as resource:action, separated by spaces.",
        Place.CONNECT,
    ),
    Reason.RATE_LIMITED: (
        "The agent requests tokens too often: have it cache its token until shortly before the token expires, as "
        "the SDK does. If it really needs so many tokens, raise the limits in the server's settings.",
        Place.SETTINGS,
    ),
    Reason.CLIENT_NOT_FOUND: (
        "No client has that Client ID: compare the agent's setting with the list, and onboard the agent if it is "
        "missing.",
        Place.CONNECT,
    ),
    Reason.ATTESTATION_REQUIRED: (
        "The agent sent no proof: set up its authentication where it runs, as Connect shows.",
        Place.CONNECT,
    ),
    Reason.ATTESTATION_INVALID: (
        "The agent's proof was not valid: compare the agent's key, or its token's issuer and audience, with the "
        "proof registered here. Check when that proof expires, and the machine's clock. A secret may have been "
        "rotated.",
        Place.PROOFS,
    ),
    Reason.INVALID_DPOP_PROOF: (
        "The agent's DPoP proof was not valid, or was sent twice: check the clock of the agent's machine, and whether "
        "its proof is for the address of this authority's token endpoint.",
        Place.CONNECT,
    ),
    Reason.CLIENT_DISABLED: ("The client is disabled: enable it if it should get tokens again.", Place.CLIENT),
    Reason.NO_DELEGATION: (
        "The agent has no enabled trust delegation: create one, or enable an existing one.",
        Place.NEW_DELEGATION,
    ),
    Reason.DELEGATION_ENDED: (
        "Every trust delegation of the agent has expired or was revoked: create a new trust delegation.",
        Place.NEW_DELEGATION,
    ),
    Reason.UNAVAILABLE: (
        "The authority could not record or sign at that time; the agent retries by itself. If the problem "
        "persists, check the server's log and its database.",
        Place.ACTIVITY,
    ),
}


_NOTHING_TO_CHECK = Remedy(
    text="The agent has no proof that this authority can check, so it cannot authenticate yet. The agent's page shows "
    "the next step: add a trusted issuer or a key pair.",
    place=Place.CLIENT,
)

_OWN_CREDENTIAL: Mapping[object, Remedy] = {
    NOT_SIGNED: Remedy(
        text="The agent signed with a key that is not registered for it, or no longer: compare the agent's key with "
        "the proofs registered here, and add its public key if it is the right one.",
        place=Place.PROOFS,
    ),
    **dict.fromkeys(
        DER_SIGNED.values(),
        Remedy(
            text="The agent's signature has the DER form, so this authority could not check which key signed: convert "
            "the signature to R and S, or sign with a JWT library. The proofs registered here need no change.",
            place=Place.CONNECT,
        ),
    ),
    OWN_AS_GRANT: Remedy(
        text="An agent sent its own assertion as the grant: change its request to grant_type=client_credentials, and "
        "send the assertion as client_assertion, with client_assertion_type.",
        place=Place.CONNECT,
    ),
    WRONG_SECRET: Remedy(
        text="The agent sent a secret that is not valid for it: give the agent its current secret, or rotate it.",
        place=Place.PROOFS,
    ),
}
_WRONG_LENGTH = Remedy(
    text="The agent's signature is not R and S of the full length, so this authority could not check which key signed: "
    "sign with a JWT library. The proofs registered here need no change.",
    place=Place.CONNECT,
)
_WRONG_ASSERTION = Remedy(
    text="The agent signed with its registered key, so it needs no other proof: correct the settings of its "
    "SDK or OAuth library where the agent runs, as Connect shows, or the clock of its machine.",
    place=Place.CONNECT,
)

_TRUSTED_ISSUER_AWAY = Remedy(
    text="The trusted issuer could not be asked, so the proof could not be checked. The agent was told to retry "
    "later, which it does by itself. The page of the trusted issuer shows the failure.",
    place=Place.PROOFS,
)


def _action_not_allowed(detail: Mapping[str, Any]) -> Remedy:
    missing, smaller = _texts(detail, "missing"), _texts(detail, "smaller")
    if "missing" not in detail:  # unauthenticated requests are only counted, so their actions are not recorded
        return Remedy(
            text="The agent requested an action that is not delegated to it, or that its role no longer has. For an "
            "unattested client, the action is not recorded. Compare the scope that the agent requests with its "
            "trust delegations.",
            place=Place.DELEGATIONS,
        )
    if not missing:
        return Remedy(
            text="The agent's delegations allow only actions that their roles no longer have: add the actions to "
            "the role again, or delegate others.",
            place=Place.DELEGATIONS,
        )
    if unknown := _texts(detail, "unknown"):
        return Remedy(
            text=f"Correct {' '.join(unknown)} where the agent requests the action, or add the action to a role.",
            place=Place.DELEGATIONS,
            scope=" ".join(smaller),
        )
    if withheld := _texts(detail, "withheld"):
        return Remedy(
            text=f"A trust delegation allows {' '.join(withheld)}, but does not accept the proof of the request: send "
            "the proof that the delegation accepts, or edit the delegation.",
            place=Place.DELEGATIONS,
            scope=" ".join(smaller),
        )
    granted = f" scope={' '.join(smaller)} would have been granted." if smaller else ""
    return Remedy(
        text=f"Not delegated to the agent: {' '.join(missing)}. Allow it in a trust delegation, or remove it from the "
        f"agent's request.{granted}",
        place=Place.DELEGATIONS,
        scope=" ".join(smaller),
    )


def _invalid_target(detail: Mapping[str, Any]) -> Remedy:
    if isinstance(detail.get("algorithms"), dict):
        return Remedy(
            text=f"The audiences of the token have different signing algorithms ({_algorithms(detail['algorithms'])}). "
            "Change the agent: request a separate token for each API, with the parameter resource. Or register all "
            "these APIs with one algorithm.",
            place=Place.CONNECT,
        )
    resources = ", ".join(_texts(detail, "resources"))
    if not resources:
        return Remedy(
            text="The agent's delegations are for different APIs, and the request names no API: set the parameter "
            "resource, as Connect shows.",
            place=Place.CONNECT,
        )
    return Remedy(
        text=f"The requested actions are not delegated for {resources}: add that API to a trust delegation, or "
        "correct the resource where the agent runs.",
        place=Place.DELEGATIONS,
    )


def _algorithms(detail: Mapping[str, Any]) -> str:
    return ", ".join(f"{audience}: {algorithm}" for audience, algorithm in sorted(detail.items()))


def _proof_not_accepted(detail: Mapping[str, Any]) -> Remedy:
    if detail.get("needs_dpop"):
        return Remedy(
            text="The agent's delegation requires DPoP, and the request had no DPoP proof: set AUTHSEC_DPOP=1 where "
            "the agent runs. Without the SDK, the agent sends a DPoP proof to /oauth/token. Or edit the delegation.",
            place=Place.DELEGATIONS,
        )
    kind = detail.get("attestation")
    way = {None: "that way", "none": "by client_id only"}.get(kind, f"by {str(kind).replace('_', ' ')}")
    unbound = " A delegation that requires DPoP accepts no unattested client." if kind in (None, "none") else ""
    return Remedy(
        text=f"The agent's delegations exclude clients that authenticate {way}: add a proof of another kind, or "
        f"accept this kind in the delegation.{unbound}",
        place=Place.PROOFS,
    )


def _selectors_mismatch(detail: Mapping[str, Any]) -> Remedy:
    differs = _sentence(detail)
    return Remedy(
        text=f"The request came from another workload than the registered one{differs}. If that workload is the "
        "right one, add a proof with its selectors.",
        place=Place.PROOFS,
    )


def _client_ambiguous(detail: Mapping[str, Any]) -> Remedy:
    several = _sentence(detail).removeprefix(": ") or "The workload matches several clients"
    return Remedy(
        text=f"{several}. The request named none of them. Remove the proof from all but one client, or set the "
        "parameter client_id where the agent runs.",
        place=Place.ACTIVITY,
    )


def _sentence(detail: Mapping[str, Any]) -> str:
    miss = detail.get("miss")
    sentence = miss.get("sentence") if isinstance(miss, dict) else None
    return f": {sentence}" if isinstance(sentence, str) else ""


def _texts(detail: Mapping[str, Any], name: str) -> Sequence[str]:
    value = detail.get(name)
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
