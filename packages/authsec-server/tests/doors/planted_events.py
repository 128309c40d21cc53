"""Events that somebody inserts by raw SQL, as copies of a genuine one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from authsec_server.audit.store import event_delegations, events, with_mac
from authsec_server.db import Database, Tx
from sqlalchemy import ColumnElement, func, insert, select, text, update


def plant(database: Database, at: datetime, like: ColumnElement[bool], number: int = 1, **its: Any) -> list[int]:
    """Insert copies of the first event like this one, with the next numbers, at this time. Return the numbers.

    `its` are other values of the copies. A function returns the value of each copy. The copies have a valid MAC, as if
    the attacker had the key: what follows does not rely on MACs alone.
    """

    def work(tx: Tx) -> list[int]:
        row = tx.connection.execute(select(events).where(like).order_by(events.c.id).limit(1)).one()._asdict()
        top: int = tx.connection.execute(select(func.max(events.c.id))).scalar_one()
        numbers = list(range(top + 1, top + 1 + number))
        for place, id_ in enumerate(numbers):
            new = {name: value(place) if callable(value) else value for name, value in its.items()}
            tx.connection.execute(insert(events).values(with_mac(row | {"id": id_, "at": at} | new, tx.event_key)))
            for each in (row | new)["delegations"]:
                tx.connection.execute(insert(event_delegations).values(delegation_id=each["id"], event_id=id_))
        if tx.connection.dialect.name == "postgresql":
            tx.connection.execute(text("SELECT setval('events_id_seq', (SELECT max(id) FROM events))"))
        return numbers

    return database.append(work)


def sign_anew(database: Database) -> None:
    """Give each event a valid MAC, as if a server had written it as it is."""

    def work(tx: Tx) -> None:
        for row in tx.connection.execute(select(events)).all():
            whole = with_mac(row._asdict(), tx.event_key)
            tx.connection.execute(update(events).where(events.c.id == row.id).values(mac=whole["mac"]))

    database.append(work)
