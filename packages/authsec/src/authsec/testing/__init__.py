"""A throwaway authority for tests of agents and APIs: `pytest_plugins = ["authsec.testing"]`.

It signs with a key that nobody else has, under an issuer that every verifier made elsewhere refuses. `authority` is the
whole of it; `tokens` makes its tokens, `endpoint` answers and denies agents over HTTP, `substitution` puts it in the
place of a real one, `scripted_model` is a model for whole runs of an agent, and `fixtures` are for pytest. Other test
runners use `ThrowawayAuthority` and `ScriptedModel` by themselves.

PYTEST_DONT_REWRITE: nothing is asserted here, and pytest would warn of a test that imports this before it is a plugin.
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
