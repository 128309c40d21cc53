"""An MCP server's tool in a real run of the framework: it works, a denial is told to the model, nobody sees a token."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

import pytest
from authsec import AuthSecClient
from authsec.testing import ThrowawayAuthority, call, say
from crm_server import CrmServer

ENDED = "Nothing is currently delegated to this agent"
FOUND = "Customer 42 is Ada Lovelace, asked for by Bearer [delegation token removed]"

Ask = Callable[[str], Awaitable[str]]


def wanted(number: int) -> dict[str, Any]:
    """The model wants the tool to be called; some frameworks take two calls with one id for one."""
    message = call("fetch_customer", customer_id="42")
    return {**message, "tool_calls": [{**message["tool_calls"][0], "id": f"call_{number}"}]}


def read_of_tools(model: Any) -> list[str]:
    """What the model reads, whether the framework writes it as text or as parts of one."""
    return [result if isinstance(result, str) else json.dumps(result) for result in model.tool_results]


@pytest.fixture
def in_one_session(framework: ModuleType, authsec: AuthSecClient, crm: CrmServer) -> Callable[..., None]:
    """Play with one agent and its session."""

    def play(played: Callable[[Ask], Awaitable[None]]) -> None:
        async def run() -> None:
            mcp_auth = authsec.mcp_auth(allowed_origins=crm.origin, scope="customers:read")
            async with framework.asking(mcp_auth, crm.url) as ask:
                await played(ask)

        asyncio.run(run())

    return play


@pytest.fixture
def revoke_all(authsec_authority: ThrowawayAuthority, authsec: AuthSecClient) -> Callable[[], None]:
    """The delegation and its token, of which the agent has not heard."""

    def revoke() -> None:
        authsec_authority.delegate()
        authsec_authority.revoke(authsec.get_token("customers:read"))

    return revoke


@pytest.fixture(autouse=True)
def _nobody_reads_a_token(crm: CrmServer, scripted_model: Any, capfd: pytest.CaptureFixture[str]) -> Any:
    yield
    printed = "".join(capfd.readouterr())
    parts = {part for token in crm.tokens for part in token.split(".")[1:]}
    assert parts
    assert not any(part in printed for part in parts)


def test_a_run_outlasts_a_revocation_and_the_session_a_denial(
    in_one_session: Any, revoke_all: Any, authsec_authority: ThrowawayAuthority, crm: CrmServer, scripted_model: Any
) -> None:
    model = scripted_model(wanted(1), wanted(2), say("I may not."), wanted(3), say("She is Ada."))
    crm.after_call = revoke_all

    async def play(ask: Ask) -> None:
        assert await ask("Who is customer 42?") == "I may not."
        found, denied = read_of_tools(model)
        assert FOUND in found
        assert ENDED in denied
        assert "The person you work for can grant it at http://127.0.0.1:" in denied
        authsec_authority.delegate("customers:read")
        assert await ask("Who is customer 42?") == "She is Ada."
        assert FOUND in read_of_tools(model)[-1]

    in_one_session(play)
    parts = {part for token in crm.tokens for part in token.split(".")[1:]}
    assert not any(part in request for part in parts for request in model.requests)


def test_a_run_that_begins_denied_gets_as_far_as_the_call(
    in_one_session: Any, revoke_all: Any, crm: CrmServer, scripted_model: Any
) -> None:
    model = scripted_model(wanted(1), say("She is Ada."), wanted(2), say("I may not."))

    async def play(ask: Ask) -> None:
        assert await ask("Who is customer 42?") == "She is Ada."
        revoke_all()
        assert await ask("Who is customer 42?") == "I may not."
        assert ENDED in read_of_tools(model)[-1]

    in_one_session(play)
