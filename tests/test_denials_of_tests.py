"""What `authsec.testing` says of a denial is what an authority says: a test that compares the sentence stays true."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from authsec import AuthSecClient, DelegationDenied
from authsec.testing import ThrowawayAuthority

pytestmark = pytest.mark.sqlite_suffices


def said(client: AuthSecClient) -> str:
    """To the model, without what differs from one request to the next."""
    with pytest.raises(DelegationDenied) as caught:
        client.get_token(scope="customers:read", resource="https://crm.example.com")
    text = re.sub(r"\(request \S+\)", "(request …)", caught.value.for_model)
    return text.replace(client.config.base_url, "…").replace(client.config.client_id, "…")


def test_the_denials_that_a_model_reads_are_the_same(serve: Any) -> None:
    its = serve()
    role, agent = its.role("Reader", "customers:read"), its.agent("Agent")
    client = AuthSecClient(base_url=its.url, client_id=agent.client_id)

    def revoked() -> None:
        its.post(f"delegations/{its.delegate(role, agent, 'customers:read')}/revoke")

    becomes: dict[str, Callable[[], Any]] = {
        "no_delegation": lambda: None,
        "delegation_ended": revoked,
        "client_disabled": lambda: its.post(f"clients/{agent.client_id}/disable"),
    }
    for reason, act in becomes.items():
        act()
        with ThrowawayAuthority() as authority:
            authority.deny(reason)
            assert said(authority.client()) == said(client), reason
