"""A superuser has PostgreSQL call a function of others for each long value: where it looks for the parts of the value.

PostgreSQL keeps the parts of a long value (TOAST) in a table of the schema `pg_toast`, and finds them by an index. No
check reads the operator classes of that index. Its function runs in each session that reads a long value: in servers it
leads the further statements of the transaction to other tables, and in `verify` (its timeout is an hour) it does not.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from audit_answers import LATER, SealedLog, issued
from authsec_server.audit import service as audit
from authsec_server.db import Database
from copied_log import AMCHECK, assert_refused, copied_log, execute, verified

REBUILT = ("VACUUM FULL events_default", "REINDEX TABLE CONCURRENTLY events_default")  # as an operator may do
PLANT = (
    "CREATE SCHEMA evil",
    "GRANT USAGE ON SCHEMA evil TO PUBLIC",
    "CREATE VIEW evil.events AS SELECT * FROM public.events WHERE id <> 5",
    "CREATE VIEW evil.sealed_events AS SELECT * FROM public.sealed_events WHERE event_id <> 5",
    "GRANT SELECT ON evil.events, evil.sealed_events TO PUBLIC",
    "CREATE FUNCTION evil.cmp(a oid, b oid) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN"
    " IF pg_catalog.current_setting('statement_timeout') <> '1h' THEN"
    " PERFORM pg_catalog.set_config('search_path', 'evil, public, pg_temp', true); END IF;"
    " RETURN pg_catalog.btoidcmp(a, b); END $$",
    "CREATE OPERATOR CLASS evil.oids FOR TYPE oid USING gist AS FUNCTION 1 evil.cmp(oid, oid)",
    "UPDATE pg_index SET indclass"
    " = ((SELECT oid FROM pg_opclass WHERE opcname = 'oids') || ' ' || indclass[1])::oidvector"
    " WHERE indrelid IN (SELECT reltoastrelid FROM pg_class WHERE relname ~ '^events_' AND reltoastrelid <> 0)",
)


@pytest.fixture
def copied(postgres_url: str) -> Iterator[tuple[str, SealedLog]]:
    """A sealed log and an event with a long value, in a database of its own, which the test may spoil."""
    long = replace(
        issued(30, at=LATER),
        request_id="req_00000000000000000000long",
        detail={"actions": [secrets.token_hex(20) for _ in range(400)], "audience": ["https://api"]},
    )

    def prepare(database: Database) -> None:
        database.append(partial(audit.record, event=long))

    with copied_log(postgres_url, prepare) as its:
        yield its


@pytest.mark.soak  # test_partition_key_compared_by_others.py has such a class
def test_an_index_of_long_values_that_calls_others_is_found(copied: tuple[str, SealedLog], tmp_path: Path) -> None:
    url, log = copied
    execute(url, *AMCHECK, *REBUILT)
    assert verified(url, log, tmp_path)[0] == 0
    execute(url, *PLANT)
    assert_refused(url, log, tmp_path, "finds parts of long values by foreign operator classes.")
