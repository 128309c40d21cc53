"""The errors that `authsec` raises.

Agent frameworks pass a tool's exception text to the model, and some pass all causes of the exception too. So
a model may read every error text of this module. No text has a token, a key or a URL with a query. Callers
raise these errors with `from None`.
"""

from __future__ import annotations

from typing import Any, Final

_OF_THE_SETUP: Final = {
    "client_id_invalid",
    "client_id_missing",
    "client_not_found",
    "invalid_scope",
    "invalid_target",
    "selectors_mismatch",
}


class AuthSecError(Exception):
    """The base class of all errors of this package.

    `reason` is a stable code. `retryable` means that the same call can succeed later without a change by a
    person. `retry_after` is in seconds. `request_id` identifies the request in the authority's audit log.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        status: int | None = None,
        request_id: str | None = None,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status
        self.request_id = request_id
        self.retryable = retryable
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[Any, ...]:
        """Make pickle and copy work, by restoring the attributes.

        The inherited method loses keyword-only arguments, and this crashes worker pools. A copy has no traceback and
        no context. So each thread that waits for a request can raise its own copy.
        """
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[AuthSecError], args: tuple[Any, ...], attributes: dict[str, Any]) -> AuthSecError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class ConfigError(AuthSecError):
    """The program's settings are missing or wrong; nothing was sent."""


class TransportError(AuthSecError):
    """The authority could not be reached, or did not answer in time."""


class InvalidResponse(AuthSecError):
    """A server answered, but its response is not one of an AuthSec authority."""


class TokenRequestError(AuthSecError):
    """The authority refused the token request."""


class AuthenticationError(TokenRequestError):
    """401: the authority did not accept a proof of the agent's identity."""

    is_of_the_setup = True

    @property
    def for_model(self) -> str:
        """Return the text for a model."""
        return _of_the_setup(self)


class DelegationDenied(TokenRequestError):
    """400, 403, 404, 410: no delegation to this agent covers the request, or the delegation has ended.

    `is_of_the_setup` means that only the agent's operator can fix the problem. Examples are an unknown client_id,
    or an API that the request must name. The error's own text contains the remedy, with names of settings and
    files. `for_model` contains no such names.

    The authority may send three more values. `missing_actions` are the actions that are not delegated.
    `allowed_scope` is the smaller request that would succeed. `grant_at` is the console page where a person can
    grant the missing actions.
    """

    missing_actions: tuple[str, ...] = ()
    allowed_scope: str = ""
    grant_at: str | None = None

    @property
    def is_of_the_setup(self) -> bool:
        """Whether the agent's setup is wrong. If False, the authority decided about the agent's permissions."""
        return self.reason in _OF_THE_SETUP

    @property
    def for_model(self) -> str:
        """Return the text for a model, with the agent's next step."""
        if self.is_of_the_setup:
            return _of_the_setup(self)
        smaller = f" The delegation allows {self.allowed_scope}." if self.allowed_scope else ""
        person = f" The person you work for can grant it at {self.grant_at}." if self.grant_at else ""
        return f"{self}{smaller}{person}"


def _of_the_setup(error: TokenRequestError) -> str:
    request = f", request {error.request_id}" if error.request_id else ""
    retry = "Retrying may help." if error.retryable else "Retrying will not help."
    return (
        f"This agent is not set up as its authority expects ({error.reason}{request}). The agent's log tells its "
        f"operator what to do. {retry}"
    )


class RateLimited(TokenRequestError):
    """429: too many requests. `retry_after` is the time to wait in seconds, if the authority sent one."""


class ServerError(TokenRequestError):
    """5xx: the authority cannot issue tokens at the moment."""


class EnrolmentRefused(AuthSecError):
    """The authority refused to enrol this machine."""


class VerificationError(AuthSecError):
    """The base class of the errors of `TokenVerifier`. `details` explains how to pass the failed check.

    The API's caller may read the text and `details`. They contain this API's own requirements. From the token
    they contain at most the audience, and only if the token is from a trusted issuer.

    `scheme` is the authentication scheme of the challenge: `DPoP` for a token that is bound to a key.
    `operator_hint` is only for the API's own log: it may name the API's settings.
    """

    status: int
    scheme: str = "Bearer"
    operator_hint: str = ""

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        status: int,
        details: str,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, reason=reason, status=status, retryable=retryable, retry_after=retry_after)
        self.details = details


