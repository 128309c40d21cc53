"""Measures what the console asks of the audit log, on a database that `fill.py` has filled.

    uv run --no-sync python benchmarks/console/long_log.py sqlite:////tmp/authsec.sqlite3

Milliseconds of server time, each in a transaction of its own: the fastest, the median and the slowest of many runs.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from authsec_server.audit import counts, live_tokens
from authsec_server.audit import service as audit
from authsec_server.audit.filters import EventFilter
from authsec_server.audit.model import Decision, EventKind
from authsec_server.audit.store import client_counts, events, last_uses
from authsec_server.db import Database, Tx, open_database
from authsec_server.principal import LOCAL_OPERATOR as WHO
from authsec_server.principal import PrincipalKind
from sqlalchemy import func, select

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def verbs(tx: Tx, now: datetime) -> Mapping[str, Callable[[Tx], Any]]:
    """What to measure, on the busiest agent and on others."""
    often = func.sum(client_counts.c.occurrences).desc()
    busy = list(
        tx.connection.execute(select(client_counts.c.client_id).group_by("client_id").order_by(often)).scalars()
    )
    busiest, listed = busy[0], busy[:50]
    latest = tx.connection.execute(select(events).where(events.c.jti != "").order_by(events.c.id.desc()).limit(1)).one()
    last = tx.connection.execute(select(events).where(events.c.client_id == busiest, events.c.jti != "").limit(1)).one()
    delegation, proof = last.delegations[0]["id"], last.detail["proof_id"]
    subjects = list(tx.connection.execute(select(last_uses.c.subject_id).limit(50)).scalars())
    denied, acts = Decision.DENIED, frozenset({EventKind.DELEGATION_CREATED, EventKind.CLIENT_DISABLED})
    month = {"since": now - 30 * DAY, "until": now - 29 * DAY}

    def page(**wanted: Any) -> Callable[[Tx], Any]:
        return lambda tx: audit.page(tx, WHO, EventFilter(**wanted))

    return {
        "page: newest": page(),
        "page: far back": lambda tx: audit.page(tx, WHO, before=500_000),
        "page: one day, a month ago": page(**month),
        "page: busiest client": page(client_id=busiest),
        "page: quiet client": page(client_id=busy[-1]),
        "page: busiest client, a month ago": page(client_id=busiest, **month),
        "page: busiest client, refusals": page(client_id=busiest, decision=denied),
        "page: refusals": page(decision=denied),
        "page: one reason": page(reason="client_disabled"),
        "page: changes": page(kinds=acts),
        "page: one kind of change": page(kinds=frozenset({EventKind.CLIENT_DISABLED})),
        "page: an address that is nowhere": page(address="203.0.113.1"),
        "page: busiest client, an address that is nowhere": page(client_id=busiest, address="203.0.113.1"),
        "event": lambda tx: audit.event(tx, WHO, latest.id),
        "of_request": lambda tx: audit.of_request(tx, WHO, latest.request_id),
        "search by jti": lambda tx: audit.page(tx, WHO, EventFilter(jti=latest.jti)),
        "minted_under, busiest client": lambda tx: audit.minted_under(tx, WHO, busiest, delegation),
        "minted_under, nothing": lambda tx: audit.minted_under(tx, WHO, busiest, "0" * 36),
        "principal_acts": lambda tx: audit.principal_acts(tx, WHO, PrincipalKind.ADMINISTRATOR, _somebody(tx)),
        "tokens that are out, busiest client": lambda tx: live_tokens.of_clients(tx, now, [busiest]),
        "tokens that are out, 1,000 clients": lambda tx: live_tokens.of_clients(tx, now, busy[:1000]),
        "series, a day by hours": lambda tx: counts.series(tx, now - DAY, now, HOUR),
        "series, 60 days by days": lambda tx: counts.series(tx, now - 60 * DAY, now, DAY),
        "series, busiest client, 30 days": lambda tx: counts.series(tx, now - 30 * DAY, now, DAY, client_id=busiest),
        "totals, 30 days": lambda tx: counts.totals(tx, now - 30 * DAY, now),
        "refusals_by_reason, 30 days": lambda tx: counts.refusals_by_reason(tx, now - 30 * DAY, now),
        "last_tokens of 50 clients": lambda tx: counts.last_tokens(tx, listed),
        "last_uses of 50 subjects": lambda tx: counts.last_uses(tx, subjects),
        "proof_last_uses": lambda tx: counts.proof_last_uses(tx, [proof]),
        "actions_used, busiest client": lambda tx: counts.actions_used(tx, [busiest], now - 30 * DAY),
        "actions_used, one delegation": lambda tx: counts.actions_used(tx, [delegation], now - 30 * DAY),
        "repeated_refusals, a day": lambda tx: counts.repeated_refusals(tx, now - DAY, 20),
        "repeated_refusals, 30 days": lambda tx: counts.repeated_refusals(tx, now - 30 * DAY, 20),
    }


def _somebody(tx: Tx) -> str:
    acting = select(events.c.principal_id).where(events.c.principal_id.is_not(None)).limit(1)
    found: str = tx.connection.execute(acting).scalar_one()
    return found


def measure(database: Database, verb: Callable[[Tx], Any], runs: int) -> list[float]:
    """Milliseconds of each run, fastest first; the first one only warms up."""
    spent = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        database.read(verb)
        spent.append(1000 * (time.perf_counter() - began))
    return sorted(spent[1:])


def main() -> None:
    """Measure everything on the database that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("database", help="SQLAlchemy URL of a database that fill.py has filled")
    parser.add_argument("--runs", type=int, default=25)
    asked = parser.parse_args()
    database = open_database(asked.database)
    try:
        now = database.read(lambda tx: tx.connection.execute(select(func.max(events.c.at))).scalar_one())
        print(f"{'milliseconds of ' + str(asked.runs) + ' runs':52} {'min':>8} {'median':>8} {'max':>8}")
        for name, verb in database.read(lambda tx: verbs(tx, now)).items():
            spent = measure(database, verb, asked.runs)
            print(f"{name:52} {spent[0]:8.1f} {statistics.median(spent):8.1f} {spent[-1]:8.1f}")
    finally:
        database.close()


if __name__ == "__main__":
    main()
