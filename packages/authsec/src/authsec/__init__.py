"""AuthSec for agents and for the APIs that they call.

Agents: `AuthSecClient` gets short-lived delegation tokens. APIs: `TokenVerifier` (the extra `verify`) checks them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
from authsec.tokens import DelegationToken
from authsec.withheld import ToolError

if TYPE_CHECKING:
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

_OF_THE_VERIFIER = {"SeveralAuthorities", "TokenVerifier", "VerifiedToken"}


def __getattr__(name: str) -> Any:
    """PEP 562: what stands on the extra `verify` is imported when asked for, so that agents need not install it."""
    if name in _OF_THE_VERIFIER:
        import authsec.verifier

        return getattr(authsec.verifier, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
