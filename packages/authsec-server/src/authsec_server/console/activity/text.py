"""The text of an event: a sentence, its parts for a row of the list, and the proof behind a token.

All functions are pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from authsec_server.attestation.model import Validation
from authsec_server.audit.filters import REFUSALS, TOKEN_KINDS
from authsec_server.audit.model import ALREADY, Event, EventKind, Named, Recorded
from authsec_server.console.formatting import cut_middle
from authsec_server.issuers.model import Provenance, shown_provenance

_VERBS: Mapping[EventKind, str] = {
    EventKind.CLIENT_CREATED: "onboarded",
    EventKind.CLIENT_EDITED: "edited",
    EventKind.CLIENT_DISABLED: "disabled",
    EventKind.CLIENT_ENABLED: "enabled",
    EventKind.CLIENT_DELETED: "deleted",
    EventKind.TOKEN_REVOKED: "revoked a token of",
    EventKind.CLIENT_TOKENS_REVOKED: "revoked the tokens of",
    EventKind.PROOF_ADDED: "added a proof to",
    EventKind.PROOF_BOUND: "chose the trusted issuer of a proof of",
    EventKind.PROOF_ENROLLED: "enrolled a machine as",
    EventKind.PROOF_REMOVED: "removed a proof from",
    EventKind.ENROLMENT_MADE: "created an enrolment code for",
    EventKind.ENROLMENT_TAKEN_BACK: "took back an enrolment code of",
    EventKind.PROOF_ROTATED: "rotated the secret of",
    EventKind.ROLE_CREATED: "created the role",
    EventKind.ROLE_EDITED: "edited the role",
    EventKind.ROLE_DELETED: "deleted the role",
    EventKind.API_CREATED: "registered the API",
    EventKind.API_EDITED: "edited the API",
    EventKind.API_DELETED: "deleted the API",
    EventKind.API_CREDENTIAL_CREATED: "created a credential for the API",
    EventKind.API_CREDENTIAL_REVOKED: "revoked a credential of the API",
    EventKind.ISSUER_CREATED: "added the trusted issuer",
    EventKind.ISSUER_EDITED: "edited the trusted issuer",
    EventKind.ISSUER_DISABLED: "disabled the trusted issuer",
    EventKind.ISSUER_ENABLED: "enabled the trusted issuer",
    EventKind.ISSUER_DELETED: "removed the trusted issuer",
    EventKind.ISSUER_TRIED: "tried a token at the trusted issuer",
    EventKind.DELEGATION_CREATED: "created the trust delegation",
    EventKind.DELEGATION_EDITED: "edited the trust delegation",
    EventKind.DELEGATION_DISABLED: "disabled the trust delegation",
    EventKind.DELEGATION_ENABLED: "enabled the trust delegation",
    EventKind.DELEGATION_REVOKED: "revoked the trust delegation",
    EventKind.KEY_CREATED: "prepared the signing key",
    EventKind.KEY_ROTATED: "activated the signing key",
    EventKind.KEY_GONE: "removed the retired signing key",
    EventKind.KEY_REVOKED: "revoked the signing key",
    EventKind.FEED_KEY_CREATED: "created a key for the revocation feed,",
    EventKind.FEED_KEY_GONE: "removed a retired key of the revocation feed,",
    EventKind.SEAL_KEY_CREATED: "created the key that seals the audit log,",
    EventKind.SEAL_KEY_REPLACED: "replaced the key that seals the audit log with",
    EventKind.MASTER_KEY_CHANGED: "changed the master key to",
    EventKind.EVENTS_DROPPED: "deleted old events from the audit log",
    EventKind.COUNTS_REBUILT: "rebuilt the counts of tokens and uses",
    EventKind.AUTHORITY_RESTORED: "recorded that the database was restored from a backup",
    EventKind.ADMIN_KEY_CREATED: "created the admin key",
    EventKind.ADMIN_KEY_REVOKED: "revoked the admin key",
    EventKind.ADMINISTRATOR_INVITED: "invited",
    EventKind.ADMINISTRATOR_SET_UP: "set up",
    EventKind.ADMINISTRATOR_CHANGED: "changed",
    EventKind.ADMINISTRATOR_DISABLED: "disabled the administrator",
    EventKind.ADMINISTRATOR_ENABLED: "enabled the administrator",
    EventKind.ADMINISTRATOR_RESET: "reset the password of",
    EventKind.SECOND_FACTOR_ON: "turned on the second factor of",
    EventKind.SECOND_FACTOR_OFF: "turned off the second factor of",
    EventKind.SECOND_FACTOR_RESET: "reset the second factor of",
    EventKind.RECOVERY_CODE_USED: "used a recovery code of",
    EventKind.LINK_MADE: "created a one-time link for",
    EventKind.SESSION_ENDED: "ended a session of",
}
_NAMELESS: Mapping[str, str] = {
    "client_not_found": "an unknown client_id",
    "client_id_missing": "a caller without a client_id",
    "client_id_invalid": "a malformed client_id",
}
"""The caller, if the audit log names no client. The audit log does not keep an invented client_id."""

_OF_OWN_ACCOUNT: Mapping[EventKind, str] = {
    EventKind.ADMINISTRATOR_SET_UP: "set up their account",
    EventKind.ADMINISTRATOR_CHANGED: "changed their own account",
    EventKind.SECOND_FACTOR_ON: "turned on their second factor",
    EventKind.SECOND_FACTOR_OFF: "turned off their second factor",
    EventKind.RECOVERY_CODE_USED: "used a recovery code",
    EventKind.SESSION_ENDED: "ended one of their own sessions",
}

_AUDIENCES: Mapping[EventKind, str] = {
    EventKind.TOKEN_ISSUED: "audience",
    EventKind.TOKEN_REFUSED: "resources",
    EventKind.DELEGATION_CREATED: "audiences",
}
"""The member of the detail that has the audiences."""

_PAGES: Mapping[str, str] = {
    "api": "/console/apis/{id}",
    "administrator": "/console/administrators/{id}",
    "admin_key": "/console/administrators",
    "key": "/console/keys",
    "feed_key": "/console/keys",
    "issuer": "/console/issuers",
}


def sentence(recorded: Recorded) -> str:
    """Describe the event in one sentence. The sentence contains an id only if a name is missing."""
    event = recorded.event
    if event.kind is EventKind.EVENT_UNREADABLE:
        return str(event.detail["problem"])
    if event.kind in REFUSALS:
        return _refusal(event, _times(recorded))
    if event.kind is EventKind.TOKEN_ISSUED:
        return f"Token issued to {_name(event)}"
    if event.kind is EventKind.TOKEN_REVOKED and event.principal is None:
        return f"Token of {_name(event)} revoked by its holder"
    return f"{_principal(event)} {_act(event)}"


def _refusal(event: Event, times: str) -> str:
    if event.kind is EventKind.ADMIN_SIGN_IN_REFUSED:
        return f"Sign-in of an administrator refused{times}"
    if event.kind is EventKind.ADMIN_REFUSED:
        return f"{_principal(event)} was not permitted{times}: {event.detail.get('operation', '')}"
    if event.kind is EventKind.ENROLMENT_REFUSED:
        return f"Enrolment refused{times}{' as ' + _name(event) if event.client else ''}"
    if event.kind is EventKind.API_REFUSED:
        return f"Credential of an API refused{times}{' for ' + _name(event) if event.subject else ''}"
    return f"Token refused to {_name(event) or _NAMELESS.get(event.reason, 'somebody')}{',' if times else ''}{times}"


def _times(recorded: Recorded) -> str:
    return f" {recorded.count:,} times" if recorded.count > 1 else ""


def who(event: Event) -> str:
    """Return the name of the principal or agent that acted, or a description if the audit log names nobody."""
    if event.principal:
        return event.principal.name
    if event.kind is EventKind.EVENT_UNREADABLE:
        return ""
    if event.client and event.kind is not EventKind.ENROLMENT_REFUSED:
        return event.client.name or event.client.id
    nameless = _NAMELESS.get(event.reason, "somebody")
    return nameless[0].upper() + nameless[1:]


def did(recorded: Recorded) -> str:
    """Describe what the principal or agent did, without the name that `who` returns."""
    event, times = recorded.event, _times(recorded)
    if event.kind in TOKEN_KINDS:
        laptop = " on a laptop" if "enrolled" in event.detail else ""
        actions = ", ".join(event.detail.get("actions") or ())
        return f"asked for {actions or 'a token'}{laptop}{times}"
    if event.kind is EventKind.EVENT_UNREADABLE:
        return str(event.detail["problem"])
    if event.kind is EventKind.TOKEN_REVOKED and event.principal is None:
        return "revoked its own token"
    if event.kind is EventKind.ADMIN_REFUSED:
        return f"tried{times}: {event.detail.get('operation', 'a change')}"
    if event.kind is EventKind.ADMIN_SIGN_IN_REFUSED:
        return f"tried to sign in{times}{' as ' + _name(event) if event.subject else ''}"
    if event.kind is EventKind.ENROLMENT_REFUSED:
        return f"tried to enrol{times}{' as ' + _name(event) if event.client else ''}"
    if event.kind is EventKind.API_REFUSED:
        return f"sent a credential{times}{' of ' + _name(event) if event.subject else ''}"
    return _act(event)


_LONGEST = 60  # characters of a name that a row shows


def with_short_names(recorded: Recorded) -> Recorded:
    """Return the event with long names cut in their middle, for the sentences of a row."""
    event = recorded.event
    cut = replace(
        event,
        client=_short(event.client) if event.client else None,
        subject=_short(event.subject) if event.subject else None,
        delegations=tuple(map(_short, event.delegations)),
        roles=tuple(map(_short, event.roles)),
    )
    return replace(recorded, event=cut)


def _short(named: Named) -> Named:
    return replace(named, name=cut_middle(named.name, _LONGEST))


def apis(event: Event) -> tuple[str, ...]:
    """Return the APIs of the event: the audiences of a token or of a delegation, or the name of the API."""
    if event.subject and event.kind.startswith("api."):
        return (event.subject.name,)
    return tuple(each.removeprefix("https://") for each in audiences(event))


def audiences(event: Event) -> tuple[str, ...]:
    """Return the audiences of a token or of a delegation, or the resources of a refused request."""
    member = _AUDIENCES.get(event.kind)
    named = event.detail.get(member) if member else None
    return tuple(map(str, named)) if isinstance(named, list) else ()


def result(event: Event) -> str:
    """Return the result of the event in one word."""
    if event.kind in REFUSALS:
        return "Refused"
    return {EventKind.TOKEN_ISSUED: "Issued", EventKind.EVENT_UNREADABLE: "Unreadable"}.get(event.kind, "Done")


def _act(event: Event) -> str:
    if event.kind is EventKind.ADMIN_SIGN_IN:
        return "signed in"
    if event.principal and event.subject and event.subject.id == event.principal.id and event.kind in _OF_OWN_ACCOUNT:
        return _OF_OWN_ACCOUNT[event.kind]
    is_repeat = event.detail.get(ALREADY) and event.kind.endswith(("disabled", "revoked"))
    return f"{_VERBS.get(event.kind, str(event.kind))} {_name(event)}".strip() + (" again" if is_repeat else "")


def place(event: Event) -> str:
    """Return the path of the page that shows the event's subject. Return "" if the subject has no page."""
    if event.subject is None or event.kind is EventKind.API_DELETED:
        return ""
    return _PAGES.get(event.kind.partition(".")[0], "").format(id=event.subject.id)


