"""Somebody registers a key that is another agent's already: its holder could then be either, and take the authority
of the one while the audit log names the other.
"""

from __future__ import annotations

from authsec.jose import PrivateKey
from starlette.testclient import TestClient

CLIENTS = "/authsec/api/v1/clients"


def test_a_key_belongs_to_one_agent_even_after_that_is_disabled(admin: TestClient) -> None:
    public = PrivateKey.generate_rsa().public
    first = {"name": "Payroll", "platform": "key", "public_key": public.to_pem().decode()}
    assert admin.post(CLIENTS, json=first).status_code == 201
    # The same key in other characters: it is known by its thumbprint (RFC 7638), not by its text.
    pem = "note: a comment\n" + public.to_pem().decode().replace("\n", "\r\n") + "\n"
    second = {"name": "Harmless", "platform": "key", "public_key": pem}
    assert admin.post(CLIENTS, json=second).status_code == 409
    assert admin.post(f"{CLIENTS}/payroll/disable").status_code == 200
    answer = admin.post(CLIENTS, json=second)
    assert (answer.status_code, answer.json()["reason"]) == (409, "conflict")
    assert "Payroll" in answer.json()["error"]
