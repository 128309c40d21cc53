"""An authority on throwaway data, and an agent with a key pair to which everything is delegated."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from authsec import AuthSecConfig
from authsec.credentials.key_file import KeyFile
from authsec.jose import PrivateKey
from authsec_demo.administrator import administrator
from authsec_demo.authority import Authority, running_authority

AUDIENCE: Final = "https://crm.example.com"
ACTIONS: Final = ["customers:read", "tickets:write"]
LIFE: Final = 3600  # seconds
_NO_LIMITS: Final = dict.fromkeys(("AUTHSEC_SERVER_ADDRESS_LIMIT", "AUTHSEC_SERVER_CLIENT_LIMIT"), "1000000")


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """Who it is, and its proof."""

    config: AuthSecConfig
    key: KeyFile


@contextlib.contextmanager
def agent_of_an_authority() -> Iterator[tuple[Authority, Agent]]:
    """Until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        key, pem = PrivateKey.generate_ed25519(), Path(folder, "agent.pem")
        pem.touch(0o600)
        pem.write_bytes(key.to_pem())
        with running_authority(Path(folder), _NO_LIMITS) as authority:
            authority.await_ready()
            with administrator(authority.url, authority.create_admin_key("benchmark")) as admin:
                admin.register_api("CRM", AUDIENCE, {action: action for action in ACTIONS})
                role = admin.create_role("Support", ACTIONS)["slug"]
                client = admin.onboard_agent("Agent", key.public.to_pem().decode())["client_id"]
                admin.delegate(role=role, client=client, actions=ACTIONS, audience=AUDIENCE, max_duration=LIFE)
            yield authority, Agent(config=AuthSecConfig(base_url=authority.url, client_id=client), key=KeyFile(pem))
