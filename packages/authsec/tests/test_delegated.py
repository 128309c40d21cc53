"""`@authsec.delegated`: the function gets its token, and nobody who looks at it can tell."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import hashlib
import inspect
import pickle
import typing
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from authsec import AuthSecClient, AuthSecError, ConfigError, DelegationDenied
from fake_authority import refused
from langchain_core.tools import tool as langchain_tool
from mcp.client import Client
from mcp.server import MCPServer

if TYPE_CHECKING:
    from somewhere import OnlyForTypeCheckers


def mark(token: str) -> str:
    """Which token it was. The token itself comes out of no call."""
    return hashlib.sha256(token.encode()).hexdigest()


def marks(authority: Any) -> list[str]:
    return [*map(mark, authority.tokens)]


def test_the_token_is_filled_in(client: AuthSecClient, authority: Any) -> None:
    @client.delegated(scope="customers:read", resource="crm")
    def fetch(customer_id: str, limit: int = 10, *, delegation_token: str) -> tuple[str, int, str]:
        return customer_id, limit, mark(delegation_token)

    (token,) = {fetch("42")[2], fetch(customer_id="42")[2]}
    assert fetch("42", 5) == ("42", 5, token)
    assert marks(authority) == [token]
    assert authority.seen[0].query["scope"] == ["customers:read"]
    assert authority.seen[0].query["resource"] == ["crm"]


def test_without_arguments_it_asks_for_all_that_is_delegated(client: AuthSecClient, authority: Any) -> None:
    @client.delegated
    def fetch(delegation_token: str) -> str:
        return mark(delegation_token)

    assert fetch() in marks(authority)
    assert set(authority.seen[0].query) == {"client_id"}


def test_a_coroutine_function_stays_one(client: AuthSecClient, authority: Any) -> None:
    @client.delegated()
    async def fetch(customer_id: str, *, delegation_token: str) -> str:
        return mark(delegation_token)

    assert inspect.iscoroutinefunction(fetch)
    assert asyncio.run(fetch("42")) in marks(authority)
    assert list(inspect.signature(fetch).parameters) == ["customer_id"]


def test_methods_of_all_kinds(client: AuthSecClient, authority: Any) -> None:
    class Crm:
        name = "crm"

        @client.delegated
        def fetch(self, customer_id: str, *, delegation_token: str) -> tuple[str, str, str]:
            return self.name, customer_id, mark(delegation_token)

        @classmethod
        @client.delegated
        def of_class(cls, customer_id: str, *, delegation_token: str) -> tuple[str, str, str]:
            return cls.name, customer_id, mark(delegation_token)

        @staticmethod
        @client.delegated
        def static(customer_id: str, *, delegation_token: str) -> tuple[str, str, str]:
            return "crm", customer_id, mark(delegation_token)

    crm = Crm()
    for call in (crm.fetch, crm.of_class, crm.static, Crm.static):
        assert call("42") == ("crm", "42", *marks(authority))
    assert list(inspect.signature(crm.fetch).parameters) == ["customer_id"]


def test_the_parameter_may_stand_anywhere(client: AuthSecClient, authority: Any) -> None:
    @client.delegated
    def first(delegation_token: str, a: int, b: int = 2, *rest: int, **more: int) -> tuple[Any, ...]:
        return delegation_token in authority.tokens, a, b, rest, more

    @client.delegated
    def middle(a: int, /, delegation_token: str, b: int, *, c: int = 3) -> tuple[Any, ...]:
        return delegation_token in authority.tokens, a, b, c

    @client.delegated
    def defaulted(a: int = 1, delegation_token: str = "", b: int = 2) -> tuple[Any, ...]:
        return delegation_token in authority.tokens, a, b

    assert first(1) == (True, 1, 2, (), {})
    assert first(1, 5, 6, 7, x=8) == (True, 1, 5, (6, 7), {"x": 8})
    assert middle(1, 2) == middle(1, b=2) == (True, 1, 2, 3)
    assert middle(1, 2, c=4) == (True, 1, 2, 4)
    assert defaulted() == defaulted(1, 2) == (True, 1, 2)
    assert defaulted(b=5) == (True, 1, 5)


@pytest.mark.parametrize("arguments", [{"delegation_token": "made up"}, {"customer": "42"}, {}])
def test_wrong_arguments_are_refused_before_a_token_is_fetched(
    arguments: dict[str, str], client: AuthSecClient, authority: Any
) -> None:
    @client.delegated
    def fetch(customer_id: str, *, delegation_token: str) -> str:
        return mark(delegation_token)

    with pytest.raises(TypeError, match=r"fetch\(\) (got an unexpected|missing 1 required)"):
        fetch(**({"customer_id": "42"} if "delegation_token" in arguments else {}), **arguments)
    assert authority.seen == []


def test_the_disguise(client: AuthSecClient) -> None:
    @client.delegated
    def fetch(customer_id: Annotated[str, "The id"], *, delegation_token: str) -> dict[str, Any]:
        """Fetch a customer."""
        return {}

    assert fetch.__name__ == "fetch"
    assert fetch.__doc__ == "Fetch a customer."
    assert fetch.__annotations__ == {"customer_id": Annotated[str, "The id"], "return": dict[str, Any]}
    parameter = inspect.Parameter(
        "customer_id", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Annotated[str, "The id"]
    )
    assert inspect.signature(fetch) == inspect.Signature([parameter], return_annotation=dict[str, Any])
    assert inspect.signature(fetch, follow_wrapped=False) == inspect.signature(fetch)
    assert typing.get_type_hints(fetch, include_extras=True) == fetch.__annotations__
    assert not hasattr(fetch, "__wrapped__")
    assert inspect.unwrap(fetch) is fetch


GOOGLE = """Fetch a customer.

    Args:
        customer_id: The id.
        delegation_token (str): The token that
            says who asks.
        limit: How many.

    Returns:
        A record.
    """
NUMPY = """Fetch a customer.

    Parameters
    ----------
    customer_id : str
        The id.
    delegation_token : str
        The token that says who asks.

    Returns
    -------
    str
    """
SPHINX = """Fetch a customer.

    :param customer_id: the id
    :param str delegation_token: the token that
        says who asks
    :type delegation_token: str
    :return: a record
    """
ALONE = """Fetch all customers.

    Args:
        delegation_token: The token that says who asks.

    Returns:
        Records.
    """


@pytest.mark.parametrize("documented", [GOOGLE, NUMPY, SPHINX, ALONE, "Fetch, by the delegation_token."])
def test_what_the_docstring_says_of_the_parameter_is_not_shown(documented: str, client: AuthSecClient) -> None:
    def fetch(customer_id: str = "", limit: int = 1, *, delegation_token: str) -> None: ...

    fetch.__doc__ = documented
    shown = client.delegated(fetch).__doc__
    assert shown is not None
    if documented.startswith("Fetch, by"):
        assert shown == documented, "a sentence is left as it is"
    else:
        assert not any(word in shown for word in ("delegation_token", "who asks", "The token"))
        left = [line for line in shown.splitlines() if line.strip()]
        assert [line for line in documented.splitlines() if line in left and line.strip()] == left
        assert ("Args:" in shown) is (documented is GOOGLE)
        assert "ecord" in shown or "Returns" in shown


def test_names_for_type_checkers_only_stay_as_they_are(client: AuthSecClient, authority: Any) -> None:
    @client.delegated
    def fetch(customer: OnlyForTypeCheckers, *, delegation_token: str) -> str:
        return mark(delegation_token)

    assert fetch.__annotations__ == {"customer": "OnlyForTypeCheckers", "return": "str"}
    assert fetch(None) in marks(authority)


def test_a_function_without_annotations(client: AuthSecClient, authority: Any) -> None:
    @client.delegated
    def fetch(customer_id, delegation_token):  # that is the point
        return mark(delegation_token)

    assert fetch.__annotations__ == {}
    assert fetch("42") in marks(authority)


def test_a_function_without_the_parameter_is_refused_at_once_with_the_fix(client: AuthSecClient) -> None:
    with pytest.raises(ConfigError) as caught:

        @client.delegated
        def fetch(customer_id: str, limit: int = 10) -> str:
            return customer_id

    assert caught.value.reason == "parameter_missing"
    assert str(caught.value).endswith("\n    def fetch(customer_id, limit=10, *, delegation_token: str)")


def test_the_fix_can_be_pasted(client: AuthSecClient) -> None:
    def gathering(customer_id: str, **more: Any) -> None: ...

    def named(customer_id: str, *, limit: int = 10) -> None: ...

    def several(*customers: str) -> None: ...

    def misnamed(customer_id: str, token: str) -> None: ...

    def misnamed_and_gathering(access_token: str, customer_id: str, **more: Any) -> None: ...

    def positional(delegation_token: str, /) -> None: ...

    said = {}
    for function in (gathering, named, several, misnamed, misnamed_and_gathering, positional):
        with pytest.raises(ConfigError) as caught:
            client.delegated(function)
        assert caught.value.reason == "parameter_missing"
        text, _, said[function.__name__] = str(caught.value).rpartition("\n    def ")
        compile(f"def {said[function.__name__]}: ...", "", "exec")
        assert (". Rename " in text) is function.__name__.startswith("misnamed")
        assert ("cannot get delegation_token as a keyword argument" in text) is (function is positional)
    assert said == {
        "gathering": "gathering(customer_id, *, delegation_token: str, **more)",
        "named": "named(customer_id, *, limit=10, delegation_token: str)",
        "several": "several(*customers, delegation_token: str)",
        "misnamed": "misnamed(customer_id, *, delegation_token: str)",
        "misnamed_and_gathering": "misnamed_and_gathering(customer_id, *, delegation_token: str, **more)",
        "positional": "positional(*, delegation_token: str)",
    }


def test_actions_in_place_of_the_function_are_told_how_to_be_named(client: AuthSecClient) -> None:
    with pytest.raises(ConfigError, match=r"by name, as in @authsec\.delegated\(scope='customers:read'\)"):
        client.delegated("customers:write")  # type: ignore[call-overload] # that is the point


def test_two_decorators_are_one_too_many(client: AuthSecClient) -> None:
    @client.delegated(scope="customers:read")
    def fetch(customer_id: str, *, delegation_token: str) -> None: ...

    with pytest.raises(ConfigError, match="Keep one decorator, with all actions of the function") as caught:
        client.delegated(fetch, scope="tickets:write")
    assert caught.value.reason == "decorated_twice"


def test_a_parameter_that_cannot_be_filled_is_refused(client: AuthSecClient) -> None:
    def positional_only(delegation_token: str, /) -> None: ...

    def collected(**delegation_token: str) -> None: ...

    for function in (positional_only, collected):
        with pytest.raises(ConfigError):
            client.delegated(function)


def test_what_is_no_plain_function_is_refused(client: AuthSecClient) -> None:
    def nothing(delegation_token: str) -> None: ...

    for thing in (print, int, staticmethod(nothing), functools.partial(nothing)):
        with pytest.raises(ConfigError, match=r"not a plain function.*directly above the def"):
            client.delegated(thing)


def test_what_goes_on_after_the_call_is_refused_with_the_fix(client: AuthSecClient) -> None:
    async def stream(*, delegation_token: str) -> Any:
        yield delegation_token

    def lines(*, delegation_token: str) -> Any:
        yield delegation_token

    for function in (stream, lines):
        with pytest.raises(ConfigError, match=r"yields.*aget_delegation_token"):
            client.delegated(function)


def test_a_scope_that_cannot_be_granted_is_refused_at_decoration(client: AuthSecClient) -> None:
    with pytest.raises(ConfigError, match="not an action"):
        client.delegated(scope="customers.read")


def test_a_refusal_reaches_the_caller(client: AuthSecClient, authority: Any) -> None:
    @client.delegated
    def fetch(*, delegation_token: str) -> None:
        raise AssertionError("called without a token")

    authority.next_answers = [refused(403, "client_disabled")]
    with pytest.raises(DelegationDenied):
        fetch()


def telling(client: AuthSecClient, kind: str) -> Any:
    """A tool of one kind that tells the model; called, it gives its result, whichever kind it is."""
    tell = client.delegated(scope="customers:read", on_denied="tell_model")

    @tell
    def fetch(*, delegation_token: str) -> dict[str, bool]:
        return {"called": True}

    @tell
    async def fetch_async(*, delegation_token: str) -> dict[str, bool]:
        return {"called": True}

    return fetch if kind == "sync" else lambda: asyncio.run(fetch_async())


both_kinds = pytest.mark.parametrize("kind", ["sync", "async"])
DECISIONS = [
    (403, "client_disabled", "An administrator has disabled this agent. Ask for it."),
    (410, "delegation_ended", "The delegations of this agent have expired or were revoked. Ask for it."),
]
OF_THE_SETUP = [
    (401, "attestation_invalid"),
    (401, "attestation_required"),
    (403, "selectors_mismatch"),
    (404, "client_not_found"),
    (400, "invalid_target"),
]


@both_kinds
@pytest.mark.parametrize(("status", "reason", "sentence"), DECISIONS)
def test_the_model_is_told_of_a_decision(
    kind: str, status: int, reason: str, sentence: str, client: AuthSecClient, authority: Any
) -> None:
    authority.next_answers = [refused(status, reason, "Ask for it.")]
    fetch = telling(client, kind)
    said = fetch()
    assert said.startswith(sentence)
    assert "Retrying will not help." in said
    assert fetch() == {"called": True}  # decided anew at each call


@both_kinds
@pytest.mark.parametrize(("status", "reason"), OF_THE_SETUP)
def test_what_only_its_runner_can_mend_goes_to_the_log_and_in_short_to_the_model(
    kind: str, status: int, reason: str, client: AuthSecClient, authority: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A model is of no help with a file that is not there, and is told neither its path nor the settings."""
    authority.next_answers = [refused(status, reason, "Ask for it.")]
    said = telling(client, kind)()
    assert said == (
        f"This agent is not set up as its authority expects ({reason}, request req-7). The agent's log tells its "
        "operator what to do. Retrying will not help."
    )
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    authority.next_answers = [refused(status, reason, "Ask for it.")]
    with pytest.raises(AuthSecError) as raised:
        client.get_token()
    assert warning == f"a tool gets no token ({reason}): {raised.value}"


