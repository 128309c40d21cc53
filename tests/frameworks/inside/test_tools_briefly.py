"""A tool of one's own in one short run: it works, the model hears of a denial, and reads of no token."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import requests
from authsec import AuthSecClient
from authsec.testing import ThrowawayAuthority, call, say
from company import Crm

from conftest import Findings, Watch

DENIAL = "The delegations of this agent have expired or were revoked. Ask Ada for it."
DEFAULT_SCRIPT = [call("fetch_customer", customer_id="42"), say("She is Ada.")]


def fetching(authsec: AuthSecClient, crm: Crm, **settings: Any) -> Callable[..., Any]:
    @authsec.delegated(scope="customers:read", **settings)
    def fetch_customer(customer_id: str, *, delegation_token: str) -> str:
        """Fetch a customer's record.

        Args:
            customer_id: which customer
            delegation_token: the model never hears of it
        """
        headers = {"Authorization": f"Bearer {delegation_token}"}
        answer = requests.get(f"{crm.url}/customers/{customer_id}", headers=headers, timeout=5)
        answer.raise_for_status()
        return answer.text

    return fetch_customer


@pytest.fixture
def scripted(framework: ModuleType, model: Callable[..., Any]) -> Any:
    return model(*getattr(framework, "SCRIPT", DEFAULT_SCRIPT))


def read(scripted: Any) -> str:
    """The last message that the model was sent after the tool's call."""
    content = json.loads(scripted.requests[1])["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


def test_the_tool_calls_the_api_and_no_model_sees_the_token(
    framework: ModuleType, authsec: AuthSecClient, crm: Crm, scripted: Any, watch: Watch
) -> None:
    assert framework.ask(fetching(authsec, crm), "Who is customer 42?") == "She is Ada."
    assert "Ada Lovelace" in read(scripted)
    assert "customer_id" in scripted.requests[0]
    assert "delegation_token" not in "".join(scripted.requests)
    assert len(crm.tokens) == 1
    assert watch.places(scripted, *crm.tokens) == set()


def test_the_model_is_told_of_a_denial(
    framework: ModuleType, authsec: AuthSecClient, crm: Crm, scripted: Any, deny: Any
) -> None:
    deny("delegation_ended", "Ask Ada for it.")
    framework.ask(fetching(authsec, crm, on_denied="tell_model"), "Who is customer 42?")
    assert DENIAL in read(scripted)
    assert crm.tokens == []


def test_after_a_revocation_the_model_is_told(
    framework: ModuleType,
    authsec: AuthSecClient,
    authsec_authority: ThrowawayAuthority,
    crm: Crm,
    scripted: Any,
    revoke: Any,
) -> None:
    revoke(authsec.get_token(scope="customers:read").value)
    framework.ask(fetching(authsec, crm, on_denied="tell_model"), "Who is customer 42?")
    assert "The API answered 401 (invalid_token). The token has been revoked." in read(scripted)
    authsec.get_token(scope="customers:read")
    assert len(authsec_authority.asked) == 2


def test_a_denial_that_is_raised_is_what_the_framework_makes_of_exceptions(
    framework: ModuleType, authsec: AuthSecClient, crm: Crm, scripted: Any, deny: Any, findings: Findings
) -> None:
    deny("delegation_ended", "Ask Ada for it.")
    framework.ask(fetching(authsec, crm), "Who is customer 42?")
    assert DENIAL in read(scripted)
    findings.add(read(scripted), DENIAL)
