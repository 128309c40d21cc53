"""/metrics, on a loopback port of its own: what is counted, under labels that no request can add to."""

from __future__ import annotations

import re
from typing import Any

import httpx2
import pytest
from free_ports import free_port

UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize("database_option", ["sqlite"], indirect=True)
def test_token_requests_are_counted_by_how_they_ended(serve: Any) -> None:
    port = free_port()
    its = serve(AUTHSEC_SERVER_METRICS_PORT=str(port))
    agent = its.agent("Open")
    its.delegate(its.role("Reader", "customers:read"), agent, "customers:read")
    for parameters in ({"client_id": agent.client_id}, {"client_id": UNKNOWN}, {"client_id": 'x"}\n'}, {}):
        its.http.get("/authsec/uflow/sdk/delegation-token", params=parameters)
    page = httpx2.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    counted = dict(re.findall(r'^authsec_token_requests_total\{outcome="(\w+)"\} ([0-9.]+)$', page, re.MULTILINE))
    assert counted == {
        "granted": "1.0",
        "client_not_found": "1.0",
        "client_id_invalid": "1.0",
        "client_id_missing": "1.0",
    }
    assert its.http.get("/metrics").status_code == 404, "not on the port that strangers reach"
