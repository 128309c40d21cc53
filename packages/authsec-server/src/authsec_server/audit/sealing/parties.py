"""Check that somebody created each delegation of a token, and that all records name its agent and its role alike.

Nobody can change the agent or the role of a delegation. The attack: raw SQL gives a delegation another agent, or a role
with more actions, for a moment. Meanwhile, a server issues a token. Afterwards, no row differs. Another attack: raw SQL
inserts a new delegation for a moment.

A delegation of a token has a row, or an event of its creation or another change. A drop may have removed
all these events. Then the drop removed the event of the deletion, too. That event has a higher number than each token.
An expired delegation is deleted with its role or its client, and only the event of that deletion names the delegation.
Another attack: raw SQL inserts such an event, too. An event is compared only if its change wrote to the table of
delegations (`table_writes`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from authsec_server.audit.event_shape import is_id
from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing.scan import Scan
from authsec_server.audit.sealing.scratch import Parties, Scratch

MOST: Final = 5  # findings of each kind that are listed; further ones are only counted
_COLUMNS: Final = ("id", "client_id", "role_id")
_ACTS: Final = frozenset(
    {
        EventKind.DELEGATION_CREATED,
        EventKind.DELEGATION_EDITED,
        EventKind.DELEGATION_DISABLED,
        EventKind.DELEGATION_ENABLED,
        EventKind.DELEGATION_REVOKED,
    }
)
_KINDS: Final = _ACTS | {EventKind.TOKEN_ISSUED}
_DIFFERING: Final = (
    "SELECT * FROM (SELECT lowest, delegation, client, role, first_value(lowest) OVER of_it AS first,"
    " first_value(client) OVER of_it AS its_client, first_value(role) OVER of_it AS its_role FROM party"
    " WINDOW of_it AS (PARTITION BY delegation ORDER BY lowest)) WHERE (client, role) <> (its_client, its_role)"
)
_UNKNOWN: Final = (
    "SELECT p.delegation, max(p.highest) FROM party p GROUP BY p.delegation"
    " HAVING NOT max(p.is_proof) AND max(p.highest) > ?1 AND NOT EXISTS"
    " (SELECT 1 FROM delegation_act a WHERE a.id = p.delegation) AND NOT EXISTS"
    " (SELECT 1 FROM final_end e WHERE e.kind = 'delegation' AND e.id = p.delegation AND (e.number <= ?1"
    " OR e.number < coalesce((SELECT -last FROM written WHERE name = ''), e.number + 1) OR EXISTS"
    " (SELECT 1 FROM written w WHERE w.name = 'delegations' AND w.version = e.version AND w.last >= e.number)))"
)


def parties_in_event(number: int, event: Mapping[str, Any]) -> Iterator[Parties]:
    """Yield the agent and the role of each delegation in this valid event."""
    kind, delegations, roles = event["kind"], event["delegations"], event["roles"]
    if kind in _KINDS and len(delegations) == len(roles):  # the n-th delegation has the n-th role
        for delegation, role in zip(delegations, roles, strict=True):
            yield Parties(delegation["id"], event["client_id"] or "", role["id"], number, is_proof=False)


def delegation_acts(number: int, event: Mapping[str, Any]) -> Iterator[tuple[str, int, int]]:
    """Yield each delegation that this valid event created or changed, with the event number and the version."""
    if event["kind"] in _ACTS:
        yield from ((each["id"], number, event["authority_version"]) for each in event["delegations"])


def parties_in_table(scan: Scan) -> Iterator[Parties]:
    """Yield the agent and the role of each row of the table of delegations.

    A missing table or column is not reported here: the schema check reports it.
    """
    if set(scan.columns("delegations")).issuperset(_COLUMNS):
        for delegation, client, role in scan.rows("delegations", *_COLUMNS):
            if all(map(is_id, (delegation, client, role))):  # no event has an id of another form
                yield Parties(delegation, client, role, 0, is_proof=True)


def findings(scratch: Scratch, last_dropped: int) -> Iterator[str]:
    """Report delegations with several agents or roles, and delegations that nobody created, in a sentence each.

    Events up to the number `last_dropped` may have been dropped. It is 0 if all events are known.
    First call `table_writes.leave_out_unproved`.
    """
    scratch.create_index("delegation_act_of", "delegation_act (id)")
    for number, delegation, client, role, first, its_client, its_role in _first(scratch, _DIFFERING):
        where = f"event {first}" if first else "its row"
        yield (
            f"Event {number} names the agent {client} and the role {role} for the delegation {delegation}, but {where}"
            f" has the agent {its_client} and the role {its_role}: somebody changed the database in between."
        )
    if more := _more(scratch, _DIFFERING):
        yield f"{more:,} more events name another agent or role of a delegation."
    for delegation, number in _first(scratch, _UNKNOWN, last_dropped):
        yield (
            f"Event {number} names the delegation {delegation}, but no event says that somebody created or deleted the"
            " delegation, and it has no row: somebody changed the database in between."
        )
    if more := _more(scratch, _UNKNOWN, last_dropped):
        yield f"{more:,} more delegations of tokens were created by nobody."


def _first(scratch: Scratch, statement: str, *parameters: int) -> list[Any]:
    return scratch.query(f"{statement} ORDER BY 1, 2 LIMIT {MOST}", parameters)


def _more(scratch: Scratch, statement: str, *parameters: int) -> int:
    number: int = scratch.query(f"SELECT count(*) FROM ({statement})", parameters)[0][0]  # noqa: S608 - of constants
    return max(0, number - MOST)
