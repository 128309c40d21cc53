"""A tool of one's own in a real run of the framework: it works, the model hears what helps, nobody sees the token."""

from __future__ import annotations

import base64
import copy
import json
import pickle
import re
import runpy
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
import requests
from authsec import AuthSecClient, DelegationDenied, ToolError
from authsec.testing import ThrowawayAuthority, call, calls, say
from company import Crm

from conftest import Findings, Watch, Way

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "frameworks"
DENIAL = "The delegations of this agent have expired or were revoked. Ask Ada for it."
OTHER = "customers:delete"  # what `requests_auth`, or the tool itself, may take a token for besides
ADA = "Ada Lovelace"


def fetching(authsec: AuthSecClient, crm: Crm, way: Way, **settings: Any) -> Callable[..., Any]:
    """The tool, which fails for whatever the API does not answer with success."""

    @authsec.delegated(scope="customers:read", **settings)
    def fetch_customer(customer_id: str, *, delegation_token: str) -> str:
        """Fetch a customer's record."""
        headers = {"Authorization": f"Bearer {delegation_token}"}
        answer = requests.get(f"{crm.url}/customers/{customer_id}", headers=headers, timeout=5)
        answer.raise_for_status()
        return answer.text

    @authsec.delegated(scope="customers:read", **settings)
    async def fetch_async(customer_id: str, *, delegation_token: str) -> str:
        """Fetch a customer's record."""
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {delegation_token}"}) as http:
            answer = await http.get(f"{crm.url}/customers/{customer_id}")
        answer.raise_for_status()
        return answer.text

    fetch_async.__name__ = "fetch_customer"
    return fetch_async if way.async_tools else fetch_customer


def shown(model: Any) -> dict[str, Any]:
    (tool,) = model.tools_shown
    assert tool["name"] == "fetch_customer"
    assert "Fetch a customer's record." in tool["description"]  # some put more around it
    return dict(tool["parameters"])


def told(result: str) -> str:
    """The tool's text where a framework puts it into an object of its own."""
    whole = json.loads(result) if result.startswith("{") else {}
    return str(whole["result"]) if set(whole) == {"result"} else result


def test_the_tool_calls_the_api_and_nobody_sees_the_token(
    way: Way, authsec: AuthSecClient, crm: Crm, model: Any, watch: Watch
) -> None:
    scripted = model(call("fetch_customer", customer_id="42"), say("She is Ada. TERMINATE"))
    assert way.ask([fetching(authsec, crm, way)]) == "She is Ada. TERMINATE"

    assert list(shown(scripted)["properties"]) == shown(scripted)["required"] == ["customer_id"]
    assert "delegation_token" not in "".join(scripted.requests)
    (result,) = scripted.tool_results
    assert json.dumps({"id": "42", "name": "Ada Lovelace"}) in (result, told(result))
    (agent,) = crm.agents
    assert (agent.client_id, agent.permissions) == (authsec.config.client_id, {"customers:read"})
    assert watch.places(scripted, *crm.tokens) == set()


def test_what_a_tool_gives_away_would_be_seen(
    way: Way, authsec: AuthSecClient, crm: Crm, model: Any, watch: Watch
) -> None:
    """What the other tests rest on: that the watch sees what tools say. This one is not decorated."""

    def fetch_customer(customer_id: str) -> str:
        """Fetch a customer's record."""
        return f"{customer_id} {authsec.get_delegation_token()}"

    scripted = model(call("fetch_customer", customer_id="42"), say("TERMINATE"))
    way.ask([fetch_customer])
    (result,) = scripted.tool_results
    assert {"model", "trace"} <= watch.places(scripted, *re.findall(r"ey[\w-]+\.[\w-]+\.[\w-]+", result))


class Refused(Exception):
    """As HTTP libraries raise them: what was sent is an attribute."""

    def __init__(self, sent: dict[str, Any]) -> None:
        super().__init__("no customer; sent what is removed here")
        self.sent = sent


def given_away(token: str, outcome: str) -> Any:
    """What comes of an API that echoes what it was sent."""
    sent = {"headers": {"Authorization": f"Bearer {token}"}}
    match outcome:
        case "raised":
            raise LookupError(f"no customer; sent {sent}") from ValueError(token)
        case "raised as an attribute":
            raise Refused(sent)
        case "returned as text":
            return json.dumps(sent)
        case "returned in base64":
            return f"Authorization: Basic {base64.b64encode(f'oauth2:{token}'.encode()).decode()}"
        case "returned as it comes":
            return {"rows": (json.dumps(row) for row in [sent])}
    return sent


