"""The main steps of the demo: the agent may do the delegated actions, and every other request is refused."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx2
from authsec import AuthSecClient, AuthSecError, DelegationToken

from authsec_demo.administrator import Administrator
from authsec_demo.onboarding import DELETE, READ, Agent
from authsec_demo.servers import Servers
from authsec_demo.stage import Stage, StepFailed, check

if TYPE_CHECKING:
    from authsec_demo.agent import CustomerSupport

PATIENCE = 5.0  # the most seconds until a revocation reaches the API; usually milliseconds


def fetch(stage: Stage, servers: Servers, support: CustomerSupport) -> None:
    """Check that the agent can fetch customer 42 in an AutoGen conversation."""
    why = "A real AutoGen conversation: the tool gets a token, the model never does."
    with stage.step("AutoGen fetches customer 42", why):
        results = support.ask("Get data for customer 42.", stage.said)
        customer = servers.customers.find("42")
        check(
            any(_parsed(result) == customer for result in results),
            expected=f"the tool to return {json.dumps(customer)}",
            came="; ".join(results) or "no call of a tool",
        )
        stage.fact("allowed", f"the API verified the token and found {READ}")


def ask_to_delete(stage: Stage, servers: Servers, support: CustomerSupport) -> None:
    """Ask the agent to delete customer 42, and check that the API refuses this action.

    The action is not delegated to the agent.
    """
    why = "The API refuses, with a reason that helps the agent."
    with stage.step("AutoGen is asked to delete customer 42", why):
        before = len(servers.tap.calls)
        results = support.ask("Now delete customer 42.", stage.said)
        calls = [call for call in servers.tap.calls[before:] if call.method == "DELETE"]
        check(
            [call.status for call in calls] == [403],
            expected="the API to answer one DELETE with 403",
            came=", ".join(f"{call.method} {call.path}: {call.status}" for call in calls) or "no such request",
        )
        check(
            any(DELETE in result for result in results),
            expected=f"a reason that names {DELETE}",
            came="; ".join(results),
        )
        check(servers.customers.find("42") is not None, expected="customer 42 to still exist", came="nobody")
        stage.fact("refused", "403 insufficient_scope; customer 42 is still there")


def stranger(stage: Stage, servers: Servers, agent: Agent) -> None:
    """Check that a caller gets no token if the caller has the client_id but no key."""
    why = "The client_id without the key gives no access."
    with stage.step("A stranger asks for a token", why):
        stage.said("stranger", f"client_id={agent.client_id}, no proof")
        url = f"{servers.authority_url}/authsec/uflow/sdk/delegation-token"
        with httpx2.Client(trust_env=False, timeout=10) as http:
            answer = http.get(url, params={"client_id": agent.client_id})
        body = _parsed(answer.text)
        reason = body.get("reason") if isinstance(body, dict) else None
        check(
            (answer.status_code, reason) == (401, "attestation_required"),
            expected="401 attestation_required",
            came=f"{answer.status_code} {reason or 'with no reason'}",
        )
        stage.said("authority", f"{body['error']} {body['details']}")
        stage.fact("refused", f"401 {reason}")


def revoke(stage: Stage, admin: Administrator, authsec: AuthSecClient, delegation: str, api_url: str) -> None:
    """Revoke the delegation. Check that the API then refuses the agent's token.

    Also check that the authority refuses the agent's next token request.
    """
    why = "Tokens reflect the current state of the authority, and the API follows revocations."
    with stage.step("The delegation is revoked", why):
        token = authsec.get_token(scope=READ)
        check(_api_says(api_url, token) == 200, expected="the API to accept the agent's token", came="a refusal")
        revoked = admin.revoke(delegation)
        check(revoked["state"] == "revoked", expected="a revoked delegation", came=f"one that is {revoked['state']}")
        stage.fact("revoked", "by the administrator, through the admin API")
        took, left = _until_refused(api_url, token), token.expires_at - datetime.now(UTC)
        stage.fact(
            "refused", f"by the API {took * 1000:.0f} ms later, though the token has {left.seconds // 60} minutes left"
        )
        refusal = _refusal_of_next_token(authsec)
        check(
            (refusal.status, refusal.reason) == (410, "delegation_ended"),
            expected="410 delegation_ended",
            came=f"{refusal.status} {refusal.reason}",
        )
        stage.said("the agent", str(refusal))
        stage.fact("refused", f"410 {refusal.reason}: the very next token request")


def _api_says(api_url: str, token: DelegationToken) -> int:
    headers = {"Authorization": f"Bearer {token.value}"}
    with httpx2.Client(trust_env=False, timeout=10) as http:
        return http.get(f"{api_url}/customers/42", headers=headers).status_code


def _until_refused(api_url: str, token: DelegationToken) -> float:
    """Call the API repeatedly until the API answers 401. Return the elapsed seconds.

    Raises `StepFailed` if the API still accepts the token after `PATIENCE` seconds.
    """
    began = time.monotonic()
    while time.monotonic() - began < PATIENCE:
        if _api_says(api_url, token) == 401:
            return time.monotonic() - began
        time.sleep(0.005)
    raise StepFailed(
        expected=f"the API to refuse the token within {PATIENCE:.0f} seconds", came="it accepted the token"
    )


def _refusal_of_next_token(authsec: AuthSecClient) -> AuthSecError:
    try:
        authsec.get_token(scope=READ, force_refresh=True)
    except AuthSecError as error:
        return error
    raise StepFailed(expected="the next token request to be refused", came="a token")


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None  # not JSON, so not the expected result
