"""A throwaway authority for tests of agents and APIs: `pytest_plugins = ["authsec.testing"]`.

It signs with a key that nobody else has, under an issuer that every verifier made elsewhere refuses. `authority` is the
whole of it; `minting` makes its tokens, `endpoint` answers agents over HTTP, `denials` are its refusals, `places` puts
it in the place of a real one, `scripted` is a model for whole runs of an agent, and `fixtures` are for pytest. Other
test runners use `ThrowawayAuthority` and `ScriptedModel` by themselves.

PYTEST_DONT_REWRITE: nothing is asserted here, and pytest would warn of a test that imports this before it is a plugin.
"""

from __future__ import annotations

from authsec.testing.authority import ThrowawayAuthority
from authsec.testing.minting import ISSUER
from authsec.testing.scripted import ScriptedModel, call, calls, say

__all__ = ["ISSUER", "ScriptedModel", "ThrowawayAuthority", "call", "calls", "say"]

try:
    from authsec.testing.fixtures import authsec_authority, deny, issue_token, revoke, scripted_model
except ModuleNotFoundError as missing:
    if missing.name != "pytest":  # only that is not needed by everybody
        raise
else:
    __all__ += ["authsec_authority", "deny", "issue_token", "revoke", "scripted_model"]