def giving_away(authsec: AuthSecClient, way: Way, outcome: str) -> Callable[..., Any]:
    """A tool that hands that on."""

    @authsec.delegated
    def fetch_customer(customer_id: str, *, delegation_token: str) -> Any:
        """Fetch a customer's record."""
        return given_away(f"{authsec.get_token(OTHER).value if 'another' in outcome else delegation_token}", outcome)

    @authsec.delegated
    async def fetch_async(customer_id: str, *, delegation_token: str) -> Any:
        """Fetch a customer's record."""
        return given_away(f"{authsec.get_token(OTHER).value if 'another' in outcome else delegation_token}", outcome)

    fetch_async.__name__ = "fetch_customer"
    return fetch_async if way.async_tools else fetch_customer


RETURNED = ["returned", "returned as text", "returned in base64", "returned, another token", "returned as it comes"]


@pytest.mark.parametrize("outcome", [*RETURNED, "raised", "raised as an attribute"])
def test_what_a_tool_gives_away_is_withheld(
    outcome: str, way: Way, framework: ModuleType, authsec: AuthSecClient, crm: Crm, model: Any, watch: Watch
) -> None:
    scripted = model(call("fetch_customer", customer_id="42"), say("TERMINATE"))
    tools = [giving_away(authsec, way, outcome)]
    if outcome not in RETURNED and framework.RAISED is None:
        with pytest.raises(ToolError, match=r"^\w+: no customer; sent .*removed"):
            way.ask(tools)
    else:
        way.ask(tools)
        assert len(scripted.tool_results) == 1
        if outcome in RETURNED[:4]:  # some frameworks show that there is an iterator, and run it not
            assert "[delegation token removed]" in scripted.tool_results[0]
    assert watch.places(scripted, authsec.get_token().value, authsec.get_token(OTHER).value) == set()


def test_calls_at_once_ask_for_one_token(
    way: Way, authsec: AuthSecClient, authsec_authority: ThrowawayAuthority, crm: Crm, model: Any, watch: Watch
) -> None:
    wanted = [call("fetch_customer", customer_id=str(number)) for number in range(5)]
    scripted = model(calls(*wanted), say("TERMINATE"))
    way.ask([fetching(authsec, crm, way)])

    assert sorted(json.loads(told(result))["id"] for result in scripted.tool_results) == ["0", "1", "2", "3", "4"]
    assert len(crm.tokens) == 5
    assert len(authsec_authority.asked) == len(set(crm.tokens)) == 1
    assert watch.places(scripted, *crm.tokens) == set()


def test_the_model_is_told_of_a_denial_and_the_run_goes_on(
    way: Way, authsec: AuthSecClient, crm: Crm, deny: Any, model: Any, watch: Watch
) -> None:
    had = authsec.get_token()
    deny("delegation_ended", "Ask Ada for it.")
    scripted = model(call("fetch_customer", customer_id="42"), say("I may not. TERMINATE"))
    assert way.ask([fetching(authsec, crm, way, on_denied="tell_model")]) == "I may not. TERMINATE"

    (read,) = scripted.tool_results
    assert DENIAL in read
    assert "Retrying will not help. The person you work for can grant it at http://127.0.0.1:" in read
    assert crm.tokens == []
    assert watch.places(scripted, had.value) == set()


def test_a_denial_that_is_raised_is_what_the_framework_makes_of_exceptions(
    way: Way,
    framework: ModuleType,
    authsec: AuthSecClient,
    crm: Crm,
    deny: Any,
    model: Any,
    watch: Watch,
    findings: Findings,
) -> None:
    had = authsec.get_token()
    deny("delegation_ended", "Ask Ada for it.")
    scripted = model(call("fetch_customer", customer_id="42"), say("I may not. TERMINATE"))
    tools = [fetching(authsec, crm, way)]
    if framework.RAISED is None:
        with pytest.raises(DelegationDenied, match=DENIAL):
            way.ask(tools)
        findings.add(None, DENIAL)
    else:
        assert way.ask(tools) == "I may not. TERMINATE"
        (read,) = scripted.tool_results
        assert re.search(framework.RAISED.format(denial=DENIAL), read), read
        findings.add(read, DENIAL)
    assert watch.places(scripted, had.value) == set()


def test_an_error_of_the_tool_takes_no_token_along(
    way: Way, framework: ModuleType, authsec: AuthSecClient, crm: Crm, model: Any, watch: Watch
) -> None:
    scripted = model(call("fetch_customer", customer_id="broken"), say("It is broken. TERMINATE"))
    tools = [fetching(authsec, crm, way, on_denied="tell_model")]  # it is no denial
    if framework.RAISED is None:
        with pytest.raises((requests.HTTPError, httpx.HTTPStatusError)):
            way.ask(tools)
    else:
        way.ask(tools)
        assert len(scripted.tool_results) == 1
    assert len(crm.tokens) == 1
    assert watch.places(scripted, *crm.tokens) == set()


