"""The operator's remedy for a refusal, and its place in the console. Pure.

The answer to the agent describes what the *caller* can do. An unauthenticated caller learns nothing new from
the answer. These hints are for the person who decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from authsec_server.audit.model import Event, EventKind
from authsec_server.tokens.decision import Reason


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
    """A remedy and the console page for it. `scope` is the smaller request that would have passed."""

    text: str
    place: Place
    scope: str = ""


def remedy(reason: Reason, detail: Mapping[str, Any], *, can_prove: bool = True) -> Remedy:
    """Return the remedy for a refusal.

    `detail` comes from the refusal's event; it has few members if the caller was not authenticated. `can_prove`
    is true if the client has a proof that this authority can check, or if that is unknown.
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
    if reason is Reason.UNAVAILABLE and "failed" in detail:
        return _TRUSTED_ISSUER_AWAY
    text, place = _ALWAYS[reason]
    return Remedy(text=text, place=place)


def remedy_of(event: Event, *, can_prove: bool = True) -> Remedy | None:
    """Return the remedy for the refusal in this event; None for any other event."""
    if event.kind is not EventKind.TOKEN_REFUSED or event.reason not in set(Reason):
        return None
    return remedy(Reason(event.reason), event.detail, can_prove=can_prove)


_ALWAYS: Mapping[Reason, tuple[str, Place]] = {
    Reason.CLIENT_ID_MISSING: (
        "The request named no client: set the agent's Client ID where it runs.",
        Place.CONNECT,
    ),
    Reason.CLIENT_ID_INVALID: (
        "What was sent is no Client ID: copy it again, whole and in lower case.",
        Place.CONNECT,
    ),
    Reason.INVALID_SCOPE: (
        "The agent asks for actions in a form that is none, or for more than one token may have: let it name those it "
        "needs as resource:action, separated by spaces.",
        Place.CONNECT,
    ),
    Reason.RATE_LIMITED: (
        "It asks too often: let it keep its token until shortly before it expires, as the SDK does. If it must ask so "
        "often, raise the limits in the server's settings.",
        Place.SETTINGS,
    ),
    Reason.CLIENT_NOT_FOUND: (
        "No client has that Client ID: compare the agent's setting with the list, and onboard it if it is missing.",
        Place.CONNECT,
    ),
    Reason.ATTESTATION_REQUIRED: (
        "It sent no proof: set up where it runs how it proves itself, as Connect shows.",
        Place.CONNECT,
    ),
    Reason.ATTESTATION_INVALID: (
        "Its proof did not hold: compare the key where it runs, or its token's issuer and audience, with what is "
        "registered here, and look at that proof's end and the machine's clock. A secret may have been rotated.",
        Place.PROOFS,
    ),
    Reason.CLIENT_DISABLED: ("The client is disabled: enable it if it may act again.", Place.CLIENT),
    Reason.NO_DELEGATION: (
        "Nothing is delegated to it that is enabled: create a trust delegation, or enable the one it has.",
        Place.NEW_DELEGATION,
    ),
    Reason.DELEGATION_ENDED: (
        "All that was delegated to it has ended or was revoked, and that is for good: create a new trust delegation.",
        Place.NEW_DELEGATION,
    ),
    Reason.UNAVAILABLE: (
        "The authority could not record or sign at that moment; the agent asks again by itself. If it lasts, look at "
        "the server's log and its database.",
        Place.ACTIVITY,
    ),
}


_NOTHING_TO_CHECK = Remedy(
    text="It holds no proof that this authority can check, so it cannot prove itself yet. A key pair can be checked: "
    "add one as a further proof.",
    place=Place.PROOFS,
)

_TRUSTED_ISSUER_AWAY = Remedy(
    text="Its trusted issuer could not be asked, so nothing was proved and the agent was told to come back later, "
    "which it does by itself. The page of the trusted issuer says what failed.",
    place=Place.PROOFS,
)


def _action_not_allowed(detail: Mapping[str, Any]) -> Remedy:
    missing, smaller = _texts(detail, "missing"), _texts(detail, "smaller")
    if "missing" not in detail:  # it proved nothing, and of such requests only how many there were is recorded
        return Remedy(
            text="It asks for an action that is not delegated to it, or that its role no longer holds; which, is not "
            "recorded of a client that proves itself by its name alone. Compare what it asks for, where it runs, with "
            "its trust delegations.",
            place=Place.DELEGATIONS,
        )
    if not missing:
        return Remedy(
            text="Its delegations allow only actions that their roles no longer hold: give them to the role again, or "
            "delegate others.",
            place=Place.DELEGATIONS,
        )
    if unknown := _texts(detail, "unknown"):
        return Remedy(
            text=f"No role and no API has {' '.join(unknown)}: correct the action where the agent asks for it, or add "
            "it to a role.",
            place=Place.DELEGATIONS,
            scope=" ".join(smaller),
        )
    less = f"ask for less: scope={' '.join(smaller)} would have passed" if smaller else "not ask for that"
    return Remedy(
        text=f"Not delegated to it: {' '.join(missing)}. Allow it in a trust delegation, or have the agent {less}.",
        place=Place.DELEGATIONS,
        scope=" ".join(smaller),
    )


def _invalid_target(detail: Mapping[str, Any]) -> Remedy:
    resources = ", ".join(_texts(detail, "resources"))
    if not resources:
        return Remedy(
            text="Its delegations are for different APIs and it did not say which it means: have it name one as "
            "resource, as Connect shows.",
            place=Place.CONNECT,
        )
    return Remedy(
        text=f"What it asks for is not delegated for {resources}: add that API to a trust delegation, if it may, or "
        "correct the resource where it runs.",
        place=Place.DELEGATIONS,
    )


def _proof_not_accepted(detail: Mapping[str, Any]) -> Remedy:
    kind = detail.get("attestation")
    way = {None: "that way", "none": "by its name alone"}.get(kind, f"by {str(kind).replace('_', ' ')}")
    return Remedy(
        text=f"Its delegations exclude clients that prove themselves {way}: give it a proof of another kind, or accept "
        "this kind in the delegation.",
        place=Place.PROOFS,
    )


def _selectors_mismatch(detail: Mapping[str, Any]) -> Remedy:
    miss = detail.get("miss")
    sentence = miss.get("sentence") if isinstance(miss, dict) else None
    differs = f": {sentence}" if isinstance(sentence, str) else ""
    return Remedy(
        text=f"Another workload than this one asked{differs}. If it is the right one, give the client a proof with "
        "what it runs as.",
        place=Place.PROOFS,
    )


def _texts(detail: Mapping[str, Any], name: str) -> Sequence[str]:
    value = detail.get(name)
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []
