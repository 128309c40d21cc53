"""Which tables each change wrote to, as the digests in its last event say.

The attack: raw SQL inserts an event which says that a disabled agent was enabled, or that somebody created a
delegation. A server seals the event. Then a token that was issued while raw SQL had changed the row looks valid.

A genuine change of these kinds always changes a row. So its last event has two different digests of the table, and each
digest is in the chain that `table_check` follows. All events of a change have one authority version.

An event needs no digests if the event is older than the first digests of the log, or if the last event of its change
may have been dropped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from authsec_server.audit.model import DIGESTS
from authsec_server.audit.sealing import ended_subjects, parties
from authsec_server.audit.sealing.scratch import Scratch
from authsec_server.db.table_digests import DIGESTED

_FIRST: Final = ""  # the name of the row with the number of the first event with digests, which is negative there
_IS_UNPROVED: Final = (
    "number > :last_dropped AND number >= (SELECT -last FROM written WHERE name = '')"
    " AND NOT EXISTS (SELECT 1 FROM written w WHERE w.name = {name} AND w.version = {table}.version"
    " AND w.last >= {table}.number)"
)
_TABLE_OF_KIND: Final = (
    "CASE kind WHEN 'client' THEN 'clients' WHEN 'delegation' THEN 'delegations'"
    " WHEN 'trusted_issuer' THEN 'trusted_issuers' ELSE 'administrators' END"
)


def keep_acts(scratch: Scratch, number: int, event: Mapping[str, Any]) -> None:
    """Store what this valid event says about subjects of tokens, delegations and tables."""
    scratch.keep_subject_changes(ended_subjects.subject_changes(number, event))
    scratch.keep_parties(parties.parties_in_event(number, event))
    scratch.keep_delegation_acts(parties.delegation_acts(number, event))
    scratch.keep_written(_written(number, event))


def _written(number: int, event: Mapping[str, Any]) -> Iterator[tuple[str, int, int]]:
    """Yield the tables that this valid event says were changed, with the authority version and the event number."""
    version, digests = event["authority_version"], event["detail"].get(DIGESTS)
    if not digests:
        return
    yield _FIRST, 0, -number
    for name, (before, after) in digests.items():
        if before != after and name in DIGESTED:
            yield name, version, number


def leave_out_unproved(scratch: Scratch, last_dropped: int) -> None:
    """Delete what no change of a table proves: that a subject was enabled, and acts on a delegation.

    Events up to the number `last_dropped` may have been dropped. It is 0 if all events are known.
    """
    for table, name in (("subject_change", _TABLE_OF_KIND), ("delegation_act", "'delegations'")):
        only = "done = 'enabled' AND " if table == "subject_change" else ""
        condition = only + _IS_UNPROVED.format(name=name, table=table)
        scratch.delete(table, condition, {"last_dropped": last_dropped})
