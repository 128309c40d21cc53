"""Raw SQL writes a key of its own into `trusted_issuer_keys` for a moment.

A server then accepts tokens that this key signs in the name of the trusted issuer (docs/audit-verify.md). But no server
believes the key for longer than a day, whatever interval the row has, and none believes a key set of the future.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from authsec_server.clients.model import Onboarding
from sqlalchemy import text
from trusted_issuers import shows, trust
from workload_evidence import EC, github

pytestmark = pytest.mark.asks_readers
INSERT = (
    "INSERT INTO trusted_issuer_keys (trusted_issuer_id, revision, jwks, fetched_at, refresh_seconds)"
    " VALUES (:id, :revision, :jwks, :at, 2000000000)"
    " ON CONFLICT (trusted_issuer_id) DO UPDATE SET jwks = excluded.jwks, fetched_at = excluded.fetched_at,"
    " refresh_seconds = excluded.refresh_seconds"
)


class Attacked:
    """An agent whose proof is of a trusted issuer, and a token of the agent that the attacker's own key signs."""

    def __init__(self, its: Any) -> None:
        self.its = its
        self.attacker = github(key=EC)
        self.attacker.kid = "evil"
        trust(its, self.attacker, keys_from="discovery", given_keys=None)
        selectors = (("github:repository", "example/support-agent"),)
        self.client_id = its._delegate(Onboarding(name="Support", platform="oidc", selectors=selectors), {})

    def status(self) -> int:
        self.attacker.now = self.its.clock.now()
        return int(shows(self.its, self.client_id, self.attacker.token()).status_code)

    def plant(self, ahead: timedelta) -> None:
        row = {
            "id": self.attacker.trusted_issuer.id,
            "revision": self.attacker.trusted_issuer.revision,
            "jwks": json.dumps(self.attacker.jwks),
            "at": f"{self.its.clock.now() + ahead:%Y-%m-%d %H:%M:%S.%f}",
        }
        self.its.authority.database.append(lambda tx: tx.connection.execute(text(INSERT), row) and None)

    def remove(self) -> None:
        deletion = text("DELETE FROM trusted_issuer_keys")
        self.its.authority.database.append(lambda tx: tx.connection.execute(deletion) and None)


@pytest.fixture
def attacked(house: Callable[..., Any]) -> Attacked:
    return Attacked(house(local_operator=True))


def test_no_server_believes_the_key_for_longer_than_a_day(attacked: Attacked) -> None:
    attacked.plant(timedelta())
    assert attacked.status() == 200
    attacked.remove()
    attacked.its.clock.at += timedelta(hours=25)
    assert attacked.status() in (401, 503)


def test_no_server_believes_a_key_set_of_the_future(attacked: Attacked) -> None:
    attacked.plant(timedelta(days=3650))
    assert attacked.status() in (401, 503)
