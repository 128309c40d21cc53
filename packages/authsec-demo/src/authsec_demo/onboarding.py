"""The administrator's steps: register the agent, and create a trust delegation for the agent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from authsec import AuthSecClient, AuthSecConfig, KeyFile
from authsec.credentials import CredentialSource
from authsec.keygen import write_key_pair

from authsec_demo.administrator import Administrator
from authsec_demo.servers import API_IDENTIFIER
from authsec_demo.stage import Stage, check

READ: Final = "customers:read"
DELETE: Final = "customers:delete"
_HOUR: Final = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """The registered agent: its client_id and the file of its private key."""

    client_id: str
    key_file: Path

    def client(self, authority_url: str) -> AuthSecClient:
        """Return an SDK client that authenticates as this agent."""
        return sdk_client(authority_url, self.client_id, KeyFile(self.key_file))


def sdk_client(authority_url: str, client_id: str, credential: CredentialSource) -> AuthSecClient:
    """Return an SDK client for an agent. All settings are explicit, so the client ignores the environment."""
    config = AuthSecConfig(
        base_url=authority_url, client_id=client_id, issuer=authority_url, ca_file=None, allow_http_hosts=()
    )
    return AuthSecClient(config, credential=credential)


def onboard(stage: Stage, admin: Administrator, folder: Path) -> Agent:
    """Register the agent "Customer Support" with a new key pair."""
    why = "The agent authenticates with a key pair. The client_id is a name, not a secret."
    with stage.step('Onboard the agent "Customer Support"', why):
        key_file = folder / "customer-support.pem"
        public_key = write_key_pair(key_file, "ed25519").read_text(encoding="ascii")
        client = admin.onboard_agent("Customer Support", public_key)
        check(
            client["can_prove_itself"] and not client["unattested"],
            expected="an agent that must authenticate",
            came=json.dumps(client),
        )
        stage.fact("client_id", client["client_id"])
        stage.fact("SPIFFE ID", client["spiffe_id"])
        stage.fact("key pair", "the private half never leaves the agent")
    return Agent(client_id=client["client_id"], key_file=key_file)


def delegate(stage: Stage, admin: Administrator, client_id: str) -> Mapping[str, Any]:
    """Create an API and a role, and delegate one action of the role to the agent. Return the trust delegation."""
    why = "The role may read and delete; this agent, in that role, may only read."
    with stage.step("Delegate: who can do what, where and for how long", why):
        described = {READ: "Read a customer's data", DELETE: "Delete a customer"}
        api = admin.register_api("Customers API", API_IDENTIFIER, described)
        stage.fact("API", f"{api['name']}, audience {api['identifier']}")
        role = admin.create_role("Support", list(described))
        stage.fact("role", f"{role['name']}: {', '.join(role['actions'])}")
        delegation = delegation_to_read(admin, client_id, role["slug"])
        stage.fact("delegation", f"{delegation['target_type']}, {READ} only, 1 hour at most")
    return delegation


def delegation_to_read(admin: Administrator, client_id: str, role: str) -> Mapping[str, Any]:
    """Create a trust delegation in this role that allows only customers:read at the sample API.

    The tokens of the delegation are valid for one hour at most.
    """
    delegation = admin.delegate(
        role=role, client=client_id, actions=[READ], audience=API_IDENTIFIER, max_duration=_HOUR
    )
    given = {name: delegation[name] for name in ("actions", "audiences", "max_duration", "state")}
    wanted = {"actions": [READ], "audiences": [API_IDENTIFIER], "max_duration": _HOUR, "state": "live"}
    check(given == wanted, expected=json.dumps(wanted), came=json.dumps(given))
    return delegation