def test_after_a_revocation_the_model_is_told_and_the_next_call_has_another_token(
    way: Way, authsec: AuthSecClient, crm: Crm, revoke: Any, model: Any, watch: Watch
) -> None:
    revoked = authsec.get_token(scope="customers:read").value
    revoke(revoked)
    tool = fetching(authsec, crm, way, on_denied="tell_model")
    results = []
    for _ in range(2):  # runs, since not every framework has the model call twice in one
        scripted = model(call("fetch_customer", customer_id="42"), say("TERMINATE"))
        way.ask([tool])
        results += scripted.tool_results
        assert watch.places(scripted, revoked, *crm.tokens) == set()
    refused, found = results
    assert "The API answered 401 (invalid_token). The token has been revoked." in refused
    assert ADA in found


def test_a_token_that_the_model_makes_up_is_not_used(way: Way, authsec: AuthSecClient, crm: Crm, model: Any) -> None:
    """The framework drops what is not in the schema, or tells the model."""
    made_up = call("fetch_customer", customer_id="42", delegation_token="made up")
    scripted = model(made_up, say("TERMINATE"))
    way.ask([fetching(authsec, crm, way)])
    assert "made up" not in crm.tokens
    assert len(scripted.tool_results) == 1


def test_a_method_is_shown_without_self(way: Way, framework: ModuleType, authsec: AuthSecClient, model: Any) -> None:
    class Support:
        @authsec.delegated
        def fetch_customer(self, customer_id: str, *, delegation_token: str) -> str:
            """Fetch a customer's record."""
            return f"{customer_id} {type(self).__name__} {len(delegation_token) > 100}"

    if not getattr(framework, "METHODS", True):
        return
    scripted = model(call("fetch_customer", customer_id="42"), say("TERMINATE"))
    way.ask([Support().fetch_customer])
    assert list(shown(scripted)["properties"]) == ["customer_id"]
    assert [told(result) for result in scripted.tool_results] == ["42 Support True"]


def test_what_the_framework_fills_stays_as_it_is(
    way: Way, framework: ModuleType, authsec: AuthSecClient, model: Any
) -> None:
    if framework.in_its_run is None:
        return
    scripted = model(call("fetch_customer", customer_id="42"), say("TERMINATE"))
    way.ask([framework.in_its_run(authsec)])
    assert list(shown(scripted)["properties"]) == ["customer_id"]
    assert re.fullmatch(r"42 \w+ True", told(scripted.tool_results[0]))
    assert "NoneType" not in scripted.tool_results[0]


def test_copies_of_a_tool_work_and_carry_no_token(
    way: Way, framework: ModuleType, authsec: AuthSecClient, crm: Crm, model: Any
) -> None:
    """Some are copied whether one wants it or not, as ag2's."""
    scripted = model(call("fetch_customer", customer_id="42"), say("TERMINATE"))
    token = authsec.get_token(scope="customers:read").value
    copied = copy.deepcopy({"client": authsec, "tool": framework.as_tool(fetching(copy.deepcopy(authsec), crm, way))})
    assert token.encode() not in pickle.dumps(copied["client"])
    way.ask([copied["tool"]])
    assert ADA in scripted.tool_results[0]
    assert token not in crm.tokens


def test_the_example_runs(
    request: pytest.FixtureRequest,
    framework: ModuleType,
    authsec_authority: ThrowawayAuthority,
    crm: Crm,
    model: Any,
    watch: Watch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    scripted = model(call("fetch_customer", customer_id="42"), say("She is Ada. TERMINATE"))
    runpy.run_path(str(EXAMPLES / f"{request.config.getoption('--framework')}_tool.py"), run_name="__main__")
    printed = capfd.readouterr()
    watch.evidence.add("output", *printed)

    assert "She is Ada. TERMINATE" in printed.out  # CrewAI may print its own boxes beside it, in the same line
    assert list(shown(scripted)["properties"]) == ["customer_id"]
    assert ADA in scripted.tool_results[0]
    assert [asked.scope for asked in authsec_authority.asked] == ["customers:read"]
    assert watch.places(scripted, *crm.tokens) == set()


def test_the_example_tells_its_model_of_a_denial(
    request: pytest.FixtureRequest, framework: ModuleType, crm: Crm, deny: Any, model: Any
) -> None:
    deny("delegation_ended", "Ask Ada for it.")
    scripted = model(call("fetch_customer", customer_id="42"), say("I may not. TERMINATE"))
    runpy.run_path(str(EXAMPLES / f"{request.config.getoption('--framework')}_tool.py"), run_name="__main__")
    (read,) = scripted.tool_results
    assert DENIAL in read
