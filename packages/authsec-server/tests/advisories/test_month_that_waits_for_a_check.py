"""A server makes the partition of a coming month while `verify` checks a long audit log. Nobody attacks.

`verify` keeps each table in its place until it ends, which takes minutes. The server asks for the table of events
alone, once a minute, and each server does so. PostgreSQL lets no other statement pass meanwhile. The server waited five
seconds, longer than a token may wait: each token request failed. Any role that may
read the table can have the same effect with an open transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from threading import Event, Thread

import pytest
from audit_answers import LATER, SealedLog, fill, issued
from authsec_server.audit import service as audit
from authsec_server.audit.sealing.verifying import verify
from authsec_server.db import Database, Tx
from authsec_server.failures import Unavailable


@contextmanager
def checking(database: Database, log: SealedLog) -> Iterator[None]:
    """Within this context, `verify` runs."""
    begun, ending = Event(), Event()

    def work(tx: Tx) -> None:
        verify(tx, log.keys, [log.checkpoint], now=LATER)
        begun.set()
        ending.wait(20)

    thread = Thread(target=database.check, args=(work,))
    thread.start()
    begun.wait(20)
    try:
        yield
    finally:
        ending.set()
        thread.join()


def prepare(database: Database) -> None:
    with suppress(Unavailable):  # it is tried again a minute later
        database.append(lambda tx: audit.prepare_months(tx, LATER))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_token_is_issued_while_a_month_waits_for_a_check(database: Database) -> None:
    log, event = fill(database), replace(issued(70, at=LATER + timedelta(minutes=11)), delegations=())
    with checking(database, log):
        thread = Thread(target=prepare, args=(database,))
        thread.start()
        Event().wait(0.5)  # until the server waits for the lock
        try:
            assert database.record(lambda tx: audit.record(tx, event))
        finally:
            thread.join()