def test_an_api_that_has_to_be_named_is_told_with_the_argument(
    client: AuthSecClient, authority: Any, caplog: pytest.LogCaptureFixture
) -> None:
    authority.next_answers = [refused(400, "invalid_target", "Request one of these resources: crm, tickets.")]
    telling(client, "sync")()
    assert "by resource=… of delegated, get_token," in caplog.text
    assert "resources: crm, tickets." in caplog.text


@both_kinds
def test_the_model_is_told_what_would_do(kind: str, client: AuthSecClient, authority: Any) -> None:
    page = "https://authsec.example.com/console/grant?agent=a"
    denial = refused(403, "action_not_allowed", "")
    denial.body.update(allowed_scope="customers:list", grant_at=page)
    authority.next_answers = [denial]
    said = telling(client, kind)()
    assert said.endswith(f"The delegation allows customers:list. The person you work for can grant it at {page}.")


@both_kinds
@pytest.mark.parametrize(("status", "reason"), [(503, "unavailable"), (429, "rate_limited"), (421, "host_not_allowed")])
def test_what_is_no_decision_is_raised(
    kind: str, status: int, reason: str, client: AuthSecClient, authority: Any
) -> None:
    """An outage, which the run's own retries are for, or a setting that is wrong, looks like no denial to anybody."""
    authority.next_answers = [refused(status, reason)] * 3
    with pytest.raises(AuthSecError) as caught:
        telling(client, kind)()
    assert caught.value.reason == reason


