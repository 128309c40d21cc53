"""Last uses by month, so that the rows of a dropped month never change again; and a number of rebuilds beside the mark.

The months come from the events that are counted already. The old rows add what events of dropped months said.
"""

import json
from datetime import datetime
from typing import Any

from alembic import op
from authsec_server.db.schema import Instant
from sqlalchemy import BigInteger, Column, PrimaryKeyConstraint, String, column, insert, select, table, text

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

ISSUED, REFUSED = "token.issued", "token.refused"
COLUMNS = ("granted_at", "refused_at", "refused_reason")
Uses = dict[tuple[str, datetime], dict[str, Any]]


def upgrade() -> None:
    found = _counted()
    _add_old(found)
    op.drop_table("last_uses")
    uses = op.create_table(
        "last_uses",
        Column("subject_id", String(36), nullable=False),
        Column("month", Instant(), nullable=False),
        Column("granted_at", Instant()),
        Column("refused_at", Instant()),
        Column("refused_reason", String(40)),
        PrimaryKeyConstraint("subject_id", "month", name="pk_last_uses"),
    )
    rows = [
        {"subject_id": subject, "month": month, **dict.fromkeys(COLUMNS), **use}
        for (subject, month), use in sorted(found.items(), key=lambda item: item[0])
    ]
    if rows:
        op.get_bind().execute(insert(uses), rows)
    op.add_column("counted", Column("rebuilds", BigInteger(), nullable=False, server_default=text("0")))


def _counted() -> Uses:
    """The last uses by the events that are counted, as `audit/counting.py` counted them when this was written."""
    names = ("kind", "reason", "client_id", "delegations", "roles", "detail")
    events = table("events", column("at", Instant()), *(column(name) for name in names))
    until = select(table("counted", column("until", Instant())).c.until).scalar_subquery()
    wanted = select(events).where(
        events.c.at < until, events.c.kind.in_([ISSUED, REFUSED]), events.c.client_id.is_not(None)
    )
    found: Uses = {}
    for row in op.get_bind().execute(wanted.execution_options(yield_per=1000)):
        if row.kind == REFUSED:
            its = found.setdefault((row.client_id, _month(row.at)), {})
            if "refused_at" not in its or (row.at, row.reason) > (its["refused_at"], its["refused_reason"]):
                its.update(refused_at=row.at, refused_reason=row.reason)
            continue
        under = [each["id"] for each in _json(row.delegations) + _json(row.roles)]
        for subject in {row.client_id, _json(row.detail).get("proof_id"), *under} - {None, ""}:
            its = found.setdefault((subject, _month(row.at)), {})
            its["granted_at"] = max(row.at, its.get("granted_at") or row.at)
    return found


def _add_old(found: Uses) -> None:
    """Add what the old rows say of months that have no such event any more."""
    instants = (column(name, Instant()) for name in COLUMNS[:2])
    old = table("last_uses", column("subject_id"), *instants, column(COLUMNS[2]))
    for row in op.get_bind().execute(select(old)):
        if row.granted_at is not None:
            found.setdefault((row.subject_id, _month(row.granted_at)), {}).setdefault("granted_at", row.granted_at)
        if row.refused_at is not None:
            its = found.setdefault((row.subject_id, _month(row.refused_at)), {})
            if "refused_at" not in its:
                its.update(refused_at=row.refused_at, refused_reason=row.refused_reason)


def _month(at: datetime) -> datetime:
    return at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _json(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
