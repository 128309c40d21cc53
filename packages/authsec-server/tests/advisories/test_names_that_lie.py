"""A name that shows as another, or writes to the terminal of whoever reads the audit log: escape sequences, line
breaks that forge a second row, and the invisible characters that turn text around.
"""

from __future__ import annotations

from starlette.testclient import TestClient

API = "/authsec/api/v1"
LIES = {
    "terminal escape": "agent\x1b[2J",
    "forged line": "agent\n2026-01-01 admin approved",
    "carriage return": "agent\radmin",
    "backspace": "agent\b\b\b\b\badmin",
    "right to left": "agent\u202enimda",
    "zero width": "ad\u200bmin",
    "line separator": "agent\u2028admin",
    "byte order mark": "\ufeffagent",
    "soft hyphen": "ad\u00admin",
    "private use": "agent\ue000",
    "C1 control": "agent\x9b2J",
}


def test_no_name_and_no_owner_can_lie(admin: TestClient) -> None:
    unattested = {"platform": "unattested", "slug": "agent"}
    for what, lie in LIES.items():
        bodies = (
            ("clients", {**unattested, "name": lie}, "name"),
            ("clients", {**unattested, "name": "Agent", "owner": lie}, "owner"),
            ("roles", {"name": lie, "slug": "agent", "actions": ["customers:read"]}, "name"),
            ("apis", {"name": lie, "slug": "agent", "identifier": "customers"}, "name"),
        )
        for noun, body, field in bodies:
            answer = admin.post(f"{API}/{noun}", json=body)
            assert (answer.status_code, answer.json()["field"]) == (400, field), (what, noun)
            assert answer.json()["error"].isprintable(), what
            assert answer.json()["details"].isprintable(), what


def test_what_cannot_be_a_name_is_not_repeated_raw_either(admin: TestClient) -> None:
    for lie in LIES.values():
        for noun, field in (("roles", "role"), ("clients", "client")):
            body = {"role": "r", "client": "c", "target_type": "MCP server", "max_duration": 60, field: lie}
            answer = admin.post(f"{API}/delegations", json=body)
            assert answer.status_code == 400, noun
            assert answer.json()["error"].isprintable()
