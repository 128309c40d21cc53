"""AuthSec for agents and for the APIs that they call.

Agents: `AuthSecClient` gets short-lived delegation tokens. APIs: `TokenVerifier` (extra `verify`) verifies
them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from authsec.client import AuthSecClient
    from authsec.config import AuthSecConfig
    from authsec.credentials import KeyFile, TokenFile
    from authsec.errors import (
        AgentRequired,
        AuthenticationError,
        AuthSecError,
        ConfigError,
        DelegationDenied,
        InsufficientScope,
        InvalidResponse,
        InvalidToken,
        KeysUnavailable,
        RateLimited,
        RevocationsUnavailable,
        ServerError,
        TokenRequestError,
        TransportError,
        VerificationError,
        VerificationUnavailable,
    )
    from authsec.redaction import ToolError
    from authsec.tokens import DelegationToken
    from authsec.verifier import SeveralAuthorities, TokenVerifier, VerifiedToken

__all__ = [
    "AgentRequired",
    "AuthSecClient",
    "AuthSecConfig",
    "AuthSecError",
    "AuthenticationError",
    "ConfigError",
    "DelegationDenied",
    "DelegationToken",
    "InsufficientScope",
    "InvalidResponse",
    "InvalidToken",
    "KeyFile",
    "KeysUnavailable",
    "RateLimited",
    "RevocationsUnavailable",
    "ServerError",
    "SeveralAuthorities",
    "TokenFile",
    "TokenRequestError",
    "TokenVerifier",
    "ToolError",
    "TransportError",
    "VerificationError",
    "VerificationUnavailable",
    "VerifiedToken",
]

_MODULES = {
    "AuthSecClient": "client",
    "AuthSecConfig": "config",
    "DelegationToken": "tokens",
    "KeyFile": "credentials",
    "SeveralAuthorities": "verifier",
    "TokenFile": "credentials",
    "TokenVerifier": "verifier",
    "ToolError": "redaction",
    "VerifiedToken": "verifier",
}  # of the others, which are errors: `errors`


def __getattr__(name: str) -> Any:
    """Import each public name on first use (PEP 562).

    So agents do not need the extra `verify`, and `import authsec` is fast.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"authsec.{_MODULES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
