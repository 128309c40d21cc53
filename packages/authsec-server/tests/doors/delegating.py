"""Agents and trust delegations, made by the management API."""

from __future__ import annotations

from typing import Any

from authsec.jose import PrivateKey
from starlette.testclient import TestClient

API = "/authsec/api/v1"
AUDIENCE = "https://customers.example.com"


def make(door: TestClient, noun: str, **what: Any) -> dict[str, Any]:
    answer = door.post(f"{API}/{noun}", json=what)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def agent(door: TestClient, name: str = "Night Owl", platform: str = "key", **what: Any) -> str:
    """An agent, by default one that proves itself by a key pair: its client_id."""
    if platform == "key":
        what["public_key"] = PrivateKey.generate_ed25519().public.to_pem().decode()
    client_id: str = make(door, "clients", name=name, platform=platform, **what)["client_id"]
    return client_id


def delegate(door: TestClient, client: str, **what: Any) -> str:
    """A delegation that nothing is to be said about, unless `what` gives a reason: its id."""
    if door.get(f"{API}/roles/support").status_code == 404:
        make(door, "roles", name="Support", actions=["customers:read", "customers:write"])
    asked = {"target_type": "AutoGen AI agent", "actions": ["customers:read"], "max_duration": 3600}
    asked |= {"role": "support", "audiences": [AUDIENCE]} | what
    delegation_id: str = make(door, "delegations", client=client, **asked)["id"]
    return delegation_id
