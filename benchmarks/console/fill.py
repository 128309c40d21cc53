"""Fills a database like that of a company with many agents, for measuring how fast the console's pages are.

    uv run --no-sync python benchmarks/console/fill.py sqlite:////tmp/authsec.sqlite3
    uv run --no-sync python benchmarks/console/fill.py postgresql+psycopg://user@host/empty_database

10,000 agents of 200 owners, as many trust delegations, 50 roles, 30 APIs, 7 administrators and 1,000,000 events of 60
days, unless asked otherwise; the same each time. A few agents are very busy, most are quiet, some were never used; the
busiest has 40 trust delegations.
"""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any

from authsec_server.accounts.model.administrators import Administrator
from authsec_server.accounts.store import add_administrator
from authsec_server.apis.store import add as add_api
from authsec_server.audit import rollup
from authsec_server.audit.event_numbers import next_numbers
from authsec_server.audit.partitions import prepare_months
from authsec_server.audit.store import events, with_mac
from authsec_server.clients.store import add as add_client
from authsec_server.db import Database, Tx, open_database
from authsec_server.delegations.store import add as add_delegation
from authsec_server.roles.store import add as add_role
from company import PEOPLE, Company
from past import Past
from sqlalchemy import insert, text

from benchmarks.event_keys import give_event_key

BATCH = 5000
COUNTED_AT_ONCE = 20_000  # events; a server takes smaller steps, for tokens wait while it does


def fill(database: Database, company: Company, number: int) -> None:
    """Write the company and its audit log, and count what the audit log holds."""
    company.set_up()
    database.append(lambda tx: _write_all(tx, company))
    database.append(lambda tx: prepare_months(tx.connection, company.start, ahead=company.days // 28 + 2))
    audit_log = Past(company=company).rows(number)
    while rows := list(islice(audit_log, BATCH)):
        database.append(partial(_write_rows, rows=rows))
    rollup.BATCH = COUNTED_AT_ONCE
    while not rollup.roll_up(database, company.now):
        pass
    if database.dialect == "postgresql":  # as autovacuum would, a minute later
        database.append(lambda tx: tx.connection.execute(text("ANALYZE")))


def _write_all(tx: Tx, company: Company) -> None:
    for number, each in enumerate(PEOPLE, start=1):
        email = f"admin-{number}@example.com"
        person = Administrator(id=each.id, email=email, name=each.name, role=each.role, created_at=company.start)
        add_administrator(tx.connection, person)
    for api in company.apis:
        add_api(tx.connection, api)
    for role in company.roles:
        add_role(tx.connection, role)
    for client in company.clients:
        add_client(tx.connection, client)
        for delegation in company.delegations[client.id]:
            add_delegation(tx.connection, delegation)


def _write_rows(tx: Tx, rows: list[dict[str, Any]]) -> None:
    numbers = next_numbers(tx.connection, len(rows), rows[0]["at"])
    authentic = [with_mac({**row, "id": number}, tx.event_key) for number, row in zip(numbers, rows, strict=True)]
    tx.connection.execute(insert(events), authentic)


def main() -> None:
    """Fill the database that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", help="SQLAlchemy URL of an empty database")
    parser.add_argument("--agents", type=int, default=10_000)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=60)
    asked = parser.parse_args()
    began = time.monotonic()
    database = open_database(asked.database)
    try:
        database.migrate()
        give_event_key(database, asked.database)
        fill(database, Company(agents=asked.agents, days=asked.days, now=datetime.now(UTC)), asked.events)
    finally:
        database.close()
    print(f"{asked.agents} agents and {asked.events} events in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
