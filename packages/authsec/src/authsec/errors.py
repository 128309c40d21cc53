"""The errors that `authsec` raises.

Agent frameworks hand a tool's exception text to the model, some with the whole cause chain. So every text here is
safe for a model to read (no token, no key, no URL with a query), and callers raise these `from None`.
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
    """The root of all errors of this package.

    `reason` is a stable code, `retryable` says whether the same call can succeed later without anybody changing
    anything, `retry_after` is in seconds, `request_id` finds the request in the authority's audit trail.
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
        """Pickle and copy by attributes; the inherited way loses keyword-only arguments, which kills worker pools.

        A copy has no traceback and no context, so one error can be raised in every thread that waited for it.
        """
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[AuthSecError], args: tuple[Any, ...], attributes: dict[str, Any]) -> AuthSecError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(attributes)
    return error


class ConfigError(AuthSecError):
    """The program's own settings cannot work; nothing was sent."""


class TransportError(AuthSecError):
    """The authority could not be reached, or did not answer in time."""


class InvalidResponse(AuthSecError):
    """Something answered, but not as an AuthSec authority does."""


class TokenRequestError(AuthSecError):
    """The authority answered the token request with a refusal."""


class AuthenticationError(TokenRequestError):
    """401: the agent did not prove that it is the agent."""

    is_of_the_setup = True

    @property
    def for_model(self) -> str:
        """The text for a model."""
        return _of_the_setup(self)


class DelegationDenied(TokenRequestError):
    """400, 403, 404, 410: what was asked for has not been delegated to this agent (any more).

    `is_of_the_setup` says whether only whoever runs the agent can help: an id that nobody has, an API that must be
    named. The text says how, with names of settings and files, as that of `AuthenticationError` does.

    Where the authority says so: `missing_actions` are those that are not delegated, `allowed_scope` is the smaller
    request that would pass, and `grant_at` the page of its console where a person can grant the rest.
    """

    missing_actions: tuple[str, ...] = ()
    allowed_scope: str = ""
    grant_at: str | None = None

    @property
    def is_of_the_setup(self) -> bool:
        """Whether it is no decision about what the agent may."""
        return self.reason in _OF_THE_SETUP

    @property
    def for_model(self) -> str:
        """The text for a model, with the next step of the agent."""
        if self.is_of_the_setup:
            return _of_the_setup(self)
        smaller = f" What is allowed is {self.allowed_scope}." if self.allowed_scope else ""
        person = f" The person you work for can grant it at {self.grant_at}." if self.grant_at else ""
        return f"{self}{smaller}{person}"


def _of_the_setup(error: TokenRequestError) -> str:
    request = f", request {error.request_id}" if error.request_id else ""
    retry = "Retrying may help." if error.retryable else "Retrying will not help."
    return (
        f"This agent is not set up as its authority expects ({error.reason}{request}). Whoever runs the agent finds in "
        f"its log what to do. {retry}"
    )


class RateLimited(TokenRequestError):
    """429: too many requests; `retry_after` says when to come back."""


class ServerError(TokenRequestError):
    """5xx: the authority cannot issue at the moment, so it issues nothing."""


class EnrolmentRefused(AuthSecError):
    """The authority did not enrol this machine; what it was asked for is not done."""


class VerificationError(AuthSecError):
    """The root of what `TokenVerifier` raises. `details` says what would satisfy the check that failed.

    Text and `details` are safe for the caller of the API: they name our own expectations, and of the token's content
    only which API a token of ours is for.
    """

    status: int

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
    """The token is not one this API may accept (RFC 6750 `invalid_token`, 401)."""

    def __init__(self, message: str, *, reason: str, details: str, retryable: bool = False) -> None:
        super().__init__(message, reason=reason, status=401, details=details, retryable=retryable)


class AgentRequired(InvalidToken, LookupError):
    """Only an agent may do this, and the request brings no token of ours."""

    def __init__(self) -> None:
        super().__init__(
            "This API needs a delegation token.",
            reason="token_missing",
            details="Send the header Authorization: Bearer <delegation token>.",
        )


class InsufficientScope(VerificationError):
    """The token is good and does not carry the action (RFC 6750 `insufficient_scope`, 403).

    `required` are the actions that the call needs: all of them, or with `any_of` one of them. `granted` are those
    that the token carries, so that a model can see what is left to it. `missing` are the required ones it lacks,
    `allowed` those it has. A person can grant what is missing at `grant_at`, a page of the authority's console;
    `for_model` says all of it in one sentence. `audience` is that of the token, the API's identifier as a rule.
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
            f"This agent's token does not allow {wanted}. It allows {', '.join(granted) or 'nothing'}.",
            reason="action_not_allowed",
            status=403,
            details=(
                f"A trust delegation of this agent that allows {wanted}; retrying does not help. Where no role holds "
                "such an action, this API may have misspelt it."
            ),
        )
        where = f"at {audience[0]}" if len(audience) == 1 else "here"  # of several it may be any
        self.for_model = (
            f"You are not allowed {wanted} {where}: do not try again, go on without it, or tell the person you work "
            f"for that it can be granted{f' at {grant_at}' if grant_at else ''}."
        )


class VerificationUnavailable(VerificationError):
    """Nothing can be verified at the moment, good tokens neither (503). Why is for the API's log.

    It is `retryable`, unless the API's own settings are wrong.
    """

    retry_after: float

    def __init__(self, message: str, *, reason: str, details: str, retry_after: float, retryable: bool = True) -> None:
        super().__init__(
            message, reason=reason, status=503, details=details, retryable=retryable, retry_after=retry_after
        )


class KeysUnavailable(VerificationUnavailable):
    """The authority's published keys cannot be had; not `retryable` where its metadata names another issuer."""

    def __init__(self, message: str, *, retry_after: float, retryable: bool = True) -> None:
        reachable = "The authority's key set, as its metadata names it, must be reachable from this API."
        other = (
            "This API expects an issuer that its authority does not call itself. The API's operator must correct it."
        )
        super().__init__(
            message,
            reason="keys_unavailable",
            details=reachable if retryable else other,
            retry_after=retry_after,
            retryable=retryable,
        )


class RevocationsUnavailable(VerificationUnavailable):
    """Recent revocations are not known, so a token that looks valid may be revoked."""

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(
            message,
            reason="revocations_unavailable",
            details="The authority's feed of revocations, as its metadata names it, must be reachable from this API.",
            retry_after=retry_after,
        )
