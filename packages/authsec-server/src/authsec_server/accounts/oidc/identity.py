"""The result of a sign-in through a provider: the person's identity and role, or a refusal. No I/O.

A refusal has a message for the person, and a code for the audit log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from authsec.safe_text import plain

from authsec_server.accounts.model.administrators import read_email
from authsec_server.failures import NotPermitted
from authsec_server.naming import MAX_NAME
from authsec_server.principal import Role


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedIdentity:
    """A person at a provider, with the role that the person's claims grant at this authority.

    Only (`issuer`, `subject`) identifies the person. Never look up an account by the e-mail address: people
    type addresses, and an address may get another owner. `email_verified` means only that the provider checked
    the address.
    """

    issuer: str
    subject: str
    email: str
    email_verified: bool
    name: str
    role: Role


def is_complete(claims: Mapping[str, Any], rule: RoleRule) -> bool:
    """Return whether the claims contain a role, an e-mail address and a name. Userinfo is then not needed."""
    return rule.find(claims) is not None and _email(claims) is not None and _text(claims, "name") != ""


def read_identity(claims: Mapping[str, Any], rule: RoleRule) -> VerifiedIdentity:
    """Read the identity from verified claims. Raises `SignInRefused` if a role or an e-mail address is missing."""
    role = rule.role(claims)
    if role is None:
        whom = (claims["iss"], claims["sub"])
        raise SignInRefused(OpenIdRefusal.NO_ROLE, f"no value of the claim {rule.claim} gives a role", whom=whom)
    email = _email(claims)
    if email is None:
        raise SignInRefused(OpenIdRefusal.NO_EMAIL, "the provider sent no e-mail address in the claim `email`")
    return VerifiedIdentity(
        issuer=claims["iss"],
        subject=claims["sub"],
        email=email,
        email_verified=claims.get("email_verified") is True,
        name=_text(claims, "name") or _text(claims, "preferred_username") or email,
        role=role,
    )


def _email(claims: Mapping[str, Any]) -> str | None:
    """Return the claim `email` in the form of account addresses; None if the claim is not an e-mail address."""
    value = claims.get("email")
    return read_email(value) if isinstance(value, str) else None


def _text(claims: Mapping[str, Any], name: str) -> str:
    """Return a claim as one line of text for people; empty if the claim is not a string."""
    value = claims.get(name)
    return plain(value, MAX_NAME) if isinstance(value, str) else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRule:
    """A rule by which claims grant roles: `values` maps each role to the claim values that grant it.

    `claim` is the name of a claim that contains strings. It may also be a path with dots, such as
    `realm_access.roles`.
    """

    claim: str
    values: Mapping[Role, frozenset[str]]

    def role(self, claims: Mapping[str, Any]) -> Role | None:
        """Return the highest role that the claim grants; None if it grants no role. Values must match exactly."""
        held = _texts(self.find(claims))
        return max((role for role, values in self.values.items() if values & held), default=None)

    def find(self, claims: Mapping[str, Any]) -> object:
        """Return the value of the claim; None if it is absent.

        A claim with the whole name is looked up first, because the name may be a URL with dots. If there is no such
        claim, the name is used as a path.
        """
        if self.claim in claims:
            return claims[self.claim]
        value: object = claims
        for part in self.claim.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value


def _texts(claim: object) -> frozenset[str]:
    """Return the strings of a claim. A single string is one value and is not split.

    The reason: names of groups may contain spaces and commas.
    """
    items = claim if isinstance(claim, list) else [claim]
    return frozenset(item for item in items if isinstance(item, str) and item)


class OpenIdRefusal(StrEnum):
    """The reason why a sign-in through a provider was refused, as a code.

    Each code has at most 21 characters, because it is part of the key of the row that counts the refusals.
    """

    NOT_BEGUN = "oidc_not_begun"
    EXPIRED = "oidc_expired"
    USED = "oidc_used"
    STATE_MISMATCH = "oidc_state_mismatch"
    ISSUER_MISMATCH = "oidc_issuer_mismatch"
    DECLINED = "oidc_declined"
    PROVIDER_ERROR = "oidc_provider_error"
    ANSWER_INVALID = "oidc_answer_invalid"
    CODE_REFUSED = "oidc_code_refused"
    CLIENT_REFUSED = "oidc_client_refused"
    UNAVAILABLE = "oidc_unavailable"
    BUSY = "oidc_busy"
    MISCONFIGURED = "oidc_misconfigured"
    TOKEN_INVALID = "oidc_token_invalid"  # noqa: S105 - a code
    NO_EMAIL = "oidc_no_email"
    NO_ROLE = "oidc_no_role"


_AGAIN = "Sign in again from the sign-in page."
_OPERATOR = "Ask the operator of this server: the server's log shows the cause."
_WORDS: Mapping[OpenIdRefusal, tuple[str, str]] = {
    OpenIdRefusal.NOT_BEGUN: ("No sign-in was started in this browser.", _AGAIN),
    OpenIdRefusal.EXPIRED: ("This sign-in took longer than ten minutes.", _AGAIN),
    OpenIdRefusal.USED: ("This sign-in was already used.", _AGAIN),
    OpenIdRefusal.STATE_MISMATCH: ("This answer belongs to another sign-in, perhaps in another tab.", _AGAIN),
    OpenIdRefusal.ISSUER_MISMATCH: ("The answer came from a different provider than the one that was asked.", _AGAIN),
    OpenIdRefusal.DECLINED: ("The sign-in was declined at the single sign-on provider.", _AGAIN),
    OpenIdRefusal.PROVIDER_ERROR: ("The single sign-on provider did not complete the sign-in.", _AGAIN),
    OpenIdRefusal.ANSWER_INVALID: ("The single sign-on provider's answer is not complete.", _AGAIN),
    OpenIdRefusal.CODE_REFUSED: ("The single sign-on provider did not confirm the sign-in.", _AGAIN),
    OpenIdRefusal.CLIENT_REFUSED: ("The single sign-on provider does not know this server.", _OPERATOR),
    OpenIdRefusal.UNAVAILABLE: ("The single sign-on provider cannot be reached.", "Try again in a minute."),
    OpenIdRefusal.BUSY: ("Too many people are signing in right now.", "Try again in a minute."),
    OpenIdRefusal.MISCONFIGURED: ("Single sign-on is not set up correctly.", _OPERATOR),
    OpenIdRefusal.TOKEN_INVALID: ("The single sign-on provider's answer could not be verified.", _OPERATOR),
    OpenIdRefusal.NO_EMAIL: (
        "The single sign-on provider did not send your e-mail address.",
        "Ask the provider's operator to send the claim `email` to this application.",
    ),
    OpenIdRefusal.NO_ROLE: (
        "You are signed in at the single sign-on provider, but you have no role here.",
        "Ask an administrator to add you to a role or group that may use this console.",
    ),
}
_RETRYABLE = frozenset({OpenIdRefusal.UNAVAILABLE, OpenIdRefusal.BUSY})


class SignInRefused(NotPermitted):
    """A sign-in was refused. `note` is safe text for the server's log and is never shown to the person.

    `whom` is the issuer and subject of a person who is authenticated at the provider but has no role at this
    authority.
    """

    def __init__(self, code: OpenIdRefusal, note: str = "", *, whom: tuple[str, str] | None = None) -> None:
        super().__init__(*_WORDS[code])
        self.code = code
        self.reason = code
        self.note = note
        self.whom = whom

    @property
    def retryable(self) -> bool:
        """Return whether the same sign-in may succeed a moment later."""
        return self.code in _RETRYABLE
