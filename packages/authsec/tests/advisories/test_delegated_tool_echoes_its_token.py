"""A tool that gives its own token away.

The API behind a tool echoes the request's headers, as debug endpoints and error pages do, and the tool returns that; or
its HTTP library quotes the request in an exception. Frameworks put both into the conversation: the token would go to
the model's provider and into its logs, and from there the model can be made to say it to anybody.
"""

from __future__ import annotations

import asyncio
import base64
import collections
import dataclasses
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pydantic
import pytest
from authsec import AuthSecClient, DelegationDenied, ToolError

REMOVED = "[delegation token removed]"


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    status: int
    sent: dict[str, str] = dataclasses.field(repr=False)


class Customer(pydantic.BaseModel):
    name: str
    raw: dict[str, Any] = pydantic.Field(repr=False)


class Response:
    """As HTTP libraries keep one: it shows nothing, and has the request."""

    __slots__ = "__request"

    def __init__(self, token: str) -> None:
        self.__request = {"Authorization": f"Bearer {token}"}


class Unwilling(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


RETURNED: dict[str, Callable[[str], Any]] = {
    "text": lambda token: f"Authorization: Bearer {token}",
    "bytes": lambda token: [token.encode(), bytearray(token.encode()), memoryview(token.encode())],
    "containers": lambda token: {"all": [(1, {token}), collections.deque([token]), {token: 1}.keys()], token: None},
    "a dataclass": lambda token: Answer(200, {"Authorization": token}),
    "a model": lambda token: Customer(name="Ada", raw={"sent": token}),
    "an object": Response,
    "basic authentication": lambda token: {
        "Authorization": f"Basic {base64.b64encode(f'x:{token}'.encode()).decode()}"
    },
    "an iterator": lambda token: {"rows": iter([{"sent": token}])},
}
RAISED: dict[str, Callable[[str], Exception]] = {
    "its text": lambda token: LookupError(f"no customer; sent {token}"),
    "its arguments": lambda token: Unwilling({"headers": [token]}),
    "a note": lambda token: noted(LookupError("no customer"), token),
    "a cause": lambda token: caused(LookupError("no customer"), OSError(5, "odd", f"/tmp/{token}")),
    "a group": lambda token: ExceptionGroup("odd", [ValueError(token)]),
}


def noted(error: Exception, note: str) -> Exception:
    error.add_note(note)
    return error


def caused(error: Exception, by: Exception) -> Exception:
    error.__cause__ = by
    return error


def sync(client: AuthSecClient, outcome: Callable[[str], Any]) -> Any:
    @client.delegated(on_denied="tell_model")
    def fetch(*, delegation_token: str) -> Any:
        return given(outcome, delegation_token)

    return fetch()


def awaited(client: AuthSecClient, outcome: Callable[[str], Any]) -> Any:
    @client.delegated(on_denied="tell_model")
    async def fetch(*, delegation_token: str) -> Any:
        return given(outcome, delegation_token)

    return asyncio.run(fetch())


def awaitable(client: AuthSecClient, outcome: Callable[[str], Any]) -> Any:
    """A plain function whose result is to be awaited, which frameworks do."""

    async def later(token: str) -> Any:
        return given(outcome, token)

    @client.delegated(on_denied="tell_model")
    def fetch(*, delegation_token: str) -> Any:
        return later(delegation_token)

    return asyncio.run(fetch())


def given(outcome: Callable[[str], Any], token: str) -> Any:
    try:
        raise KeyError(token)  # so that whatever is raised has it for a context
    except KeyError:
        got = outcome(str(token))
        if isinstance(got, Exception):
            raise got  # noqa: B904 - its context is the point
        return got


def everything(value: Any) -> Iterator[str]:
    """Its texts, and those of what it has, as a debugger or a checkpoint finds them."""
    yield f"{value!r} {value}"
    if isinstance(value, dict):
        for one in value.values():
            yield from everything([*one] if isinstance(one, Iterator) else one)
    if isinstance(value, bytes):
        yield value.decode()
    if isinstance(value, Answer | Customer):
        yield from everything(dataclasses.asdict(value) if isinstance(value, Answer) else value.model_dump())
    if isinstance(value, BaseException):
        yield from (*traceback.format_exception(value), repr(vars(value)))
        for one in (value.__cause__, value.__context__):
            yield from everything(one) if one else ()


every_kind = pytest.mark.parametrize("kind", [sync, awaited, awaitable])


@every_kind
@pytest.mark.parametrize("way", RETURNED)
def test_what_it_returns_holds_no_token(kind: Any, way: str, client: AuthSecClient, authority: Any) -> None:
    got = kind(client, RETURNED[way])
    (token,) = authority.tokens
    texts = [*everything(got)]
    assert not any(part in text for part in token.split(".")[1:] for text in texts)
    if way == "an object":
        assert isinstance(got, str)
    else:
        assert any(REMOVED in text for text in texts)
    if way in {"a dataclass", "a model"}:
        assert type(got) is type(RETURNED[way](token))


@every_kind
def test_what_it_says_of_a_denial_holds_no_token(kind: Any, client: AuthSecClient, authority: Any) -> None:
    got = kind(client, lambda token: DelegationDenied(f"no {token}", reason="action_not_allowed"))
    assert got == f"no {REMOVED}"


@every_kind
@pytest.mark.parametrize("way", RAISED)
def test_what_it_raises_holds_no_token(kind: Any, way: str, client: AuthSecClient, authority: Any) -> None:
    with pytest.raises(ToolError) as caught:
        kind(client, RAISED[way])
    (token,) = authority.tokens
    assert not any(part in text for part in token.split(".")[1:] for text in everything(caught.value))
    assert str(caught.value).startswith(f"{type(RAISED[way](token)).__name__}: ")
    assert caught.value.__cause__ is caught.value.__context__ is None