def test_an_authority_that_is_not_there_is_raised(client: AuthSecClient, authority: Any) -> None:
    authority.close()
    with pytest.raises(AuthSecError, match=r"Nothing accepts connections at .* First check AUTHSEC_BASE_URL"):
        telling(client, "sync")()


def test_the_model_is_told_of_a_decision_inside_the_tool_and_of_nothing_else(client: AuthSecClient) -> None:
    @client.delegated(on_denied="tell_model")
    def fetch(error: Exception, *, delegation_token: str) -> None:
        raise error

    said = fetch(DelegationDenied("Not that either.", reason="action_not_allowed"))
    assert said == "Not that either."
    for theirs in (PermissionError("403"), ConfigError("Not set up.", reason="not_set_up")):
        with pytest.raises(type(theirs)):
            fetch(theirs)


class Request:
    """As HTTP clients keep one: it shows no header."""

    def __init__(self, sent: str) -> None:
        self.headers = {"Authorization": sent}


class Refused(Exception):
    """As HTTP clients raise them."""

    def __init__(self, status: int, sent: str | None, **challenge: str) -> None:
        super().__init__("http://crm.example.com/customers?key=s3cret")
        named = ", ".join(f'{name}="{value}"' for name, value in challenge.items())
        headers = {"WWW-Authenticate": f"Bearer {named}"}
        request = None if sent is None else Request(sent)
        self.response = SimpleNamespace(status_code=status, headers=headers, request=request)


