"""Somebody reserves event numbers, and gives them to deletions of other roles before the genuine deletion is sealed.

The history of a token of a deleted role finds the role's slug in the event of the deletion. If the history read only
the first ten events of that time in the order of sealing, ten inserted events with lower numbers, the same time,
version and slug would come first: a server seals all of them in one pass. Then the history would no longer say that the
token was revoked when its role was narrowed. Each event is one that servers write, and no two events name one role, so
`verify` finds nothing.
"""

from __future__ import annotations

import sys
import uuid
from datetime import timedelta
from pathlib import Path

from authsec_server.audit import service as audit
from authsec_server.audit.model import Named
from authsec_server.audit.store import events
from authsec_server.db import Database, Tx
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import Proposal, Terms
from authsec_server.roles import service as roles
from authsec_server.tokens.revocation import revoked
from sqlalchemy import insert, select, text

sys.path.insert(0, str(Path(__file__).parent))
from test_rows_changed_around_a_drop import JTI, Year

TERMS = Terms(max_token_lifetime=86_400, default_audience="authsec-api")
TEMPORARY = Proposal(
    role="temp", client="helper", target_type="MCP server", max_duration=60, actions=("a:b",), slug="short"
)
RESERVED = 10


def reserve(database: Database) -> list[int]:
    def work(tx: Tx) -> list[int]:
        if tx.connection.dialect.name == "postgresql":
            numbers = text(f"SELECT nextval('events_id_seq') FROM generate_series(1, {RESERVED})")
            return list(tx.connection.execute(numbers).scalars())
        last = tx.connection.execute(text("SELECT seq FROM sqlite_sequence WHERE name = 'events'")).scalar_one()
        tx.connection.execute(text(f"UPDATE sqlite_sequence SET seq = {last + RESERVED} WHERE name = 'events'"))
        return [last + 1 + each for each in range(RESERVED)]

    return database.append(work)


def plant(database: Database, numbers: list[int]) -> None:
    """Insert deletions of other roles, like the newest one."""

    def work(tx: Tx) -> None:
        newest = select(events).where(events.c.kind == "role.deleted").order_by(events.c.id.desc()).limit(1)
        row = tx.connection.execute(newest).one()._asdict()
        detail = {name: value for name, value in row["detail"].items() if name != "digests"}
        for number in numbers:
            role = {"id": str(uuid.uuid4()), "name": "Temp"}
            planted = {"id": number, "roles": [role], "delegations": [], "detail": detail}
            tx.connection.execute(insert(events).values(row | planted))

    database.append(work)


def test_the_history_of_a_token_names_its_revocation(database: Database) -> None:
    year = Year(database)
    year.do(lambda tx, act: roles.create(tx, act, name="Temp", actions=("a:b", "a:c")))
    year.do(lambda tx, act: delegations.create(tx, act, TEMPORARY, TERMS))
    found = database.read(lambda tx: delegations.get(tx, year.act, "short", TERMS))
    delegation, role = Named(id=found.delegation.id, name="Temp for Helper"), Named(id=found.role.id, name="Temp")
    year.issue(delegations=(delegation,), roles=(role,), detail={"actions": ["a:b"]})
    year.at += timedelta(minutes=1)
    narrowed = year.at
    year.do(lambda tx, act: roles.edit(tx, act, "temp", revision=1, changes={"actions": ["a:c"]}))
    year.settle()
    year.at += timedelta(hours=6)  # the token has expired
    year.do(lambda tx, act: delegations.revoke(tx, act, "short", TERMS))
    year.at += timedelta(minutes=1)
    numbers = reserve(database)
    year.do(lambda tx, act: delegations.delete_role(tx, act, "temp"))
    plant(database, numbers)
    year.settle()
    year.settle()
    assert year.report().findings == ()
    history = database.read(lambda tx: [*revoked(tx, audit.search(tx, year.act, JTI)).values()])
    assert history == [narrowed]
