"""Somebody adds 1,500 views of four kilobytes to the SQLite file, whose comments consist of brackets.

A server compares the schema in its write transaction, each time the schema has changed and after five seconds at most.
It removed white space beside brackets from each definition, which takes milliseconds for each of these views, and it
remembered five hundred of them only. The comparison took longer than five seconds, so each transaction began with
another one.
Each write failed after seven seconds: no token was issued, and nothing was sealed or revoked.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest
from audit_answers import LATER, fill, issued
from authsec_server.audit import service as audit
from authsec_server.db import Database
from authsec_server.db.catalog import normalised

VIEW = f"CREATE VIEW other_{{number}} AS SELECT /*{'(' * 3900}*/ 1"
MANY = 1200  # more than the definitions that a server remembers


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_views_of_others_are_not_normalised_while_a_write_waits(database: Database, database_url: str) -> None:
    fill(database)
    with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for number in range(MANY):
            connection.execute(VIEW.format(number=number))
        connection.execute("COMMIT")
    event = replace(issued(70, at=LATER + timedelta(minutes=11)), delegations=())
    before = normalised.cache_info().misses
    database.append(lambda tx: audit.record(tx, event))
    assert normalised.cache_info().misses - before < MANY