def failing(client: AuthSecClient, kind: str, outcome: Callable[[str], Any], **settings: Any) -> Callable[[], Any]:
    """A tool that raises, or returns, what its HTTP client gives it; `kind` as in `telling`."""

    def got(token: str) -> Any:
        failure = outcome(token)
        if isinstance(failure, Exception):
            raise failure
        return failure

    @client.delegated(**settings)
    def fetch(*, delegation_token: str) -> Any:
        return got(delegation_token)

    @client.delegated(**settings)
    async def fetch_async(*, delegation_token: str) -> Any:
        return got(delegation_token)

    call: Callable[[], Any] = fetch if kind == "sync" else lambda: asyncio.run(fetch_async())
    return call


REFUSALS: dict[str, Callable[[str], Any]] = {
    "raised": lambda token: Refused(401, f"Bearer {token}"),
    "raised without its request": lambda _: Refused(401, None),
    "returned": lambda token: Refused(401, f"Bearer {token}").response,
}


@both_kinds
@pytest.mark.parametrize("on_denied", ["raise", "tell_model"])
@pytest.mark.parametrize("way", REFUSALS)
def test_a_token_that_an_api_refuses_is_replaced(
    way: str, on_denied: str, kind: str, client: AuthSecClient, authority: Any
) -> None:
    fetch = failing(client, kind, REFUSALS[way], on_denied=on_denied)
    first = client.get_token().value
    if on_denied == "raise" and way != "returned":
        with pytest.raises(Refused):
            fetch()
    else:
        fetch()
    assert client.get_token().value != first
    assert len(authority.tokens) == 2


