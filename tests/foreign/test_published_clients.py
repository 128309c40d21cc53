"""The client packages that were published for this contract, unmodified, get their tokens from this authority.

They are other people's (see Step 3 of the README). When the authority refuses, some of them make up a
token that nobody signed; so a token is verified here, not just looked at.

authsec-crewai 0.1.0 is left out: its client is authsec-autogen's, line by line, and cannot be imported without CrewAI.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec import InvalidToken, TokenVerifier

WRAPPER = """
import sys
from {package} import AuthSecClient
print(AuthSecClient(base_url=sys.argv[1], client_id=sys.argv[2]).get_delegation_token())
"""
CLIENTS = {
    "authsec-langchain-sdk 0.1.2": """
import sys
from authsec_langchain import AuthsecClient, AuthsecConfig
client = AuthsecClient(AuthsecConfig(base_url=sys.argv[1], client_id=sys.argv[2]))
first = client.get_delegation_token()
assert client.get_delegation_token() == first, "its own cache does not understand expires_at"
print(first)
""",
    "authsec-autogen 0.1.0": WRAPPER.format(package="authsec_autogen"),
    "authsec-llamaindex 0.1.0": WRAPPER.format(package="authsec_llamaindex"),
    "authsec-sdk 4.7.3": """
import asyncio, sys
from authsec_sdk.delegation import DelegationClient
client = DelegationClient(client_id=sys.argv[2], userflow_url=sys.argv[1] + "/authsec/uflow")
token = asyncio.run(client.ensure_token())
assert client.permissions == ["customers:read"] and client.has_permission("customers:read")
assert client.spiffe_id == "spiffe://authsec.internal/agent/" + sys.argv[2]
assert 3500 < client.expires_in_seconds <= 3600
print(token)
""",
}
REFUSED = """
import asyncio, sys
from authsec_sdk.delegation import DelegationClient, DelegationError
client = DelegationClient(client_id=sys.argv[2], userflow_url=sys.argv[1] + "/authsec/uflow")
try:
    asyncio.run(client.pull_token())
except DelegationError as error:
    print(type(error).__name__)
"""
NOBODY = "00000000-0000-4000-8000-000000000000"


def test_published_clients_get_living_tokens(serve: Any, foreign_python: Any) -> None:
    its = serve()
    agent = its.agent("Customer Support")
    its.delegate(its.role("Customers", "customers:read"), agent, "customers:read")
    verifier = TokenVerifier(issuer=its.url, audience="authsec-api")
    for name, program in CLIENTS.items():
        done = foreign_python.run(program, its.url, agent.client_id)
        assert done.returncode == 0, name + done.stdout + done.stderr
        identity = verifier.verify(done.stdout.split()[-1])
        assert (identity.client_id, identity.permissions) == (agent.client_id, {"customers:read"}), name


def test_published_clients_when_refused(serve: Any, foreign_python: Any) -> None:
    """authsec-sdk tells "never" from "no longer"; what the others make up opens nothing."""
    its = serve()
    idle, ended = its.agent("Idle"), its.agent("Ended")
    delegation = its.delegate(its.role("Customers", "customers:read"), ended, "customers:read")
    its.post(f"delegations/{delegation}/revoke")

    def refusal(client_id: str) -> str:
        output: str = foreign_python.run(REFUSED, its.url, client_id).stdout
        return output.strip()

    assert refusal(NOBODY) == "DelegationTokenNotFound"
    assert refusal(idle.client_id) == "DelegationTokenNotFound"
    assert refusal(ended.client_id) == "DelegationTokenExpired"

    done = foreign_python.run(CLIENTS["authsec-autogen 0.1.0"], its.url, ended.client_id)
    assert "MOCK FALLBACK" in done.stdout, done.stdout + done.stderr
    with pytest.raises(InvalidToken):
        TokenVerifier(issuer=its.url, audience="authsec-api").verify(done.stdout.split()[-1])
