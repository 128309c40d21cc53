"""A tool fails while it holds its token, and the token is in what an error tracker or a framework records of that.

They record the locals of every frame and the arguments of the call. The tool's parameter is one of them, and so is what
the decorator has put together. So the text of a token hides itself, wherever it is shown by its repr.
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import logging
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from authsec import AuthSecClient


def fails(client: AuthSecClient) -> None:
    @client.delegated(scope="customers:read")
    def read(customer: str, *, delegation_token: str) -> str:
        raise LookupError(f"no customer {customer}")

    read("c1")


def fails_async(client: AuthSecClient) -> None:
    @client.delegated
    async def read(customer: str, delegation_token: str) -> str:
        headers = {"X-Token": delegation_token}
        raise LookupError(f"no customer {customer}, asked with {headers}")

    asyncio.run(read("c1"))


def fails_itself(client: AuthSecClient) -> None:
    token = client.get_delegation_token()
    raise LookupError(f"no customer, asked with {[token]}")


@pytest.mark.parametrize("failure", [fails, fails_async, fails_itself])
def test_no_traceback_and_no_log_of_it_holds_the_token(
    failure: Callable[[AuthSecClient], None], client: AuthSecClient, authority: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(LookupError) as caught:
        failure(client)
    logging.getLogger("tool").error("it failed: %r", caught.value, exc_info=caught.value)
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True, compact=False)
    everything = "".join(told.format()) + caplog.text
    (token,) = authority.tokens
    assert "hidden" in everything
    assert not any(part in everything for part in token.split(".")[1:])


def test_the_text_is_the_token_all_the_same(client: AuthSecClient, authority: Any) -> None:
    token = client.get_delegation_token()
    (made,) = authority.tokens
    assert (token, f"Bearer {token}", json.dumps([token])) == (made, f"Bearer {made}", json.dumps([made]))
    assert isinstance(token, str)
    assert token.encode() == made.encode()


def test_what_is_decorated_holds_none_between_calls(client: AuthSecClient, authority: Any) -> None:
    """Frameworks copy their tools, and show them."""

    @client.delegated
    def read(*, delegation_token: str) -> int:
        return len(delegation_token)

    assert read() == len(authority.tokens[0])
    outer = inspect.getclosurevars(read)
    inner = inspect.getclosurevars(outer.nonlocals["run"])
    told = repr([read, copy.deepcopy(read), vars(read), outer, inner, inspect.signature(read), read.__doc__])
    told += repr(pickle.dumps(inner.nonlocals["self"].client))
    assert not any(part in told for part in authority.tokens[0].split(".")[1:])