@both_kinds
@pytest.mark.parametrize(
    "outcome",
    [
        lambda token: Refused(403, f"Bearer {token}"),
        lambda token: Refused(503, f"Bearer {token}"),
        lambda _: Refused(401, "Bearer of-another-service"),
        lambda _: Refused(401, "Basic eA=="),
        lambda _: LookupError("no customer"),
        lambda _: SimpleNamespace(status_code=200),
    ],
)
def test_no_other_answer_costs_a_token(
    outcome: Callable[[str], Any], kind: str, client: AuthSecClient, authority: Any
) -> None:
    fetch = failing(client, kind, outcome)
    for _ in range(2):
        with contextlib.suppress(Refused, LookupError):  # whatever it raises: what is counted are tokens
            fetch()
    assert len(authority.tokens) == 1


@both_kinds
def test_a_token_that_the_tool_took_by_itself_is_replaced_too(kind: str, client: AuthSecClient, authority: Any) -> None:
    def outcome(_: str) -> Exception:
        return Refused(401, f"Bearer {client.get_token('customers:delete').value}")

    fetch = failing(client, kind, outcome, on_denied="tell_model")
    for _ in range(2):
        assert fetch().startswith("The API answered 401")
    assert len(authority.tokens) == 3  # one for the call, and another for each that was refused


@both_kinds
def test_the_model_is_told_of_an_apis_denial(kind: str, client: AuthSecClient) -> None:
    page = "https://authsec.example.com/console/delegations/new?client=a&actions=customers%3Adelete"

    def outcome(token: str) -> Exception:
        return Refused(
            403, f"Bearer {token}", error="insufficient_scope", error_description=f"Not {token}.",
            scope="customers:delete", error_uri=page,
        )  # fmt: skip

    assert failing(client, kind, outcome, on_denied="tell_model")() == (
        "The API answered 403 (insufficient_scope). Not [removed]. The call needs the action customers:delete. The "
        f"person you work for can grant it at {page}."
    )
    revoked = failing(client, kind, lambda _: Refused(401, None, error="invalid_token"), on_denied="tell_model")
    assert revoked() == "The API answered 401 (invalid_token). The next call will use a new token."


