"""Two servers on one database: one that agents reach, and one with the console."""

from __future__ import annotations

from typing import Any

import pytest
from authsec.cli import commands
from click.testing import CliRunner
from free_ports import free_port


@pytest.mark.sqlite_suffices  # two servers on one PostgreSQL are usual, and two on one file are not
def test_what_an_administrator_changes_at_one_is_true_at_the_other(serve: Any) -> None:
    ports = free_port(), free_port()
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    addresses = {"AUTHSEC_SERVER_PUBLIC_URL": urls[0], "AUTHSEC_SERVER_CONSOLE_URL": urls[1]}
    agents = serve(port=ports[0], AUTHSEC_SERVER_SURFACE="agents", **addresses)
    admin = serve(port=ports[1], AUTHSEC_SERVER_SURFACE="admin", **addresses)
    assert "surface   agents" in agents.log.read_text("utf-8")
    assert "setup-url" not in agents.log.read_text("utf-8")
    assert "setup-url" in admin.log.read_text("utf-8")
    agent = admin.agent("Helper", keyed=True)
    admin.delegate(admin.role("Support", "customers:read"), agent, "customers:read")

    def token() -> Any:
        return agents.ask(agent, proof=admin.assertion(agent, aud=urls[0]))

    assert token().status_code == 200
    last = agents.http.get("/authsec/v1/revocations", params={"since": 0}).json()["last"]
    admin.post(f"clients/{agent.client_id}/disable")
    assert token().json()["reason"] == "client_disabled"
    feed = agents.http.get("/authsec/v1/revocations", params={"since": last}).json()
    assert [each["subject"] for each in feed["entries"]] == [agent.client_id]
    assert agents.http.get("/console/sign-in").status_code == 404
    assert admin.http.get("/console/sign-in").status_code == 200
    assert admin.ask(agent).status_code == admin.http.get("/authsec/v1/revocations").status_code == 404


@pytest.mark.sqlite_suffices
def test_a_command_prints_for_agents_the_address_that_they_reach(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    addresses = {"AUTHSEC_SERVER_PUBLIC_URL": "https://authsec.example.com", "AUTHSEC_SERVER_CONSOLE_URL": url}
    admin = serve(port=port, AUTHSEC_SERVER_SURFACE="admin", **addresses)
    monkeypatch.setenv("AUTHSEC_BASE_URL", url)
    monkeypatch.setenv("AUTHSEC_ADMIN_KEY", admin.admin.headers["Authorization"].removeprefix("Bearer "))
    created = CliRunner().invoke(commands, ["agents", "create", "Helper", "--platform", "unattested"])
    assert created.exit_code == 0, created.output
    assert 'AUTHSEC_BASE_URL="https://authsec.example.com"' in created.output
    key = CliRunner().invoke(commands, ["admin", "create-key", "pipeline", "--role", "viewer"])
    assert f'AUTHSEC_BASE_URL="{url}"' in key.output
