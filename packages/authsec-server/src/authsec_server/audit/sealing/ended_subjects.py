"""Check that no token was issued after one of its subjects had ended, such as a disabled client or a removed proof.

Check that no principal changed the authority after a change had revoked the admin key or disabled the administrator.

The attack: raw SQL changes the authority version, its `change_id` or the sequence of event numbers for a moment. At
that time, a token is issued and an operator disables the agent. Then the revocation does not revoke the token, and no
row differs from what servers write. The check also finds a token issued while raw SQL had enabled the agent again.

Another attack: raw SQL makes a revoked admin key valid for a moment, and its holder changes the authority meanwhile.

A server takes the numbers of events under the authority lock (see `version_order`). So an event of a token has a higher
number than a change only if the decision about the token saw the change. For each subject of a token, the last change
with a lower number decides. An act has the same order, because each change confirms its principal under the lock. A
test of a token (`issuer.tried`) and a sign-in with an admin key are outside the lock, so they are not compared.

A drop may remove the event that enabled a subject again, and keep the event that disabled it, because clocks differ. So
an event that something was disabled is ignored if a dropped event may have a higher number and a higher authority
version. The attack: a server ahead disables an agent in the last minute of a month, and the drop keeps the event. The
checkpoint that covers the last dropped event has a version above that of the disabling, because more changes followed.
Then raw SQL enables the agent for a moment.

Nothing undoes the other ends, and AuthSec never uses an id again. So such an end decides alone. The attack: at the end
of a month, a server with a clock ahead revokes a delegation and then disables it. A dropped event may have enabled the
delegation again, but cannot have undone the revocation.

Roles are subjects, too. The attack: raw SQL inserts a deleted role again for a moment, with a new delegation of it. The
delegation is in no event, so only the role shows that the token is wrong.

An event which says that a subject was enabled is compared only if its change wrote to the table (`table_writes`).

A change that ends tokens and not the subject, such as an edit of a role, permits later tokens. This check ignores it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from authsec_server.audit.event_shape import MAX_KID, is_id
from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing.scratch import Scratch, SubjectChange
from authsec_server.principal import PrincipalKind

MOST: Final = 5  # findings that are listed; further ones are only counted
CLIENT: Final = "client"
DELEGATION: Final = "delegation"
_PROOF: Final = "proof"
TRUSTED_ISSUER: Final = "trusted_issuer"
_ROLE: Final = "role"
KEY: Final = "key"
CREDENTIAL: Final = "api_credential"
ADMIN_KEY: Final = PrincipalKind.ADMIN_KEY.value
ADMINISTRATOR: Final = PrincipalKind.ADMINISTRATOR.value
_COLUMNS: Final = {  # of a token's event in the scratch database, with its subjects of this kind
    CLIENT: "client_id",
    _PROOF: "proof_id",
    TRUSTED_ISSUER: "trusted_issuer_id",
    KEY: "kid",
}
_LISTS: Final = {  # the table and the column of the scratch database with a token's subjects of this kind
    DELEGATION: ("named", "delegation"),
    _ROLE: ("token_role", "role"),
}
_ISSUED: Final = {
    CLIENT: "to the client",
    DELEGATION: "under the delegation",
    _ROLE: "with an action of the role",
    _PROOF: "on the proof",
    TRUSTED_ISSUER: "on a proof of the trusted issuer",
    KEY: "with the signing key",
}
# Joins of events with the change that ended their subject. A final end decides, whatever changes follow.
_FINAL_END: Final = " CROSS JOIN final_end c ON c.id = {id} AND c.kind = {kind} AND c.number < v.number WHERE "
_LAST_CHANGE: Final = (  # and no dropped event can have enabled the subject again
    " CROSS JOIN subject_change c ON c.rowid = (SELECT c.rowid FROM subject_change c WHERE c.kind = {kind}"
    " AND c.id = {id} AND c.number < v.number ORDER BY c.number DESC LIMIT 1)"
    " WHERE c.done = 'disabled' AND (c.version >= :dropped_until OR c.number > :last_dropped) AND "
)
_PRINCIPALS: Final = {ADMIN_KEY: "admin key", ADMINISTRATOR: "administrator"}
_CHANGES: Final = {  # what the event did, and to which kinds of subjects
    EventKind.CLIENT_DISABLED: ("disabled", CLIENT),
    EventKind.CLIENT_ENABLED: ("enabled", CLIENT),
    EventKind.CLIENT_DELETED: ("deleted", CLIENT, DELEGATION),
    EventKind.DELEGATION_DISABLED: ("disabled", DELEGATION),
    EventKind.DELEGATION_ENABLED: ("enabled", DELEGATION),
    EventKind.DELEGATION_REVOKED: ("revoked", DELEGATION),
    EventKind.ROLE_DELETED: ("deleted", _ROLE, DELEGATION),
    EventKind.PROOF_REMOVED: ("removed", _PROOF),
    EventKind.ISSUER_DISABLED: ("disabled", TRUSTED_ISSUER),
    EventKind.ISSUER_ENABLED: ("enabled", TRUSTED_ISSUER),
    EventKind.ISSUER_DELETED: ("deleted", TRUSTED_ISSUER),
    EventKind.KEY_REVOKED: ("revoked", KEY),
    EventKind.AUTHORITY_RESTORED: ("revoked", KEY),  # no other event names a key that the backup did not have
    EventKind.API_CREDENTIAL_REVOKED: ("revoked", CREDENTIAL),
    EventKind.ADMIN_KEY_REVOKED: ("revoked", ADMIN_KEY),
    EventKind.ADMINISTRATOR_DISABLED: ("disabled", ADMINISTRATOR),
    EventKind.ADMINISTRATOR_ENABLED: ("enabled", ADMINISTRATOR),
}


def subject_changes(number: int, event: Mapping[str, Any]) -> Iterator[SubjectChange]:
    """Yield the subjects of tokens and the principals that this valid event disabled, enabled or ended."""
    if event["kind"] not in _CHANGES:
        return
    done, *kinds = _CHANGES[event["kind"]]
    for kind in kinds:
        for id_ in _ids(kind, event):
            yield SubjectChange(kind, id_, number, done, event["authority_version"])


def _ids(kind: str, event: Mapping[str, Any]) -> Iterator[str]:
    if kind in _LISTS:
        ids = [each["id"] for each in event[f"{kind}s"]]
    elif event["kind"] == EventKind.AUTHORITY_RESTORED:
        keys = event["detail"].get("revoked_keys")
        keys = keys if isinstance(keys, list) else []  # raw SQL can write another value
        ids = [each for each in keys if is_id(each, MAX_KID)]
    elif kind == CREDENTIAL:
        ids = [event["detail"]["credential"]]
    else:
        ids = [event[{CLIENT: "client_id", KEY: "kid"}.get(kind, "subject_id")]]
    yield from (id_ for id_ in ids if id_)


def findings(scratch: Scratch, dropped_until: int, last_dropped: int) -> Iterator[str]:
    """Report each token of a subject that had ended, and each act of a principal that had ended, in a sentence.

    Events up to the authority version `dropped_until` and up to the number `last_dropped` may have been dropped. Both
    are 0 if all changes of subjects are known: no event was dropped, or exports contain all dropped events.
    First call `table_writes.leave_out_unproved`.
    """
    scratch.create_index("subject_change_of", "subject_change (id, kind, number)")
    dropped = {"dropped_until": dropped_until, "last_dropped": last_dropped}
    yield from _first(
        (
            f"Event {token} issued a token {_ISSUED[change.kind]} {change.id}, which event {change.number} had "
            f"{change.done}: somebody changed the database in between."
            for token, change in _tokens_of_ended(scratch, dropped)
        ),
        "tokens were issued for subjects that had ended.",
    )
    yield from _first(
        (
            f"Event {act} is an act of the {_PRINCIPALS[change.kind]} {change.id}, which event {change.number} had "
            f"{change.done}: somebody changed the database in between."
            for act, change in _acts_of_ended(scratch, dropped)
        ),
        "acts are of principals that had ended.",
    )


def _tokens_of_ended(scratch: Scratch, dropped: Mapping[str, int]) -> Iterator[tuple[int, SubjectChange]]:
    """Yield the number of each token for a subject that had ended, with the change that ended the subject."""
    is_token = f"v.kind = '{EventKind.TOKEN_ISSUED}'"
    for kind, column in _COLUMNS.items():
        yield from _of_ended(scratch, dropped, f"value v WHERE {is_token}", f"'{kind}'", f"v.{column}")
    for kind, (table, column) in _LISTS.items():
        tokens = f"{table} n CROSS JOIN value v ON v.number = n.number WHERE {is_token}"
        yield from _of_ended(scratch, dropped, tokens, f"'{kind}'", f"CAST(n.{column} AS TEXT)")


def _acts_of_ended(scratch: Scratch, dropped: Mapping[str, int]) -> Iterator[tuple[int, SubjectChange]]:
    """Yield the number of each act of a principal that had ended, with the change that ended the principal.

    An act is an event without a decision, and no test of a token.
    """
    kinds = ", ".join(f"'{kind}'" for kind in _PRINCIPALS)
    acts = (
        f"value v WHERE v.principal_kind IN ({kinds}) AND v.decision IS NULL AND v.kind <> '{EventKind.ISSUER_TRIED}'"
    )
    yield from _of_ended(scratch, dropped, acts, "v.principal_kind", "v.principal_id")


def _of_ended(
    scratch: Scratch, dropped: Mapping[str, int], events: str, kind: str, id_: str
) -> Iterator[tuple[int, SubjectChange]]:
    """Yield the number of each of these events after the end of its subject, with the change that ended the subject."""
    for change in (_FINAL_END, _LAST_CHANGE):
        its = change.format(kind=kind, id=id_)
        for number, *columns in scratch.each(
            f"SELECT v.number, c.kind, c.id, c.number, c.done, c.version FROM {events.replace(' WHERE ', its, 1)}",  # noqa: S608 - of constants
            dropped,
        ):
            yield number, SubjectChange(*columns)


def _first(findings: Iterator[str], others: str) -> Iterator[str]:
    yield from islice(findings, MOST)
    if more := sum(1 for _ in findings):
        yield f"{more:,} more {others}"
