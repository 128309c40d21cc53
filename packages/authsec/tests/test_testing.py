"""`authsec.testing`, as those who test agents and APIs hold it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import urllib3
from authsec import (
    AuthenticationError,
    AuthSecClient,
    AuthSecError,
    ConfigError,
    DelegationDenied,
    InvalidToken,
    RateLimited,
    ServerError,
    SeveralAuthorities,
    TokenVerifier,
)
from authsec.testing import ScriptedModel, ThrowawayAuthority, call, calls, say
from authsec.testing.endpoint import _REASONS as DENIALS

from .fake_keys import AUDIENCE, ISSUER, key_set, reason_of

pytest_plugins = ["authsec.testing"]

PAGE = Path(__file__).resolve().parents[3] / "docs" / "testing.md"
API = """
from authsec import TokenVerifier
from authsec.asgi import BearerAuth
from authsec.fastapi import agent
from fastapi import Depends, FastAPI

verifier = TokenVerifier(issuer="https://authsec.example.com", audience="https://crm.example.com")
app = FastAPI()
app.add_middleware(BearerAuth, verifier=verifier)

@app.get("/customers", dependencies=[Depends(agent("customers:read"))])
def customers(): return []
"""
AGENT = """
from authsec import AuthSecClient

authsec = AuthSecClient(base_url="https://authsec.example.com", client_id="3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88")

