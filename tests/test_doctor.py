"""`authsec doctor` at a real authority: what it says when a delegation ends is what the audit has, and can be done."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import click
import pytest
from authsec.cli import commands
from authsec.doctor.advice import OF_REFUSALS
from authsec.lazy_commands import loaded
from authsec_server.tokens.refusal import Reason
from click.testing import CliRunner

COMMANDS_NAMED = [found for text in OF_REFUSALS.values() for found in re.findall("`authsec (.+?)`", text)]


@pytest.mark.parametrize("database_option", ["sqlite"], indirect=True)  # it asks over HTTP: the same on both
def test_a_delegation_that_ends_is_found_in_the_audit_by_what_the_doctor_says(
    serve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    its = serve()
    agent = its.agent("Customer Support", keyed=True)
    delegation = its.delegate(its.role("Customers", "customers:read"), agent, "customers:read")
    key = tmp_path / "agent.pem"
    key.write_bytes(agent.key.to_pem())
    key.chmod(0o600)
    monkeypatch.setenv("AUTHSEC_BASE_URL", its.url)
    monkeypatch.setenv("AUTHSEC_AGENT_CLIENT_ID", agent.client_id)
    monkeypatch.setenv("AUTHSEC_AGENT_KEY_FILE", str(key))

    status, told = doctor()
    assert (status, told["healthy"]) == (0, True), told
    assert {step["grade"] for step in told["steps"]} == {"ok"}
    assert "actions customers:read" in told["steps"][-1]["facts"]

    its.post(f"delegations/{delegation}/revoke")
    status, told = doctor()
    token = told["steps"][-1]
    assert (status, token["reason"]) == (1, "delegation_ended")
    assert agent.client_id in told["next"]
    assert "delegation_ended" in its.cli("audit", "list", "--request-id", token["request_id"])


def doctor() -> tuple[int, dict[str, Any]]:
    """Its status, and what it says to support."""
    result = CliRunner().invoke(commands, ["doctor", "--json"])
    return result.exit_code, json.loads(result.stdout)


def test_every_reason_of_the_endpoint_has_its_advice() -> None:
    # Each request of the SDK names its client. A demand for a nonce is no refusal, so it is no reason of the audit log.
    assert set(OF_REFUSALS) == set(Reason) - {Reason.CLIENT_AMBIGUOUS} | {"use_dpop_nonce"}


@pytest.mark.parametrize("line", COMMANDS_NAMED)
def test_the_commands_that_it_names_exist(line: str) -> None:
    words = line.split()
    command: click.Command | None = commands
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words.pop(0))
        command = found and loaded(found)
    assert command is not None
    options = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options
