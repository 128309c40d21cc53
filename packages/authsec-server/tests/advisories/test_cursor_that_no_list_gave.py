"""Somebody writes a cursor or an id of their own into an address, with what a database takes ill: a NUL.

It is refused for what it is, on both databases alike. An unexpected error is for the operator to look into, and whoever
can make them at will hides one that matters.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.accounts import admin_keys, administrators
from authsec_server.apis import service as apis
from authsec_server.clients import search as clients
from authsec_server.delegations import search as delegations
from authsec_server.failures import Invalid
from authsec_server.roles import service as roles

pytestmark = pytest.mark.sqlite_suffices

MADE_UP = ["\0", "a\0b", "\ud800", "%", "'", "a" * 5000, "ANN@EXAMPLE.COM", "00000000-0000-4000-8000-000000000000\0"]


@pytest.mark.parametrize("cursor", MADE_UP)
def test_no_list_begins_there(estate: Any, cursor: str) -> None:
    for page in (
        lambda tx, act: roles.page(tx, act, after=cursor),
        lambda tx, act: apis.page(tx, act, after=cursor),
        lambda tx, act: administrators.page(tx, act, after=cursor),
        lambda tx, act: clients.page_of(tx, act, cursor=cursor),
        lambda tx, act: delegations.page(tx, act, estate.terms, after=cursor),
    ):
        with pytest.raises(Invalid) as refused:
            estate.see(page)
        assert refused.value.field == "cursor"


@pytest.mark.parametrize("made_up", MADE_UP)
def test_no_key_is_called_so(estate: Any, made_up: str) -> None:
    assert estate.see(lambda tx, _: admin_keys.by_id(tx, made_up)) is None


@pytest.mark.parametrize("text", ["\0", "a\0b", "%\0"])
def test_nothing_is_found_by_it(estate: Any, text: str) -> None:
    assert estate.see(lambda tx, act: roles.search(tx, act, text)) == []
    assert estate.see(lambda tx, act: apis.search(tx, act, text)) == []
    assert estate.see(lambda tx, act: administrators.search(tx, act, text)) == []
    assert estate.see(lambda tx, act: clients.search(tx, act, text)) == []
    assert estate.see(lambda tx, act: delegations.search(tx, act, text, estate.terms)) == []