def tone(event: Event) -> str:
    """Return the colour name of the event's badge.

    `bad` (red) is for refusals, and `good` (green) for issued tokens. `warn` (amber) is for changes that end or
    widen authority. All other events are `quiet`.
    """
    if event.kind in REFUSALS:
        return "bad"
    if event.kind is EventKind.TOKEN_ISSUED:
        return "good"
    notable = ("unreadable", "disabled", "revoked", "deleted", "removed", "gone", "reset", "enrolled", "dropped")
    return "warn" if event.kind.endswith(notable) else "quiet"


def _principal(event: Event) -> str:
    return event.principal.name if event.principal else "Somebody"


def _name(event: Event) -> str:
    """Return the name of the event's delegation, role, client or subject: the first of these that the event has."""
    if event.kind.startswith("delegation.") and event.delegations:
        return event.delegations[0].name
    if event.kind.startswith("role.") and event.roles:
        return event.roles[0].name
    named = event.client or event.subject
    if event.kind is EventKind.LINK_MADE and named is None:
        return "the first administrator"
    return named.name or named.id if named else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One selector of a proof, and how the trusted issuer proved it.

    If the token was refused because of the selectors, `registered` and `shown` are set. `registered` is the
    value of the proof, and `shown` is the value of the workload.
    """

    key: str
    how: str
    registered: str = ""
    shown: str = ""
    agrees: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofExplanation:
    """The proof behind a token or a refusal, with the name of the trusted issuer. Unknown fields are empty.

    `sentence` says which selectors differed. `gone` is true if the cluster said that the workload no longer
    exists. `failed` says why the proof was refused, or why the issuer's cluster or keys were
    unavailable.
    """

    trusted_issuer: str = ""
    checked: str = ""
    rows: tuple[Row, ...] = ()
    sentence: str = ""
    gone: bool = False
    failed: str = ""


def explain_proof(event: Event) -> ProofExplanation | None:
    """Return the proof that the event describes. Return None without a trusted issuer and without a failed check."""
    its = event.detail
    trusted_issuer = its.get("trusted_issuer")
    if not isinstance(trusted_issuer, dict):
        is_own = event.kind is EventKind.TOKEN_REFUSED and "failed" in its
        return ProofExplanation(failed=str(its["failed"])) if is_own else None
    miss: Mapping[str, Any] = its.get("miss", {})
    proved: Mapping[str, str] = its.get("proved_by", {})
    rows = [Row(key=key, how=_how(key, how)) for key, how in proved.items()]
    return ProofExplanation(
        trusted_issuer=str(trusted_issuer.get("name", "")),
        checked=_checked(miss.get("validation") or its.get("validation")),
        rows=(*rows, *map(_missed, miss.get("selectors", ()))),
        sentence=str(miss.get("sentence", "")),
        gone=its.get("gone") is True,
        failed=str(its.get("failed", "")),
    )


def _missed(row: Mapping[str, Any]) -> Row:
    return Row(
        key=row["key"],
        how=_how(row["key"], row.get("proved_by", "")),
        registered=row["registered"],
        shown=row["shown"],
        agrees=row["agrees"],
    )


def _how(key: str, how: str) -> str:
    return shown_provenance(key, Provenance(how)) if how in set(Provenance) else how


def _checked(validation: Any) -> str:
    return Validation(validation).shown if validation in set(Validation) else ""
