"""AuthSec for agents and for the APIs that they call.

An agent uses `AuthSecClient` to get short-lived delegation tokens. An API uses `TokenVerifier` (extra
`verify`) to verify them.

| module | owns |
|---|---|
| `client` | the methods of `AuthSecClient` |
| `config` | each setting: its default, its environment variable, its errors |
| `credentials/` | how an agent proves its identity |
| `tokens` | the fields of `DelegationToken`; checks of the authority's answer |
| `cache`, `single_flight` | keep, renew and drop tokens; one request for many callers |
| `issued_tokens`, `token_search` | the tokens of this process; the search for tokens in results and exceptions |
| `redaction` | how tokens are removed from results and exceptions |
| `authority`, `transport`, `http_client` | endpoints and retries; connection errors; limits |
| `http_answer`, `tls_and_proxy` | an HTTP response; the trust store and the proxy |
| `refusals`, `errors`, `safe_text` | a sentence for each reason; the exceptions; cleaning of text from other systems |
| `delegated`, `tool_signature` | the decorator; the function's signature, from which frameworks build a schema |
| `denials`, `grant_url` | a denial as a tool's result; the console page where a person grants what is missing |
| `proof_key`, `oauth_request` | a key to which tokens are bound (DPoP); the request for such a token |
| `outgoing/`, `mcp_client` | tokens on an agent's requests with `requests` and httpx; an agent's MCP client |
| `verifier/` | whether a token is valid; keys, revocations |
| `gate` | an API's decision, and status, headers and body of a refusal, for all frameworks |
| `resource_metadata` | an API's metadata (RFC 9728) |
| `asgi`, `wsgi`, `flask`, `django`, `fastapi`, `mcp` | one web framework or interface each; all call `gate` |
| `verify_server/` | the use of `gate` for a reverse proxy |
| `jose/`, `strict_json` | JWT signatures, keys and algorithms; refusal of ambiguous JSON |
| `cli`, `lazy_commands`, `exit_status`, `terminal` | the script `authsec`: commands, imports, exit statuses, format |
| `traces` | spans for OpenTelemetry, if the program uses it |
| `smoke`, `doctor/`, `token_report` | the tests of an agent's set-up; how claims are printed |
| `keygen`, `enrol` | make a key; register a key by a one-time code |
| `enrolment_code`, `client_secret`, `api_credential` | the format of each secret, which the server reads as well |
| `testing/` | a throwaway authority for tests |
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
    # All other public names are in the module `errors`.
}


def __getattr__(name: str) -> Any:
    """Import each public name on first use (PEP 562).

    So an agent can import `authsec` without the extra `verify`, and the import is fast.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"authsec.{_MODULES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
