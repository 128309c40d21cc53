"""Event numbers on PostgreSQL, and the partitions of earlier months."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from audit_answers import NOW, issued
from authsec_server.audit import service as audit
from authsec_server.audit.partitions import prepare_months
from authsec_server.db import Database

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def test_no_event_waits_for_the_partition_of_an_earlier_month(database: Database, database_url: str) -> None:
    database.append(lambda tx: prepare_months(tx.connection, NOW - timedelta(days=100)))
    with psycopg.connect(database_url.replace("+psycopg", "")) as other:
        other.execute("LOCK TABLE events_2026_08 IN ACCESS EXCLUSIVE MODE")
        event = replace(issued(1), delegations=())
        assert database.record(lambda tx: audit.record(tx, event))
