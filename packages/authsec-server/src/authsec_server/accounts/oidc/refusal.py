"""Refusals of a sign-in through a provider: a message for the person, and a code for the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from authsec_server.failures import NotPermitted


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
        "Ask the provider's operator to send the claim email to this application.",
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
