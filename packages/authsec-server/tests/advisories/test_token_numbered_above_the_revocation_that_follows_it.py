"""Raw SQL turns the order of the numbers round: a token gets a higher number than the revocation that follows it.

Before the token is issued, raw SQL raises the authority's version and sets the sequence of event numbers ahead. Before
somebody revokes the agent's tokens, both are set back: the revocation gets a lower number than the token, and the same
version. So it does not end the token, and the numbers say that the token was issued afterwards. Afterwards the sequence
is put behind the token: no event was inserted, changed or dropped, and no row differs from what servers write.

Meanwhile nothing is sealed, for some seconds: raw SQL keeps the lock for sealing, or changes the last checkpoint and
restores it. The server that revokes has not seen the version before, as one that was started again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from authsec_server.db import open_database
from sealed_estate import Sealed, sealed_estate
from sqlalchemy import text

sys.path.insert(0, str(Path(__file__).parent))
from test_version_set_back_before_a_revocation import JTI, disable, execute, is_live, issue

AHEAD = {"postgresql": 1000, "sqlite": 2**32 + 1000}  # on SQLite, more than the last number that it would go on from
SET = {
    "postgresql": "SELECT setval('events_id_seq', {})",
    "sqlite": "UPDATE sqlite_sequence SET seq = {} WHERE name = 'events'",
}
SET_SO_THAT_THE_NEXT_IS_LOW = {"postgresql": lambda last: last, "sqlite": lambda _: 2**52 - 1}


@pytest.fixture
def other(estate: Any, database_url: str) -> Iterator[Any]:
    """The same estate at another server, which has seen no version yet."""
    database = open_database(database_url)
    yield replace(estate, database=database)
    database.close()


def numbers(estate: Any) -> list[int]:
    statement = text("SELECT id FROM events ORDER BY id")
    return list(estate.database.read(lambda tx: tx.connection.execute(statement).scalars().all()))


def test_a_revocation_with_a_lower_number_than_the_live_token_before_it_is_found(estate: Any, other: Any) -> None:
    sealed: Sealed = sealed_estate(estate)
    dialect = estate.database.dialect
    last = numbers(estate)[-1]
    execute(estate, "UPDATE authority SET version = version + 1")
    execute(estate, SET[dialect].format(last + AHEAD[dialect]))
    issue(estate, JTI)  # honest: an agent asks for a token
    execute(estate, "UPDATE authority SET version = version - 1")
    execute(estate, SET[dialect].format(SET_SO_THAT_THE_NEXT_IS_LOW[dialect](last)))
    disable(other)  # honest: an operator disables the agent, and is told that its tokens are revoked
    execute(estate, SET[dialect].format(last + AHEAD[dialect] + 1))
    sealed.seal()
    given = numbers(estate)
    assert given[-2:] == [last + 1, last + AHEAD[dialect] + 1], "the attack does not work any more"
    assert is_live(other), "the attack does not work any more"
    assert sealed.findings() != ()