@both_kinds
@pytest.mark.parametrize("reason", ["issuer_mismatch", "audience_mismatch", "binding_not_supported"])
def test_no_new_token_is_promised_where_it_would_be_refused_too(reason: str, kind: str, client: AuthSecClient) -> None:
    refused = failing(
        client, kind, lambda _: Refused(401, None, error="invalid_token", reason=reason), on_denied="tell_model"
    )
    assert refused() == (
        "The API answered 401 (invalid_token). A new token will not help: the operator of the agent or of the API "
        "must change the settings."
    )


@both_kinds
@pytest.mark.parametrize(
    "failure", [Refused(404, None), Refused(401, "Bearer of-another-service"), Refused(403, "Basic eA==")]
)
def test_what_is_no_denial_of_a_token_of_ours_is_raised(failure: Refused, kind: str, client: AuthSecClient) -> None:
    with pytest.raises(Refused) as caught:
        failing(client, kind, lambda _: failure, on_denied="tell_model")()
    assert caught.value is failure


def raised_in_a_group(error: Exception) -> Exception:
    """As `asyncio.TaskGroup` has it."""
    return ExceptionGroup("unhandled errors in a TaskGroup", [ExceptionGroup("inner", [error]), error])


def raised_from(error: Exception) -> Exception:
    outer = RuntimeError("the CRM did not answer")
    outer.__cause__ = error
    return raised_in_a_group(outer)


def raised_while_handling(error: Exception) -> Exception:
    outer = RuntimeError("no customer")
    outer.__context__ = error
    return outer


def raised_beside(error: Exception) -> Exception:
    return ExceptionGroup("two", [error, ValueError("a bug")])


@both_kinds
@pytest.mark.parametrize("wrapped", [raised_in_a_group, raised_from])
def test_denials_are_found_in_groups_and_causes(
    wrapped: Callable[[Exception], Exception], kind: str, client: AuthSecClient, authority: Any
) -> None:
    fetch = failing(client, kind, lambda token: wrapped(Refused(401, f"Bearer {token}")), on_denied="tell_model")
    assert fetch() == fetch() == "The API answered 401 (Unauthorized). The next call will use a new token."
    assert len(authority.tokens) == 2, "the one that was refused is forgotten"

    denied = DelegationDenied("What was delegated has ended.", reason="delegation_ended")
    assert failing(client, kind, lambda _: wrapped(denied), on_denied="tell_model")() == "What was delegated has ended."


@both_kinds
@pytest.mark.parametrize("wrapped", [raised_while_handling, raised_beside])
def test_another_failure_beside_a_denial_is_raised(
    wrapped: Callable[[Exception], Exception], kind: str, client: AuthSecClient, authority: Any
) -> None:
    for on_denied in ("tell_model", "raise"):
        fetch = failing(client, kind, lambda token: wrapped(Refused(401, f"Bearer {token}")), on_denied=on_denied)
        with pytest.raises((RuntimeError, ExceptionGroup), match=r"no customer|two"):
            fetch()
    client.get_token()
    assert len(authority.tokens) == 3, "each that was refused is forgotten"


@both_kinds
def test_a_function_of_ones_own_shapes_the_answer(kind: str, client: AuthSecClient) -> None:
    def shaped(on_denied: Callable[[str], Any]) -> Callable[[], Any]:
        return failing(client, kind, lambda token: Refused(403, f"Bearer {token}"), on_denied=on_denied)

    assert shaped(lambda text: {"error": text})() == {"error": "The API answered 403 (Forbidden)."}
    with pytest.raises(LookupError, match="The API answered 403"):
        shaped(LookupError)()


def mcp_server(client: AuthSecClient, kind: str) -> MCPServer:
    server = MCPServer("crm")
    decorated = client.delegated(on_denied="tell_model")

    @decorated
    def fetch(customer_id: str, *, delegation_token: str) -> dict[str, str]:
        """Fetch a customer."""
        return {"id": customer_id}

    @decorated
    async def fetch_async(customer_id: str, *, delegation_token: str) -> dict[str, str]:
        return {"id": customer_id}

    server.tool(name="fetch")(fetch if kind == "sync" else fetch_async)
    return server


