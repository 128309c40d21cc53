"""A superuser gives the rows of an operator family of its own low oids, as those of PostgreSQL itself have.

One check looks only at rows with high oids, the other only at rows of PostgreSQL's own families. So none sees that
PostgreSQL's own operators are in another family, and the planner leaves out rows.
"""

from __future__ import annotations

from contextlib import closing

import pytest
from audit_answers import LATER, answers, fill
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Tx, open_database

pytestmark = pytest.mark.asks_readers

FAMILY = (
    "CREATE SCHEMA evil",
    "CREATE FUNCTION evil.yes(text, text) RETURNS bool LANGUAGE sql IMMUTABLE AS $$ SELECT true $$",
    "CREATE OPERATOR evil.>>> (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.yes)",
    "CREATE OPERATOR evil.<<< (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.yes)",
    "CREATE OPERATOR CLASS evil.family FOR TYPE text USING btree AS OPERATOR 1 pg_catalog.<>(text, text),"
    " OPERATOR 2 evil.<<<(text, text), OPERATOR 4 evil.>>>(text, text), OPERATOR 5 pg_catalog.=(text, text)",
    "UPDATE pg_amop SET oid = (11000 + amopstrategy)::oid"
    " WHERE amopfamily = (SELECT oid FROM pg_opfamily WHERE opfname = 'family')",
)
COUNT = "SELECT count(*) FROM public.events WHERE kind <> 'a' AND kind = 'token.issued'"


class _Undone(Exception):
    pass


@pytest.mark.soak  # test_system_catalog_changed.py has other tricks
def test_a_family_with_low_oids_is_found(postgres_url: str) -> None:
    with closing(open_database(postgres_url)) as database:
        log = fill(database)
        changed, findings, hidden = list[str](), list[str](), list[int]()

        def attempt(tx: Tx) -> None:
            said = answers(tx, log.covered)
            for statement in FAMILY:
                tx.connection.exec_driver_sql(statement)
            tx.connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # else statistics decide whether it works
            hidden.append(tx.connection.exec_driver_sql(COUNT).scalar_one())
            tx.connection.exec_driver_sql("SET LOCAL enable_seqscan TO DEFAULT")
            found = answers(tx, log.covered)
            changed.extend(name for name in said if found[name] != said[name])
            report = verify(tx, log.keys, [log.checkpoint], now=LATER)
            findings.extend([*report.findings, *report.skipped])
            raise _Undone

        with pytest.raises(_Undone):
            database.append(attempt)
        assert hidden == [0]
        assert findings, f"other answers, and nothing is found: {changed}"
