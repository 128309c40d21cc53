"""One of everything that the admin API can be asked about, and a body for each operation that takes one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from itertools import count
from typing import Any

from authsec_server.web.operations import API
from starlette.testclient import TestClient

House = Any
_OIDC = {"kind": "oidc", "keys_from": "discovery", "preset": "gitlab"}
_DESCRIBED = {"action": "customers:read", "description": "Read a customer"}

BODIES: Mapping[str, Mapping[str, Any]] = {
    "createClient": {"name": "Agent {n}", "platform": "unix", "selectors": [{"key": "unix:uid", "value": "100{n}"}]},
    "editClient": {"owner": "team-{n}", "labels": {"a": "b"}},
    "addProof": {"platform": "unix", "selectors": [{"key": "unix:uid", "value": "200{n}"}]},
    "createRole": {"name": "Role {n}", "actions": ["customers:read"]},
    "editRole": {"description": "Of {n}", "actions": ["customers:list"]},
    "registerApi": {"name": "API {n}", "identifier": "https://api{n}.example", "actions": [_DESCRIBED]},
    "editApi": {"actions": [_DESCRIBED]},
    "createTrustedIssuer": {"name": "CI {n}", "issuer": "https://ci{n}.example", **_OIDC},
    "editTrustedIssuer": {"audience": "us"},
    "tryToken": {"token": "a.b.c"},
    "createDelegation": {"role": "{role}", "client": "{client}", "target_type": "MCP server", "max_duration": 60}
    | {"all_actions": True, "slug": "delegation-{n}"},
    "editDelegation": {"max_duration": 120},
    "inviteAdministrator": {"email": "p{n}@example.com", "name": "P", "role": "viewer"},
    "editAdministrator": {"role": "viewer"},
    "createAdminKey": {"name": "Key {n}", "role": "viewer", "expires_in": 60},
    "makeSetupLink": {"purpose": "set_password", "email": "{email}"},
    "createApiCredential": {"name": "credential-{n}"},
    "createEnrolment": {"hours": 1},
    "rotateKeys": {"force": True},
    "revokeToken": {"jti": "{jti}"},
    "applyConfiguration": {"configuration": {"roles": {"applied-{n}": {"name": "Applied", "actions": ["a:b"]}}}},
    "compareConfiguration": {"configuration": {"roles": {}}},
}
"""Bodies that are not refused: of made-up ones hardly any is taken. The other operations take none, or an empty one."""


class Everything:
    """Makes one of everything, again and again: what is asked of it ends it."""

    def __init__(self, its: House, machine: House) -> None:
        self.its, self.machine, self.door, self.numbers = its, machine, machine.door(), count(1)

    def later(self) -> None:
        """Let a little time pass: who brings no key is told so only so often a minute."""
        self.its.clock.at = self.machine.clock.at = self.its.clock.at + timedelta(seconds=15)

    def things(self) -> Things:
        """What each name in an address is, this time."""
        return Things(self.door, next(self.numbers))


class Things(dict[str, str]):
    """Things by what an address calls them, each made when it is first asked for. `n` is this time's number."""

    def __init__(self, door: TestClient, n: int) -> None:
        super().__init__(n=str(n))
        self.door, self.n = door, n

    def __missing__(self, name: str) -> str:
        self[name] = str(getattr(self, f"_{name}")())
        return self[name]

    def post(self, where: str, **body: Any) -> dict[str, Any]:
        """Make something."""
        answer = self.door.post(f"{API}/{where}", json=body)
        assert answer.status_code == 201, (where, answer.text)
        made: dict[str, Any] = answer.json()
        return made

    def _role(self) -> str:
        return str(self.post("roles", name=f"Part {self.n}", actions=["customers:delete", "customers:read"])["slug"])

    def _api(self) -> str:
        return str(self.post("apis", name=f"Door {self.n}", identifier=f"https://door{self.n}.example")["slug"])

    def _credential(self) -> str:
        return str(self.post(f"apis/{self['api']}/credentials")["id"])

    def _client(self) -> str:
        """With a proof, a secret, a delegation, and a token by it."""
        client = self.post("clients", name=f"Helper {self.n}", platform="unattested")
        self["client"], self["proof"] = client["slug"], client["proofs"][0]["id"]
        self.post(f"clients/{client['slug']}/proofs", platform="secret")
        delegated = {"role": self["role"], "client": client["slug"], "target_type": "MCP server", "all_actions": True}
        self["delegation"] = self.post("delegations", **delegated, max_duration=3600)["slug"]
        asked = {"client_id": client["client_id"]}
        assert self.door.get("/authsec/uflow/sdk/delegation-token", params=asked).status_code == 200
        newest = self.door.get(f"{API}/events", params={"kind": "token.issued"}).json()["items"][0]
        self["event"], self["jti"] = str(newest["id"]), newest["jti"]
        return str(client["slug"])

    def _proof(self) -> str:
        return self._made_with_the_client("proof")

    def _delegation(self) -> str:
        return self._made_with_the_client("delegation")

    def _event(self) -> str:
        return self._made_with_the_client("event")

    def _jti(self) -> str:
        return self._made_with_the_client("jti")

    def _made_with_the_client(self, name: str) -> str:
        return self[name] if self["client"] and name in self else ""

    def _enrolment(self) -> str:
        return str(self.post(f"clients/{self['client']}/enrolments")["id"])

    def _trusted_issuer(self) -> str:
        issuer = f"https://builds{self.n}.example"
        return str(self.post("issuers", name=f"Builds {self.n}", issuer=issuer, **_OIDC)["slug"])

    def _administrator(self) -> str:
        return str(self.post("administrators", email=f"ann{self.n}@example.com", name="Ann", role="operator")["id"])

    def _email(self) -> str:
        return f"ann{self.n}@example.com" if self["administrator"] else ""

    def _key(self) -> str:
        return str(self.post("admin-keys", name=f"Deploy {self.n}", role="operator")["id"])

    def _kid(self) -> str:
        keys = self.door.get(f"{API}/keys").json()["items"]
        return next(str(each["kid"]) for each in keys if each["state"] == "active")


def filled(template: Any, things: Mapping[str, str]) -> Any:
    """The body, with things in place of their names."""
    if isinstance(template, str):
        return template.format_map(things)
    if isinstance(template, Mapping):
        return {filled(name, things): filled(value, things) for name, value in template.items()}
    return [filled(each, things) for each in template] if isinstance(template, list) else template
