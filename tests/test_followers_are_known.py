"""Before something is ended, the authority says which of its APIs will know: a real verifier at a real server."""

from __future__ import annotations

import time
from typing import Any

import pytest
from authsec import TokenVerifier

pytestmark = pytest.mark.sqlite_suffices

AUDIENCE = "https://crm.example"


def test_a_verifier_counts_as_soon_as_it_verifies(serve: Any) -> None:
    its = serve()
    its.post("apis", name="CRM", identifier=AUDIENCE)
    credential = its.post("apis/crm/credentials", name="first")["credential"]
    role = its.role("Reader", "customers:read")
    agent = its.agent("Helper")
    delegation = its.delegate(role, agent, "customers:read", audiences=[AUDIENCE])
    token = its.ask(agent).json()["token"]

    def api() -> Any:
        (found,) = its.post(f"delegations/{delegation}/revoke?dry_run=1")["would_stop"]["apis"]
        return found

    def eventually(**wanted: bool) -> None:
        began = time.monotonic()
        while not wanted.items() <= api().items():
            assert time.monotonic() - began < 10, api()
            time.sleep(0.05)

    assert (api()["following"], api()["seen_at"]) == (False, None)
    anybody = TokenVerifier(its.url, AUDIENCE)
    assert anybody.verify(token)
    eventually(following=True, proved=False)
    anybody.close()
    its_own = TokenVerifier(its.url, AUDIENCE, credential=credential)
    assert its_own.verify(token)
    eventually(following=True, proved=True)
    its_own.close()
