"""A tool of the Claude Agent SDK: a denial is an error result, whichever of the SDK's ways made the tool."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest
from authsec import AuthSecClient
from authsec.testing import ThrowawayAuthority
from claude_agent_sdk import tool
from company import Crm
from driving_claude import ScriptedClaudeCode, ask, options_with

from conftest import Findings

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "frameworks" / "claude_tool.py"
DENIAL = "The delegations of this agent have expired or were revoked. Ask Ada for it."


@pytest.fixture
def example(authsec_authority: ThrowawayAuthority, crm: Crm, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the program's agent, with a Claude Code that calls its tool."""
    monkeypatch.setenv("AUTHSEC_BASE_URL", "https://authsec.example.com")
    monkeypatch.setenv("AUTHSEC_AGENT_CLIENT_ID", "00000000-0000-4000-8000-000000000001")
    program = runpy.run_path(str(EXAMPLE))
    authsec_authority.stand_in_for(program["authsec"])
    return lambda: ask(program["options"], "Who is customer 42?")


def text(scripted: ScriptedClaudeCode) -> str:
    (content,) = scripted.read["content"]
    assert content["type"] == "text"
    return str(content["text"])


def test_the_example_works_and_shows_no_token(example: Any, crm: Crm) -> None:
    scripted = example()
    (shown,) = scripted.shown
    assert list(shown["inputSchema"]["properties"]) == ["customer_id"]
    assert json.loads(text(scripted)) == {"id": "42", "name": "Ada Lovelace"}
    assert not scripted.read["isError"]
    assert len(crm.tokens) == 1
    assert crm.tokens[0] not in json.dumps([scripted.shown, scripted.read])


def test_a_denial_is_an_error_result(example: Any, crm: Crm, deny: Any) -> None:
    deny("delegation_ended", "Ask Ada for it.")
    scripted = example()
    assert text(scripted).startswith(DENIAL)
    assert scripted.read["isError"] is True
    assert crm.tokens == []


def test_an_api_that_refuses_the_token_is_an_error_result(
    example: Any, crm: Crm, authsec_authority: ThrowawayAuthority, revoke: Any
) -> None:
    example()
    revoke(crm.tokens[0])
    refused, again = example(), example()
    assert text(refused).startswith("The API answered 401 (invalid_token). The token has been revoked.")
    assert (refused.read["isError"], again.read["isError"]) == (True, False)


def test_the_handler_gives_what_the_sdk_takes(authsec: AuthSecClient, deny: Any) -> None:
    """As the SDK calls it, and as a program's own code may."""
    given: list[Any] = []

    @authsec.delegated(on_denied="tell_model")
    async def fetch(arguments: dict[str, Any], *, delegation_token: str) -> dict[str, Any]:
        return {"content": [{"type": "text", "text": "Ada"}]}

    async def watched(arguments: dict[str, Any]) -> dict[str, Any]:
        given.append(await fetch(arguments))
        return dict(given[-1])

    deny("delegation_ended", "Ask Ada for it.")
    scripted = ask(options_with(tool("fetch_customer", "Fetch.", {"customer_id": str})(watched)), "Who?")
    assert given == [{"content": [{"type": "text", "text": text(scripted)}], "is_error": True}]


def test_a_denial_that_is_raised_is_an_error_result_as_well(
    authsec: AuthSecClient, deny: Any, findings: Findings
) -> None:
    @authsec.delegated
    async def fetch(arguments: dict[str, Any], *, delegation_token: str) -> dict[str, Any]:
        return {"content": [{"type": "text", "text": "Ada"}]}

    deny("delegation_ended", "Ask Ada for it.")
    scripted = ask(options_with(tool("fetch_customer", "Fetch.", {"customer_id": str})(fetch)), "Who?")
    assert scripted.read["isError"] is True
    findings.add(text(scripted), DENIAL)
