"""A superuser gives another schema AuthSec's name, in the table of schemas alone: the index still has the old name.

Statements find the genuine schema by the index. `verify` looks for the partitions of `events` by the name of the schema
in the table. So it reads partitions of the other schema: a copy from before a change. Readers read the changed events.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from audit_answers import SealedLog
from copied_log import AMCHECK, assert_changes_are_found, copied_log, execute, verified

pytestmark = pytest.mark.asks_readers

PLANT = (
    "CREATE SCHEMA evil",
    "CREATE SCHEMA spare",
    "GRANT USAGE ON SCHEMA evil, spare TO PUBLIC",
    "CREATE TABLE spare.events (LIKE public.events) PARTITION BY RANGE (at)",
    "CREATE TABLE evil.kept PARTITION OF spare.events DEFAULT",
    "INSERT INTO evil.kept SELECT * FROM public.events",
    "GRANT SELECT ON evil.kept, spare.events TO PUBLIC",
    "UPDATE pg_class SET relhasindex = false WHERE oid = 'pg_namespace'::regclass",
    "UPDATE pg_namespace SET nspname = 'public' WHERE nspname = 'spare'",
    "UPDATE pg_class SET relhasindex = true WHERE oid = 'pg_namespace'::regclass",
)
CHANGE = (
    "UPDATE public.events SET address = '203.0.113.99' WHERE id = 4",
    "DELETE FROM public.events WHERE id = 5",
)


@pytest.fixture
def copied(postgres_url: str) -> Iterator[tuple[str, SealedLog]]:
    """A sealed log in a database of its own, which the test may spoil."""
    with copied_log(postgres_url) as its:
        yield its


@pytest.mark.soak
def test_a_copy_in_a_schema_of_the_same_name_is_not_read_instead(copied: tuple[str, SealedLog], tmp_path: Path) -> None:
    url, log = copied
    execute(url, *AMCHECK)
    assert verified(url, log, tmp_path)[0] == 0
    assert_changes_are_found(url, log, tmp_path, lambda: execute(url, *PLANT, *CHANGE))
