"""A superuser appends NUL and a letter to a text in PostgreSQL: it is shown without them, and compared with them.

A cast from `bytea` to `text` without a function lets NUL in, and is dropped afterwards. `COPY` and queries show the
text up to the NUL, so the row has the hash of its seal. A search compares the whole text, so it finds nothing.
"""

from __future__ import annotations

import pytest
from audit_answers import LATER, answers, fill
from authsec_server.audit import service as audit
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, Tx

END = r"('\x0061'::bytea::text)"
WAYS = {
    "the keys of tokens": f"UPDATE events SET kid = kid || {END}",  # a dry run of a revocation finds no token
    "the id of a token": f"UPDATE events SET jti = jti || {END} WHERE id = 8",
    "the slug of an agent": f"UPDATE clients SET slug = slug || {END}",
    "used actions": f"UPDATE daily_uses SET action = action || {END}, subject_id = subject_id || {END}",
    "revocations": f"UPDATE revocations SET subject_id = subject_id || {END}",
}


class _Undone(Exception):
    pass


@pytest.mark.parametrize("share", [5, pytest.param(1, marks=pytest.mark.soak)])
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_text_that_is_shown_without_its_end_is_found(database: Database, share: int) -> None:
    """All in one transaction: each change is undone before the next one. In short runs, one of the changes."""
    log = fill(database)
    ways, changed = [*WAYS][::share], dict[str, list[str]]()
    findings: dict[str, tuple[str, ...]] = {}

    def attempt(tx: Tx) -> None:
        said = answers(tx, log.covered) | {"token 6": ["00000000000000000000000000000006"]}
        assert verify(tx, log.keys, [log.checkpoint], now=LATER).findings == ()
        for way in ways:
            savepoint = tx.connection.begin_nested()
            for each in ("CREATE CAST (bytea AS text) WITHOUT FUNCTION", WAYS[way], "DROP CAST (bytea AS text)"):
                tx.connection.exec_driver_sql(each)
            found = answers(tx, log.covered) | {"token 6": _found(tx)}
            changed[way] = [name for name in said if found[name] != said[name]]
            findings[way] = verify(tx, log.keys, [log.checkpoint], now=LATER).findings
            savepoint.rollback()
        raise _Undone

    with pytest.raises(_Undone):
        database.append(attempt)
    assert [way for way in ways if not changed[way]] == []
    assert [way for way in ways if not findings[way]] == [], f"other answers, and nothing is found: {changed}"


def _found(tx: Tx) -> list[str]:
    """The token as the history of a token finds it."""
    found = audit.token_issued(tx, "00000000000000000000000000000006")
    return [found.event.jti] if found else []
