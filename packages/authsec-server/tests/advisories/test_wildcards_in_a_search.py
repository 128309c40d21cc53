"""Somebody types `%` where a name is looked for, finds every client, and "all that were found" are disabled; or an
agent is called `_`, and whoever looks for it cannot tell it from the others.
"""

from __future__ import annotations

import pytest
from authsec_server.clients import search, service
from authsec_server.clients.model import Onboarding
from authsec_server.clients.search import ClientFilters
from authsec_server.db import Database
from authsec_server.principal import Act
from long_runs import some_of

NAMES = ["plain", "100%", "snake_case", "back\\slash", "sl/ash", "[a-z]", "star*", "it's", 'quo"te']


@pytest.mark.parametrize("typed", some_of(["%", "_", "\\", "/", "%%", "[", "*", "'", '"', "' OR 1=1 --"]))
def test_what_is_typed_is_looked_for_as_it_stands(database: Database, act: Act, typed: str) -> None:
    for number, name in enumerate(NAMES):
        wanted = Onboarding(name=name, slug=f"s{number}", owner=name, labels={"n": name}, platform="unattested")
        database.change(lambda tx, wanted=wanted: service.create(tx, act, wanted))
    holding = [name for name in sorted(NAMES) if typed in name]
    exactly = [name for name in NAMES if typed == name]
    for filters, names in [
        (ClientFilters(text=typed), holding),
        (ClientFilters(owner=typed), exactly),
        (ClientFilters(label=f"n={typed}"), exactly),
        (ClientFilters(label=typed), []),
    ]:
        found, _ = database.read(lambda tx, filters=filters: search.page_of(tx, act, filters))
        assert [client.name for client in found] == names
        assert database.read(lambda tx, filters=filters: search.count(tx, act, filters)).number == len(names)
    assert [client.name for client in database.read(lambda tx: search.search(tx, act, typed))] == holding
