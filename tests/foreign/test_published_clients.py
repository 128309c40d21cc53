"""The client packages that were published for this contract, unmodified, get their tokens from this authority.

They are other people's (see Step 3 of the walk-through). When the authority refuses, some of them make up a
token that nobody signed; so a token is verified here, not just looked at.

authsec-crewai 0.1.0 is left out: its client is authsec-autogen's, line by line, and cannot be imported without CrewAI.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from authsec import InvalidToken, TokenVerifier

from .catalogue import ENDED, GRANTED, PUBLISHED, Client, each
from .conftest import ForeignPython
from .recording import RecordVerdict

WRAPPER = """
import sys
from {package} import AuthSecClient
print(AuthSecClient(base_url=sys.argv[1], client_id=sys.argv[2]).get_delegation_token())
"""
PROGRAMS = {
    "authsec-langchain-sdk": """
import sys
from authsec_langchain import AuthsecClient, AuthsecConfig
client = AuthsecClient(AuthsecConfig(base_url=sys.argv[1], client_id=sys.argv[2]))
first = client.get_delegation_token()
assert client.get_delegation_token() == first, "its own cache does not understand expires_at"
print(first)
""",
    "authsec-autogen": WRAPPER.format(package="authsec_autogen"),
    "authsec-llamaindex": WRAPPER.format(package="authsec_llamaindex"),
    "authsec-sdk": """
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
for client_id in sys.argv[2:]:
    client = DelegationClient(client_id=client_id, userflow_url=sys.argv[1] + "/authsec/uflow")
    try:
        asyncio.run(client.pull_token())
    except DelegationError as error:
        print(type(error).__name__)
"""
NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def authority(serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One authority for all of them."""
    with serving(tmp_path_factory.mktemp("authority"), "") as serve:
        yield serve()


@pytest.fixture(scope="module")
def role(authority: Any) -> str:
    """A role that reads customers."""
    slug: str = authority.role("Customers", "customers:read")
    return slug


@pytest.fixture(scope="module")
def agent(authority: Any, role: str) -> Any:
    """An agent with a delegation."""
    made = authority.agent("Customer Support")
    authority.delegate(role, made, "customers:read")
    return made


@pytest.fixture(scope="module")
def ended(authority: Any, role: str) -> str:
    """The id of an agent whose delegation was revoked."""
    agent = authority.agent("Ended")
    delegation = authority.delegate(role, agent, "customers:read")
    authority.post(f"delegations/{delegation}/revoke")
    id_: str = agent.client_id
    return id_


@pytest.mark.parametrize("client", each(PUBLISHED, rarely=PUBLISHED[2:]))
def test_a_published_client_gets_living_tokens(
    client: Client, agent: Any, authority: Any, foreign_python: ForeignPython, record_verdict: RecordVerdict
) -> None:
    done = foreign_python.run(PROGRAMS[client.name], authority.url, agent.client_id)
    assert done.returncode == 0, done.stdout + done.stderr
    identity = TokenVerifier(issuer=authority.url, audience="authsec-api").verify(done.stdout.split()[-1])
    assert (identity.client_id, identity.permissions) == (agent.client_id, {"customers:read"})
    record_verdict(client, GRANTED, "gets a token that APIs accept")


@pytest.mark.parametrize("client", each(PUBLISHED, rarely=PUBLISHED[1:]))
def test_a_published_client_whose_delegation_was_revoked(
    client: Client, ended: str, authority: Any, foreign_python: ForeignPython, record_verdict: RecordVerdict
) -> None:
    """What a client makes up opens nothing."""
    done = foreign_python.run(PROGRAMS[client.name], authority.url, ended)
    if done.returncode == 0:
        assert "MOCK FALLBACK" in done.stdout, done.stdout + done.stderr
        with pytest.raises(InvalidToken):
            TokenVerifier(issuer=authority.url, audience="authsec-api").verify(done.stdout.split()[-1])
        record_verdict(client, ENDED, "makes up a token, which APIs refuse")
    else:
        raised = done.stderr.splitlines()[-1]
        assert "The delegations to this client have expired or were revoked." in raised, done.stdout + done.stderr
        record_verdict(client, ENDED, f"raises `{raised.partition(':')[0].rpartition('.')[2]}`")


@pytest.mark.soak  # in every run, other clients meet an ended delegation
def test_authsec_sdk_tells_never_from_no_longer(ended: str, authority: Any, foreign_python: ForeignPython) -> None:
    idle = authority.agent("Idle").client_id
    done = foreign_python.run(REFUSED, authority.url, NOBODY, idle, ended)
    told = ["DelegationTokenNotFound", "DelegationTokenNotFound", "DelegationTokenExpired"]
    assert done.stdout.splitlines() == told, done.stdout + done.stderr