@authsec.delegated(scope="customers:read")
def read_customers(*, delegation_token: str): return delegation_token
"""
IMPORTS = """
import pytest
from authsec import DelegationDenied
from fastapi.testclient import TestClient
"""


SERVED = """
import urllib3
from authsec import AuthSecClient
from crm.api import app, verifier
"""


@pytest.mark.soak
def test_the_page_about_testing_is_true(tmp_path: Path) -> None:
    """Its own code, run by pytest against an API and an agent that know nothing of tests."""
    conftest, api, agent, served = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "crm").mkdir()
    files = {"crm/api.py": API, "crm/agent.py": AGENT, "conftest.py": conftest}
    files |= {"test_api.py": IMPORTS + api, "test_agent.py": IMPORTS + agent}
    files |= {"test_served.py": IMPORTS + SERVED + served}
    for name, text in files.items():
        (tmp_path / name).write_text(textwrap.dedent(text))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:xdist",
        "-p",
        "no:cacheprovider",
        f"--rootdir={tmp_path}",
    ]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "5 passed" in done.stdout, done.stdout + done.stderr


def test_an_agents_token_opens_the_api_until_it_is_revoked(authsec_authority: ThrowawayAuthority) -> None:
    verifier, client = authsec_authority.verifier(AUDIENCE), authsec_authority.client()
    token = client.get_token(scope="customers:read tickets:write")
    identity = verifier.verify(token.value)
    assert (identity.client_id, identity.permissions) == (client.config.client_id, set(token.permissions))
    assert (token.audience, token.spiffe_id, token.expires_in) == ((AUDIENCE,), identity.agent, 600)
    client.revoke_token(token)
    assert reason_of(verifier, token.value) == "token_revoked"
    verifier.verify(client.get_delegation_token())


def test_a_program_that_reads_its_environment_is_led_here(authsec_authority: ThrowawayAuthority) -> None:
    client = AuthSecClient()
    assert client.get_token().permissions == ("tests:run",)
    assert [(asked.scope, asked.resource) for asked in authsec_authority.asked] == [(None, None)]


def test_an_api_that_reads_its_environment_in_a_test_can_be_stood_in_for(
    authsec_authority: ThrowawayAuthority, issue_token: Callable[..., str]
) -> None:
    """As one that is imported in a fixture does. Until then it takes none of these tokens, and says what is missing."""
    verifier = TokenVerifier(os.environ["AUTHSEC_ISSUER"], AUDIENCE)
    for forgotten in (verifier, SeveralAuthorities(TokenVerifier("https://authsec.example.com", AUDIENCE))):
        with pytest.raises(InvalidToken, match="issued by another authority") as caught:
            forgotten.verify(issue_token("customers:read"))
        assert "first call authsec_authority.stand_in_for(verifier)" in str(caught.value.details)
    authsec_authority.stand_in_for(verifier)
    assert verifier.verify(issue_token("customers:read")).permissions == {"customers:read"}


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"exp": 0}, "token_expired"),
        ({"expires_in": -60}, "token_expired"),
        ({"audience": "https://other.example.com"}, "audience_mismatch"),
        ({"iss": ISSUER}, "issuer_mismatch"),
        ({"jti": None}, "claim_invalid"),
    ],
)
def test_what_is_changed_is_refused_as_everywhere(
    changed: dict[str, object], reason: str, authsec_authority: ThrowawayAuthority, issue_token: Callable[..., str]
) -> None:
    verifier = authsec_authority.verifier(AUDIENCE)
    verifier.verify(issue_token("customers:read"))
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(issue_token("customers:read", **changed))
    assert caught.value.reason == reason


def test_one_token_is_revoked_and_no_other(
    authsec_authority: ThrowawayAuthority, issue_token: Callable[..., str], revoke: Callable[..., None]
) -> None:
    verifier, another = authsec_authority.verifier(AUDIENCE), authsec_authority.verifier(AUDIENCE)
    first, second = issue_token(), issue_token(client_id="3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88")
    verifier.verify(first)
    revoke(first)
    assert [reason_of(each, first) for each in (verifier, another)] == ["token_revoked"] * 2
    assert verifier.verify(second).agent.endswith("3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88")


KINDS = {401: AuthenticationError, 429: RateLimited, 503: ServerError}


@pytest.mark.parametrize("reason", DENIALS)
def test_a_denial_is_what_the_real_one_is(
    reason: str, authsec_authority: ThrowawayAuthority, deny: Callable[..., None]
) -> None:
    deny(reason, "Ask Bob.")
    began = time.monotonic()
    with pytest.raises(AuthSecError) as caught:
        authsec_authority.client().get_delegation_token()
    assert time.monotonic() - began < 1, "no test waits for a retry"
    status, _ = DENIALS[reason]
    assert isinstance(caught.value, KINDS.get(status, DelegationDenied))
    assert (caught.value.reason, caught.value.status) == (reason, status)
    assert caught.value.retryable == (status in {429, 503})
    assert ("Ask Bob." in str(caught.value)) is (reason != "attestation_required")  # the SDK says what is missing
    authsec_authority.allow()
    authsec_authority.client().get_delegation_token()


def test_a_denial_reaches_clients_that_hold_a_token(
    authsec_authority: ThrowawayAuthority, deny: Callable[..., None]
) -> None:
    """Whichever way they came to ask here: as the fixture's, one of the environment, or a program's own."""
    own = AuthSecClient(base_url="https://authsec.example.com", client_id="3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88")
    authsec_authority.stand_in_for(own)
    with ThrowawayAuthority() as other:
        of_others = other.client()
        kept = of_others.get_delegation_token()
        clients = [own, AuthSecClient(), authsec_authority.client()]
        for client in clients:
            client.get_token("customers:read")
            client.get_delegation_token()
        deny("delegation_ended")
        for client in clients:
            with pytest.raises(DelegationDenied):
                client.get_token("customers:read")
            with pytest.raises(DelegationDenied):
                client.get_delegation_token()
        assert of_others.get_delegation_token() == kept, "another authority has denied nothing"
    authsec_authority.allow()
    assert all(client.get_delegation_token() for client in clients)


def test_a_denial_that_no_authority_makes_is_a_mistake_in_the_test(deny: Callable[..., None]) -> None:
    with pytest.raises(ValueError, match="'disabled' is not a reason; the reasons are: "):
        deny("disabled")


@pytest.mark.parametrize("named", ["customers.read", ["customers:read,tickets:write"], ["Customers:Read"]])
def test_what_is_no_action_is_a_mistake_in_the_test(
    named: str | list[str], authsec_authority: ThrowawayAuthority, issue_token: Callable[..., str]
) -> None:
    for give in (authsec_authority.delegate, issue_token):
        with pytest.raises(ConfigError, match="is not an action"):
            give(named)


def test_actions_may_be_named_together_or_each(
    authsec_authority: ThrowawayAuthority, issue_token: Callable[..., str]
) -> None:
    both = ("customers:read", "tickets:write")
    for named in (both, [both], [[*both]], [" ".join(both)]):
        authsec_authority.delegate(*named)
        assert authsec_authority.client().get_token().permissions == both
    verifier = authsec_authority.verifier(AUDIENCE)
    for given in (both, " ".join(both), [" ".join(both)]):
        assert verifier.verify(issue_token(given)).permissions == set(both)


@pytest.mark.parametrize(
    ("misspelt", "meant"), [("permission", "permissions"), ("audiences", "audience"), ("expires", "expires_in")]
)
def test_a_claim_that_means_an_argument_is_a_mistake_in_the_test(
    misspelt: str, meant: str, issue_token: Callable[..., str]
) -> None:
    with pytest.raises(TypeError, match=f"no argument '{misspelt}'.*: {meant}=…"):
        issue_token(**{misspelt: "customers:read"})


def test_more_than_is_delegated_is_refused(authsec_authority: ThrowawayAuthority) -> None:
    authsec_authority.delegate("customers:read", "tickets:write")
    client = authsec_authority.client()
    assert client.get_token().permissions == ("customers:read", "tickets:write")
    assert client.get_token(scope="tickets:write").permissions == ("tickets:write",)
    with pytest.raises(DelegationDenied, match="The test delegates customers:read tickets:write") as caught:
        client.get_token(scope="customers:delete")
    assert caught.value.reason == "action_not_allowed"
    assert caught.value.missing_actions == ("customers:delete",)
    with pytest.raises(DelegationDenied) as caught:
        client.get_token(scope="customers:delete customers:read", resource="https://crm.example.com")
    assert caught.value.allowed_scope == "customers:read"
    assert caught.value.grant_at == (
        f"{authsec_authority.base_url}/console/delegations/new?client={client.config.client_id}"
        "&actions=customers%3Adelete&audiences=https%3A%2F%2Fcrm.example.com"
    )
    authsec_authority.delegate()
    with pytest.raises(DelegationDenied) as caught:
        authsec_authority.client().get_token()
    assert caught.value.reason == "no_delegation"


def test_an_api_of_several_authorities_takes_the_tests_as_its_only_one(
    authsec_authority: ThrowawayAuthority, issue_token: Callable[..., str], revoke: Callable[..., None]
) -> None:
    issuers = (ISSUER, "http://[::1]")
    verifier = SeveralAuthorities(
        *(TokenVerifier(issuer, AUDIENCE, keys=key_set(), revocations="until_exp") for issuer in issuers)
    )
    authsec_authority.stand_in_for(verifier)
    token = issue_token("customers:read")
    verifier.verify(token)
    revoke(token)
    with pytest.raises(InvalidToken) as caught:
        verifier.verify(token)
    assert caught.value.reason == "token_revoked"
    authsec_authority.close()
    assert verifier.issuers == issuers


def test_of_several_apis_one_must_be_named(
    authsec_authority: ThrowawayAuthority, issue_token: Callable[..., str]
) -> None:
    first, second = authsec_authority.verifier(AUDIENCE), authsec_authority.verifier("tickets")
    client = authsec_authority.client()
    with pytest.raises(ValueError, match="set audience= to one of"):
        issue_token()
    with pytest.raises(DelegationDenied) as caught:
        client.get_token()
    assert caught.value.reason == "invalid_target"
    second.verify(client.get_token(resource="tickets").value)
    first.verify(issue_token(audience=AUDIENCE))


def test_an_api_for_one_algorithm_takes_the_tokens_of_its_tests() -> None:
    """Tokens of a test have RS256, whatever the API is registered for."""
    verifier = TokenVerifier(ISSUER, AUDIENCE, keys=key_set(), revocations="until_exp", algorithms=["ES256"])
    with ThrowawayAuthority() as authority:
        authority.stand_in_for(verifier)
        assert verifier.verify(authority.issue_token())
    assert verifier.expected.algorithms == {"ES256"}


def test_programs_get_their_own_authority_back() -> None:
    verifier = TokenVerifier(ISSUER, AUDIENCE, keys=key_set(), revocations="until_exp", leeway=7)
    client = AuthSecClient(base_url="https://authsec.example.com", client_id="3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88")
    kept, threads = (vars(verifier).copy(), vars(client).copy()), threading.active_count()
    with ThrowawayAuthority() as authority:
        for thing in (verifier, client, verifier):
            authority.stand_in_for(thing)
        token = client.get_delegation_token()
        assert verifier.verify(token).client_id == client.config.client_id == "3f0c9a1e-5d0b-4c52-9d4e-0a6c2f1b7e88"
        assert (verifier.expected.leeway, verifier.expected.audience) == (7, AUDIENCE)
    assert (vars(verifier), vars(client)) == kept
    assert threading.active_count() == threads
    with pytest.raises(InvalidToken):
        verifier.verify(token)
    with ThrowawayAuthority() as authority, pytest.raises(TypeError, match="not <class 'str'>"):
        authority.stand_in_for("verifier")  # type: ignore[arg-type] # the mistake that is told


def asked(model: ScriptedModel, **body: Any) -> tuple[int, dict[str, Any]]:
    answer = urllib3.request("POST", f"{model.base_url}/chat/completions", json={"messages": [], **body})
    return answer.status, answer.json()


def test_a_model_says_what_its_script_says_and_keeps_what_it_is_shown(
    scripted_model: Callable[..., ScriptedModel],
) -> None:
    model = scripted_model(calls(call("fetch", id="42"), call("fetch", id="43")), say("Done."))
    assert os.environ["OPENAI_BASE_URL"] == model.base_url
    tool = {"name": "fetch", "parameters": {"type": "object"}}
    _, wanted = asked(model, tools=[{"type": "function", "function": tool}])
    every = wanted["choices"][0]["message"]["tool_calls"]
    assert [(one["id"], json.loads(one["function"]["arguments"])) for one in every] == [
        ("call_1", {"id": "42"}),
        ("call_2", {"id": "43"}),
    ]
    _, said = asked(model, messages=[{"role": "user", "content": "?"}, {"role": "tool", "content": "Ada"}])
    assert said["choices"][0]["message"] == {"role": "assistant", "content": "Done."}
    assert (model.tools_shown, model.tool_results) == ([tool], ["Ada"])
    assert asked(model)[1]["choices"][0]["message"]["content"] == "TERMINATE"


def test_what_a_scripted_model_cannot_is_said() -> None:
    with ScriptedModel(say("Done.")) as model:
        status, answer = asked(model, stream=True)
    assert (status, "does not stream" in answer["error"]["message"]) == (400, True)


@pytest.mark.parametrize(
    ("sent", "status"), [("scope=everything", 400), ("resource=", 200), ("scope=a:b&resource=x%20y", 400)]
)
def test_what_other_programs_send_is_answered(sent: str, status: int, authsec_authority: ThrowawayAuthority) -> None:
    at = f"{authsec_authority.base_url}/authsec"
    assert urllib3.request("GET", f"{at}/uflow/sdk/delegation-token?client_id=x&{sent}").status == status
    for sent_token in (b"token=x", b"\xff", b""):
        assert urllib3.request("POST", f"{at}/v1/revoke", body=sent_token).status == 200
    assert urllib3.request("GET", f"{at}/api/v1/clients").status == 404