class InvalidToken(VerificationError):
    """The token is not valid for this API (RFC 6750 `invalid_token`, 401)."""

    def __init__(self, message: str, *, reason: str, details: str, retryable: bool = False) -> None:
        super().__init__(message, reason=reason, status=401, details=details, retryable=retryable)


class InvalidProof(InvalidToken):
    """The DPoP proof of the request is not valid, or was used before (RFC 9449 `invalid_dpop_proof`, 401).

    `failed_claim` is `htm`, `htu` or `iat` if this claim is wrong; the API's log counts these causes apart.
    """

    scheme = "DPoP"
    failed_claim: str = ""


class AgentRequired(InvalidToken, LookupError):
    """The endpoint requires an agent, and the request has no delegation token."""

    def __init__(self) -> None:
        super().__init__(
            "This API needs a delegation token.",
            reason="token_missing",
            details="Send the header Authorization: Bearer <delegation token>.",
        )


class InsufficientScope(VerificationError):
    """The token is valid but lacks a required action (RFC 6750 `insufficient_scope`, 403).

    `required` are the actions that the call needs: all of them or, with `any_of`, one of them. `granted` are the
    token's actions, so that a model sees which other calls are possible. `missing` are the required actions that
    the token lacks. `allowed` are the required actions that it has.

    A person can grant the missing actions at `grant_at`, a page of the authority's console. `for_model` is a text
    for the model with the missing actions and this page. `audience` is the token's audience, usually the API's
    identifier.
    """

    def __init__(
        self,
        *,
        required: tuple[str, ...],
        granted: tuple[str, ...],
        any_of: bool = False,
        grant_at: str | None = None,
        audience: tuple[str, ...] = (),
    ) -> None:
        self.required = required
        self.granted = granted
        self.any_of = any_of
        self.grant_at = grant_at
        self.missing = tuple(action for action in required if action not in granted)
        self.allowed = tuple(action for action in required if action in granted)
        wanted = (" or " if any_of else " and ").join(self.missing)
        super().__init__(
            f"This agent's token does not allow {wanted}. The token allows {', '.join(granted) or 'nothing'}.",
            reason="action_not_allowed",
            status=403,
            details=(
                f"This agent needs a trust delegation that allows {wanted}. Retrying does not help. If no role "
                "has such an action, this API may have misspelt the action."
            ),
        )
        # With several audiences, the API is not known.
        where = f"at {audience[0]}" if len(audience) == 1 else "here"
        self.for_model = (
            f"You are not allowed {wanted} {where}. Do not try again: continue without it, or tell the person you "
            f"work for that it can be granted{f' at {grant_at}' if grant_at else ''}."
        )


class VerificationUnavailable(VerificationError):
    """The API cannot verify any token at the moment, not even a valid one (503). Only the API's log names the cause.

    The error is `retryable`, except if the API's own settings are wrong.
    """

    retry_after: float

    def __init__(self, message: str, *, reason: str, details: str, retry_after: float, retryable: bool = True) -> None:
        super().__init__(
            message, reason=reason, status=503, details=details, retryable=retryable, retry_after=retry_after
        )


class KeysUnavailable(VerificationUnavailable):
    """The authority's key set cannot be fetched.

    The error is not `retryable` if the authority's metadata names another issuer.
    """

    def __init__(self, message: str, *, retry_after: float, retryable: bool = True) -> None:
        reachable = "This API must be able to fetch the authority's key set. The authority's metadata names the URL."
        other = (
            "This API expects another issuer than the authority's metadata names. The API's operator must "
            "correct the issuer in the API's settings."
        )
        super().__init__(
            message,
            reason="keys_unavailable",
            details=reachable if retryable else other,
            retry_after=retry_after,
            retryable=retryable,
        )


class RevocationsUnavailable(VerificationUnavailable):
    """Recent revocations cannot be fetched, so a token that looks valid may be revoked."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(
            message,
            reason="revocations_unavailable",
            details=(
                "This API must be able to fetch the authority's feed of revocations. The authority's metadata "
                "names the URL."
            ),
            retry_after=retry_after,
        )
