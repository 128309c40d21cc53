"""Everything that `authsec` raises.

Agent frameworks hand a tool's exception text to the model, some with the whole cause chain. So every text here is
safe for a model to read (no token, no key, no URL with a query), and callers raise these `from None`.
"""

from __future__ import annotations


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


class DelegationDenied(TokenRequestError):
    """400, 403, 404, 410: what was asked for has not been delegated to this agent (any more)."""


class RateLimited(TokenRequestError):
    """429: too many requests; `retry_after` says when to come back."""


class ServerError(TokenRequestError):
    """5xx: the authority cannot issue at the moment, so it issues nothing."""


class VerificationError(AuthSecError):
    """The root of what `TokenVerifier` raises."""


class InvalidToken(VerificationError):
    """The token is not one this API may accept (RFC 6750 `invalid_token`, 401)."""


class InsufficientScope(VerificationError):
    """The token is good and does not carry the action (RFC 6750 `insufficient_scope`, 403)."""

    def __init__(self, message: str, *, required: tuple[str, ...], granted: tuple[str, ...]) -> None:
        super().__init__(message, reason="action_not_allowed", status=403)
        self.required = required
        self.granted = granted


class KeysUnavailable(VerificationError):
    """The authority's published keys cannot be had, so nothing can be verified (503, retryable)."""