@both_kinds
def test_an_mcp_server_answers_a_denial_as_an_error(kind: str, client: AuthSecClient, authority: Any) -> None:
    """Its tools have an output schema, made of the annotation; the sentence is in no way an output."""

    async def call() -> Any:
        async with Client(mcp_server(client, kind)) as caller:
            (shown,) = (await caller.list_tools()).tools
            assert list(shown.input_schema["properties"]) == ["customer_id"]
            assert shown.output_schema["additionalProperties"] == {"type": "string"}
            return await caller.call_tool("fetch", {"customer_id": "42"})

    authority.next_answers = [refused(410, "delegation_ended")]
    denied, given = asyncio.run(call()), asyncio.run(call())
    assert denied.is_error
    assert "The delegations of this agent have expired" in denied.content[0].text
    assert not given.is_error
    assert given.structured_content == {"id": "42"}


@both_kinds
@pytest.mark.parametrize("response_format", ["content", "content_and_artifact"])
def test_a_langchain_tool_is_given_the_pair_that_it_wants(
    response_format: Any, kind: str, client: AuthSecClient, authority: Any
) -> None:
    @client.delegated(on_denied="tell_model")
    def fetch(customer_id: str, *, delegation_token: str) -> Any:
        """Fetch a customer."""

    @client.delegated(on_denied="tell_model")
    async def fetch_async(customer_id: str, *, delegation_token: str) -> Any:
        """Fetch a customer."""

    authority.next_answers = [refused(410, "delegation_ended")]
    call = {"name": "fetch", "args": {"customer_id": "42"}, "id": "1", "type": "tool_call"}
    if kind == "sync":
        message = langchain_tool(fetch, response_format=response_format).invoke(call)
    else:
        message = asyncio.run(langchain_tool(fetch_async, response_format=response_format).ainvoke(call))
    assert message.content.startswith("The delegations of this agent have expired")


def test_wrappers_of_a_bound_method_do_not_gain_self(client: AuthSecClient) -> None:
    class Crm:
        @client.delegated
        def fetch(self, customer_id: str, limit: int = 3, *, delegation_token: str) -> str:
            assert delegation_token
            return f"{customer_id} {limit}"

    method = Crm().fetch

    @functools.wraps(method)
    def traced(*args: Any, **kwargs: Any) -> str:
        return method(*args, **kwargs)

    del traced.__wrapped__  # frameworks look only at what the function says of itself
    assert "__signature__" not in vars(traced)
    assert list(inspect.signature(method).parameters) == ["customer_id", "limit"]
    assert traced("42", limit=5) == "42 5"


def test_the_source_of_a_tool_is_that_of_its_function(client: AuthSecClient) -> None:
    @client.delegated
    def fetch(customer_id: str, *, delegation_token: str) -> str:
        raise LookupError("this line is in the traceback")

    assert "this line is in the traceback" in inspect.getsource(fetch)


def test_a_token_that_a_model_makes_up_reaches_no_function(client: AuthSecClient, authority: Any) -> None:
    @client.delegated
    def fetch(customer_id: str, *, delegation_token: str, **more: str) -> str:
        raise AssertionError("called with a token that somebody made up")

    with pytest.raises(TypeError, match="got an unexpected keyword argument 'delegation_token'"):
        fetch("42", delegation_token="made up")
    assert authority.seen == []


def test_another_way_to_be_denied_is_refused_at_decoration(client: AuthSecClient) -> None:
    with pytest.raises(ConfigError, match="'raise', 'tell_model' or a function"):
        client.delegated(on_denied="ignore")  # type: ignore[call-overload] - that is the point


def test_copies_of_a_decorator_work_and_carry_no_token(client: AuthSecClient, authority: Any) -> None:
    """Frameworks copy what they were given: ag2 its hooks, LangGraph its state."""
    decorator = client.delegated(on_denied="tell_model")
    fetch = decorator(which_token)
    assert fetch() == marks(authority)[0]
    assert copy.deepcopy(fetch) is fetch
    pickled = pickle.dumps(decorator)
    assert authority.tokens[0].encode() not in pickled
    assert copy.deepcopy(decorator)(which_token)() == marks(authority)[1]
    assert pickle.loads(pickled)(which_token)() == marks(authority)[2]  # noqa: S301 - our own


def which_token(*, delegation_token: str) -> str:
    return mark(delegation_token)
