"""Check that each principal of an event has a row, and that what an event disabled or revoked is so in its row.

Servers never delete the row of an administrator or of an admin key, so the principal of each event has one. No drop and
no clock changes that. The attack: raw SQL inserts a copy of a revoked admin key under another id for a moment, and the
holder of the key changes the authority meanwhile.

Nothing undoes a revocation. So a delegation, an admin key, an API's credential or a signing key that any event revoked
is revoked in its row, or has no row. What an event disabled is disabled in its row, unless a later event enabled it
again or may have been dropped (`ended_subjects`). The attack: raw SQL marks the row as revoked or disabled until an
operator has revoked or disabled the thing. The operator's act is recorded, and raw SQL removes the mark.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from authsec_server.audit.event_shape import MAX_KID, is_id
from authsec_server.audit.sealing import ended_subjects as subjects
from authsec_server.audit.sealing.scan import Scan
from authsec_server.audit.sealing.scratch import Scratch, ThingState

MOST: Final = 5  # findings of each kind that are listed; further ones are only counted


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    """A table with a row for each thing of a kind. `noun` names a thing.

    A value of the column `disabled` or `revoked` that is not in `live` means that the thing is disabled or revoked.
    """

    name: str
    noun: str
    key: str = "id"
    disabled: str | None = None
    revoked: str | None = None
    live: Collection[object] = (None, True, "t")  # no time; true in SQLite and in the text of PostgreSQL

    @property
    def columns(self) -> list[str]:
        return [self.key, *filter(None, (self.disabled, self.revoked))]

    def state(self, kind: str, row: Mapping[str, Any]) -> ThingState:
        """Return the state of a row with these values. A row without such a column is never a finding."""
        is_disabled, is_revoked = (name is None or row[name] not in self.live for name in (self.disabled, self.revoked))
        return ThingState(kind, row[self.key], is_disabled, is_revoked)


_TABLES: Final = {
    subjects.ADMINISTRATOR: _Table(name="administrators", noun="administrator", disabled="disabled_at"),
    subjects.ADMIN_KEY: _Table(name="admin_keys", noun="admin key", revoked="revoked_at"),
    subjects.CLIENT: _Table(name="clients", noun="client", disabled="enabled"),
    subjects.TRUSTED_ISSUER: _Table(name="trusted_issuers", noun="trusted issuer", disabled="enabled"),
    subjects.DELEGATION: _Table(name="delegations", noun="delegation", disabled="enabled", revoked="revoked_at"),
    subjects.CREDENTIAL: _Table(name="api_credentials", noun="API credential", revoked="revoked_at"),
    subjects.KEY: _Table(
        name="signing_keys",
        noun="signing key",
        key="kid",
        revoked="state",
        live=("prepared", "active", "retired", "gone"),
    ),
}
_LIVE: Final = (
    "SELECT c.number, c.kind, c.id, c.done FROM row_state r CROSS JOIN final_end c ON c.id = r.id AND c.kind = r.kind"
    " WHERE c.done = 'revoked' AND NOT r.is_revoked UNION ALL"
    " SELECT c.number, c.kind, c.id, c.done FROM row_state r CROSS JOIN subject_change c ON c.rowid ="
    " (SELECT c.rowid FROM subject_change c WHERE c.kind = r.kind AND c.id = r.id ORDER BY c.number DESC LIMIT 1)"
    " WHERE c.done = 'disabled' AND NOT r.is_disabled AND (c.version >= :dropped_until OR c.number > :last_dropped)"
    " ORDER BY 1, 2, 3"
)
_UNKNOWN: Final = (  # a row with an empty id says that the table was read
    "SELECT v.number, v.principal_kind, v.principal_id FROM value v WHERE"  # noqa: S608 - of constants
    f" v.principal_kind IN ('{subjects.ADMINISTRATOR}', '{subjects.ADMIN_KEY}')"
    " AND EXISTS (SELECT 1 FROM row_state r WHERE r.kind = v.principal_kind AND r.id = '')"
    " AND (v.principal_id = '' OR NOT EXISTS"
    " (SELECT 1 FROM row_state r WHERE r.kind = v.principal_kind AND r.id = v.principal_id)) ORDER BY v.number"
)


def keep_row_states(scratch: Scratch, scan: Scan) -> None:
    """Read the tables. A missing table or column is not reported here: the schema check reports it."""
    for kind, its in _TABLES.items():
        if set(its.columns) <= set(scan.columns(its.name)):
            scratch.keep_row_states([ThingState(kind, "", True, True)])
            rows = (dict(zip(its.columns, row, strict=True)) for row in scan.rows(its.name, *its.columns))
            scratch.keep_row_states(its.state(kind, row) for row in rows if is_id(row[its.key], MAX_KID))


def row_state_findings(scratch: Scratch, dropped_until: int, last_dropped: int) -> Iterator[str]:
    """Report each live row that an event disabled or revoked, and each principal without a row, in a sentence.

    For the parameters, see `ended_subjects.findings`.
    """
    scratch.create_index("subject_change_of", "subject_change (id, kind, number)")
    dropped = {"dropped_until": dropped_until, "last_dropped": last_dropped}
    yield from _first(
        (
            f"Event {number} says that the {_TABLES[kind].noun} {id_} was {done}, but the row in {_TABLES[kind].name}"
            f" is not {done}: somebody changed the database in between."
            for number, kind, id_, done in scratch.each(_LIVE, dropped)
        ),
        "rows are live, although events say that they were disabled or revoked.",
    )
    yield from _first(
        (
            f"Event {number} is an act of the {_TABLES[kind].noun} {id_}, but {_TABLES[kind].name} has no such row:"
            " somebody changed the database in between."
            for number, kind, id_ in scratch.each(_UNKNOWN, {})
        ),
        "acts are of principals that have no row.",
    )


def _first(found: Iterator[str], others: str) -> Iterator[str]:
    yield from islice(found, MOST)
    if more := sum(1 for _ in found):
        yield f"{more:,} more {others}"
