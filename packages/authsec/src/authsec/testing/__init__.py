"""A throwaway authority for tests of agents and APIs: `pytest_plugins = ["authsec.testing"]`.

The authority signs with a key that exists only in this process. All verifiers outside `authsec.testing`
refuse the authority's issuer. Test runners other than pytest use `ThrowawayAuthority` and `ScriptedModel`
directly.

| module | owns |
|---|---|
| `authority` | the throwaway authority |
| `tokens` | the tokens of the throwaway authority |
| `endpoint` | the HTTP responses and denials of the throwaway authority |
| `bound_tokens` | tokens of the throwaway authority that are bound to a key |
| `substitution` | the use of the throwaway authority in place of a real one |
| `scripted_model` | a model for tests of whole runs of an agent |
| `fixtures` | the fixtures for pytest |

PYTEST_DONT_REWRITE: this package has no `assert`. Without this marker, pytest would warn if a test imports
the package before pytest has loaded it as a plugin.
"""

from __future__ import annotations

from authsec.testing.authority import ThrowawayAuthority
from authsec.testing.scripted_model import ScriptedModel, call, calls, say
from authsec.testing.tokens import ISSUER

__all__ = ["ISSUER", "ScriptedModel", "ThrowawayAuthority", "call", "calls", "say"]

try:
    from authsec.testing.fixtures import authsec_authority, deny, issue_token, revoke, scripted_model
except ModuleNotFoundError as missing:
    if missing.name != "pytest":  # Only pytest is optional.
        raise
else:
    __all__ += ["authsec_authority", "deny", "issue_token", "revoke", "scripted_model"]
