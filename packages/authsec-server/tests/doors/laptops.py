"""Laptops that enrol themselves, as `authsec enrol` does it; and what somebody else would send in its place."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from authsec.enrolment_code import hashed, read_code
from authsec.jose import PrivateKey, sign_compact
from httpx2 import Response

CLIENTS = "/authsec/api/v1/clients"
ENROL = "/authsec/v1/enrolments"
ENDPOINT = "/authsec/uflow/sdk/delegation-token"
US = "http://127.0.0.1:7468"


def pod_of(its: Any, name: str = "Support", **delegation: Any) -> str:
    """An agent that runs in a cluster, with something delegated to it: its client_id."""
    door, slug = its.door(), name.lower()
    selectors = [{"key": "k8s:ns", "value": "production"}, {"key": "k8s:sa", "value": slug}]
    body = {"name": name, "platform": "kubernetes", "selectors": selectors}
    client_id: str = door.post(CLIENTS, json=body).json()["client_id"]
    door.post("/authsec/api/v1/roles", json={"name": f"Role {name}", "actions": ["customers:read"]})
    asked = {"target_type": "AutoGen AI agent", "max_duration": 86_400, "actions": ["customers:read"]} | delegation
    made = door.post("/authsec/api/v1/delegations", json={"role": f"role-{slug}", "client": client_id, **asked})
    assert made.status_code == 201, made.text
    return client_id


def code_for(its: Any, client: str, **asked: Any) -> str:
    """A fresh code for the client, by the admin API of an authority at whose machine we sit."""
    answer = its.door().post(f"{CLIENTS}/{client}/enrolments", json=asked or None)
    assert answer.status_code == 201, answer.text
    code: str = answer.json()["code"]
    return code


@dataclass(slots=True)
class Laptop:
    """A machine with a key of its own. `its` is the authority that it knows."""

    its: Any
    address: str = "198.51.100.7"
    key: PrivateKey = field(default_factory=PrivateKey.generate_ed25519)

    def possession(self, client_id: str, code: str, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """That the key is here; `claims` spoil it, and None leaves one out."""
        now = int(self.now.timestamp())
        good = {"iss": client_id, "aud": US, "iat": now, "exp": now + 120, "code_sha256": hashed(read_code(code) or "")}
        said = {name: value for name, value in (good | claims).items() if value is not None}
        return sign_compact({"typ": "authsec-enrolment+jwt"} if header is None else header, said, self.key)

    def enrols(self, client_id: str, code: str, **changes: Any) -> Response:
        """Send what `authsec enrol` does; `changes` are members in place of those."""
        body = {
            "client_id": client_id,
            "code": code,
            "public_key": self.key.public.to_pem().decode(),
            "possession": self.possession(client_id, code),
            "machine": "ada-laptop",
        }
        answer: Response = self.its.door(self.address).post(ENROL, json=body | changes)
        return answer

    def asks(self, client_id: str) -> Response:
        """Ask for a token, as the agent."""
        now = int(self.now.timestamp())
        claims = {"iss": client_id, "sub": client_id, "aud": US, "iat": now, "exp": now + 60}
        proof = sign_compact({}, claims | {"jti": secrets.token_hex(16)}, self.key)
        headers = {"Authorization": f"Bearer {proof}"}
        answer: Response = self.its.door(self.address).get(ENDPOINT, params={"client_id": client_id}, headers=headers)
        return answer

    @property
    def now(self) -> datetime:
        """By the authority's own clock."""
        now: datetime = self.its.clock.now()
        return now
