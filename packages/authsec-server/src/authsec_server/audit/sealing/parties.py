"""Check that each delegation has one agent and one role in all events and in its table.

Nobody can change the agent or the role of a delegation. The attack: raw SQL gives a delegation another agent, or a role
with more actions, for a moment. Meanwhile, a server issues a token. Afterwards, no row differs.

The check compares only records that exist, so the events that a drop removes cause no finding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing.scan import Scan
from authsec_server.audit.sealing.scratch import Parties, Scratch

MOST: Final = 5  # findings that are listed; further ones are only counted
_COLUMNS: Final = ("id", "client_id", "role_id")
_KINDS: Final = frozenset(
    {
        EventKind.TOKEN_ISSUED,
        EventKind.DELEGATION_CREATED,
        EventKind.DELEGATION_EDITED,
        EventKind.DELEGATION_DISABLED,
        EventKind.DELEGATION_ENABLED,
        EventKind.DELEGATION_REVOKED,
    }
)


def parties_in_event(number: int, event: Mapping[str, Any]) -> Iterator[Parties]:
    """Yield the agent and the role of each delegation in this valid event."""
    delegations, roles = event["delegations"], event["roles"]
    if event["kind"] in _KINDS and len(delegations) == len(roles):  # the n-th delegation has the n-th role
        for delegation, role in zip(delegations, roles, strict=True):
            yield from _plain(delegation["id"], event["client_id"], role["id"], number)


def parties_in_table(scan: Scan) -> Iterator[Parties]:
    """Yield the agent and the role of each row of the table of delegations.

    A missing table or column is not reported here: the schema check reports it.
    """
    if set(scan.columns("delegations")).issuperset(_COLUMNS):
        for delegation, client, role in scan.rows("delegations", *_COLUMNS):
            yield from _plain(delegation, client, role, None)


def _plain(delegation: Any, client: Any, role: Any, number: int | None) -> Iterator[Parties]:
    """Yield the values if a server may have made each id. SQLite refuses some other texts."""
    if all(isinstance(each, str) and each.isascii() and each.isprintable() for each in (delegation, client, role)):
        yield Parties(delegation, client, role, number)


def findings(scratch: Scratch) -> Iterator[str]:
    """Report each event that names another agent or role of a delegation than an earlier record, in a sentence."""
    found = _differences(scratch)
    yield from islice(found, MOST)
    if more := sum(1 for _ in found):
        yield f"{more:,} more events name another agent or role of a delegation."


def _differences(scratch: Scratch) -> Iterator[str]:
    first: Parties | None = None
    for each in scratch.parties():
        if first is None or first.delegation != each.delegation:
            first = each
            continue
        where = "its row" if first.number is None else f"event {first.number}"
        yield (
            f"Event {each.number} names the agent {each.client} and the role {each.role} for the delegation"
            f" {each.delegation}, but {where} has the agent {first.client} and the role {first.role}: somebody changed"
            " the database in between."
        )
