"""Two servers on one database: one that agents reach, and one with the console."""

from __future__ import annotations

from typing import Any

import pytest
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
