"""Attack: a text of fifty thousand characters is looked for, and the answer is that the database is away.

Whoever watches the log is called at night, and programs ask again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from databases import settings_for
from issuers import ONE

House = Any
API = "/authsec/api/v1"


def test_a_text_that_nothing_can_hold_finds_nothing(
    house: Callable[..., House], database_url: str, tmp_path: Path
) -> None:
    its = house(local_operator=True, **settings_for(database_url, tmp_path))
    door, agent = its.door(), its.delegated_name("Helper")
    keys = {"keys": [ONE.public.to_jwk() | {"kid": "1"}]}
    trusted_issuer = {"name": "CI", "kind": "kubernetes", "issuer": "https://ci.example.com", "given_keys": keys}
    assert door.post(f"{API}/issuers", json=trusted_issuer | {"keys_from": "given"}).status_code == 201
    for noun in ("clients", "delegations", "issuers"):
        assert len(door.get(f"{API}/{noun}").json()["items"]) == 1, agent
        for text in ("x" * 60_000, "%" * 20_000, "\0"):
            answer = door.get(f"{API}/{noun}", params={"text": text})
            assert (answer.status_code, answer.json()) == (200, {"items": [], "next": None}), (noun, answer.text)
