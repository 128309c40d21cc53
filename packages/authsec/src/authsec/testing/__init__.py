"""A throwaway authority for tests of agents and APIs: `pytest_plugins = ["authsec.testing"]`.

The authority signs with a key that exists only in this process. Every verifier made elsewhere refuses the
authority's issuer. Test runners other than pytest use `ThrowawayAuthority` and `ScriptedModel` directly.

| module | owns |
|---|---|
| `authority` | the throwaway authority |
| `tokens` | its tokens |
| `endpoint` | its answers and denials over HTTP |
| `substitution` | its use in place of a real authority |
| `scripted_model` | a model for whole runs of an agent |
| `fixtures` | the fixtures for pytest |

PYTEST_DONT_REWRITE: this package asserts nothing. Without the marker, pytest would warn about a test that
imports the package before it is a plugin.
"""

from __future__ import annotations

from authsec.testing.authority import ThrowawayAuthority
from authsec.testing.scripted_model import ScriptedModel, call, calls, say
from authsec.testing.tokens import ISSUER

__all__ = ["ISSUER", "ScriptedModel", "ThrowawayAuthority", "call", "calls", "say"]

try:
    from authsec.testing.fixtures import authsec_authority, deny, issue_token, revoke, scripted_model
except ModuleNotFoundError as missing:
    if missing.name != "pytest":  # only that is not needed by everybody
        raise
else:
    __all__ += ["authsec_authority", "deny", "issue_token", "revoke", "scripted_model"]
