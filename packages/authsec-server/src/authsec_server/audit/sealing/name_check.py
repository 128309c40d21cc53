"""Check whether the names in the database tables match the names in the events.

`audit list --agent SLUG` finds the client's id by the slug, in a table that no seal covers.
The attack: raw SQL swaps the slugs of two clients. The command then lists the events of the wrong client, although
every event matches its seal.

The name of a thing is in the events that create, edit and delete the thing.
A thing is not compared if all of its events were dropped, or if its last event may have been dropped.
A drop removes events by their times. If the clock of one server is ahead, its event may stay, although a drop removes a
later event of another server. The digests of the tables cover the rows (`table_check`).

Each id belongs to only one thing, so only one change can delete an id.
The history of a token shows the slug of a deleted role, from the first event that deletes the role.
The attack: raw SQL inserts an earlier event of this deletion, with another slug.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, islice
from typing import Any, Final

from authsec_server.audit.model import DIGESTS, EventKind
from authsec_server.audit.scratch_database import ScratchCheck
from authsec_server.audit.sealing.scan import Scan
from authsec_server.db.schema import canonical_json
from authsec_server.naming import folded

MOST: Final = 10  # findings of one table that are listed; further ones are only counted
_LONGEST: Final = 80  # characters of a name in a finding
_SCRATCH: Final = (
    "CREATE TABLE said (thing TEXT, id BLOB, sealed INTEGER, number INTEGER, version INTEGER, since TEXT, name BLOB,"
    " owner BLOB, gone INTEGER, PRIMARY KEY (thing, id, sealed))",
    "CREATE VIEW newest AS SELECT * FROM said s WHERE NOT EXISTS"
    " (SELECT 1 FROM said o WHERE o.thing = s.thing AND o.id = s.id AND o.number > s.number)",
    "CREATE TABLE kept (thing TEXT, id BLOB, name BLOB, owner BLOB, called BLOB)",
    "CREATE INDEX kept_id ON kept (thing, id)",
    "CREATE INDEX kept_called ON kept (called, thing)",
    "CREATE TABLE dropped (thing TEXT, id BLOB, PRIMARY KEY (thing, id)) WITHOUT ROWID",
    "CREATE TABLE deleted (thing TEXT, id BLOB, number INTEGER, change BLOB, PRIMARY KEY (thing, id)) WITHOUT ROWID",
    "CREATE TABLE deleted_again (thing TEXT, id BLOB, one INTEGER, other INTEGER)",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """A table in which readers look up an id by a name. The lookup also returns the column `owner`.

    A display name is not unique: two things may have the same one.
    Readers see it beside an id, or as one of several matches in a search.
    """

    thing: str
    table: str
    column: str
    owner: str = ""
    is_display_name: bool = False

    @property
    def key(self) -> str:
        return f"{self.table}.{self.column}"

    @property
    def columns(self) -> tuple[str, ...]:
        return ("id", self.column, *filter(None, [self.owner]))


_CLIENT: Final = _Named(thing="client", table="clients", column="slug")
_CLIENT_NAME: Final = _Named(thing="client", table="clients", column="name", is_display_name=True)
_CLIENT_SORT_NAME: Final = _Named(thing="client", table="clients", column="sort_name", is_display_name=True)
_DELEGATION: Final = _Named(thing="delegation", table="delegations", column="slug", owner="client_id")
_ADMINISTRATOR: Final = _Named(thing="administrator", table="administrators", column="email")
_ADMIN_KEY: Final = _Named(thing="admin key", table="admin_keys", column="name")
_ROLE: Final = _Named(thing="role", table="roles", column="slug")
_PRINCIPALS: Final = (_ADMINISTRATOR, _ADMIN_KEY)
_TABLES: Final = (_CLIENT, _CLIENT_NAME, _CLIENT_SORT_NAME, _DELEGATION, _ADMINISTRATOR, _ADMIN_KEY, _ROLE)
_MADE: Final = {
    EventKind.CLIENT_CREATED: _CLIENT,
    EventKind.DELEGATION_CREATED: _DELEGATION,
    EventKind.ADMINISTRATOR_INVITED: _ADMINISTRATOR,
    EventKind.ADMINISTRATOR_SET_UP: _ADMINISTRATOR,
    EventKind.ADMIN_KEY_CREATED: _ADMIN_KEY,
    EventKind.ROLE_CREATED: _ROLE,
}
_EDITED: Final = {
    EventKind.CLIENT_EDITED: _CLIENT,
    EventKind.DELEGATION_EDITED: _DELEGATION,
    EventKind.ADMINISTRATOR_CHANGED: _ADMINISTRATOR,
}
_CLIENT_NAMED: Final = {EventKind.CLIENT_CREATED, EventKind.CLIENT_EDITED}
_DELETED: Final = {EventKind.CLIENT_DELETED, EventKind.ROLE_DELETED}
_ENDS: Final = {*_DELETED, EventKind.API_DELETED, EventKind.ISSUER_DELETED}


class NameCheck(ScratchCheck):
    """A comparison of names in tables with names in events, on one snapshot.

    First call `add` for each event, in any order, `add_dropped` for each dropped event of an export, and `keep` once.
    Then call `findings`.
    """

    create = _SCRATCH

    def __init__(self, scratch: sqlite3.Connection) -> None:
        super().__init__(scratch)
        self._kept = list[_Named]()  # the tables that `keep` read

    def add(self, number: int, event: Mapping[str, Any], is_sealed: Callable[[int], bool], waits_since: str) -> None:
        """Add the names in the row of a valid event. If several events name a thing, the highest event number wins.

        `waits_since` is the time from which the event should have a seal: its time; empty for an event of the future.
        """
        for named, id_, name, owner, gone in _said(event):
            its = (named.key, _octets(id_), is_sealed(number), number, event["authority_version"], waits_since)
            self._scratch.execute(
                "INSERT INTO said VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (thing, id, sealed) DO UPDATE SET"
                " number = excluded.number, version = excluded.version, since = excluded.since, name = excluded.name,"
                " owner = excluded.owner, gone = excluded.gone WHERE excluded.number > said.number",
                (*its, _octets(name), _octets(owner), gone),
            )
        if event["kind"] in _ENDS:
            self._add_deletion(number, event)

    def _add_deletion(self, number: int, event: Mapping[str, Any]) -> None:
        """Store the ids that the event deletes.

        One change may record several events of a deletion, which differ only in their delegations.
        """
        change = _change(event)
        for thing, id_ in _ended(event):
            its = (thing, _octets(id_))
            self._scratch.execute("INSERT OR IGNORE INTO deleted VALUES (?, ?, ?, ?)", (*its, number, change))
            self._scratch.execute(
                "INSERT INTO deleted_again SELECT thing, id, min(number, ?3), max(number, ?3) FROM deleted"
                " WHERE thing = ?1 AND id = ?2 AND change != ?4",
                (*its, number, change),
            )

    def add_dropped(self, event: Mapping[str, Any]) -> None:
        """Store the administrator or the admin key to which this dropped event gives a name."""
        its = ((named.key, _octets(id_)) for named, id_, *_ in _said(event) if named in _PRINCIPALS)
        self._scratch.executemany("INSERT OR IGNORE INTO dropped VALUES (?, ?)", its)

    def keep(self, scan: Scan) -> None:
        """Read the tables. A missing table or column is not reported here: the schema check reports it."""
        for named in _TABLES:
            if set(scan.columns(named.table)).issuperset(named.columns):
                self._kept.append(named)
                rows = (
                    (named.key, _octets(id_), _octets(name), _octets(owner[0] if owner else None), _called(named, name))
                    for id_, name, *owner in scan.rows(named.table, *named.columns)
                )
                self._scratch.executemany("INSERT INTO kept VALUES (?, ?, ?, ?, ?)", rows)

    def findings(self, dropped_until: int, last_dropped: int, *, all_known: bool) -> Iterator[str]:
        """Report the differences as sentences.

        Events up to the authority version `dropped_until` and up to the number `last_dropped` may have been dropped.
        If `all_known` is true, exports contain all dropped events.
        """
        for named in self._kept:
            yield from _first(named, self._of_table(named, dropped_until, last_dropped))
        if all_known:
            yield from self._namesakes()
        yield from self._deleted_again()

    def _deleted_again(self) -> Iterator[str]:
        """Report things that two changes deleted."""
        found = self._scratch.execute("SELECT thing, id, one, other FROM deleted_again ORDER BY one, other, id")
        for thing, id_, one, other in islice(found, MOST):
            yield (
                f"Event {one} and event {other} both say that the {thing} {_shown(id_)} was deleted: one of the two "
                "was inserted, because AuthSec never uses an id again."
            )
        if more := sum(1 for _ in found):
            yield f"{more:,} more events record a second deletion of one thing."

    def doubts(self, sealed_before: str) -> Iterator[str]:
        """Report names that are only in an event without a seal, if the event is older than `sealed_before`.

        A running server would have sealed the event by now.
        The attack: while no server runs, raw SQL renames a thing and inserts an event with the new name.
        """
        for number, id_, gone, keys in self._scratch.execute(
            "SELECT number, id, gone, group_concat(thing) FROM newest n WHERE NOT sealed AND since < ? AND NOT EXISTS"
            " (SELECT 1 FROM said o WHERE o.thing = n.thing AND o.id = n.id AND o.sealed AND o.gone = n.gone"
            " AND o.name = n.name AND o.owner = n.owner) GROUP BY number, id, gone ORDER BY number, id",
            (sealed_before,),
        ):
            its = [named for named in _TABLES if named.key in keys.split(",")]
            columns = " and ".join(named.column for named in its if named is not _CLIENT_SORT_NAME)
            what = f"the {its[0].thing} {_shown(id_)}"
            told = f"says that {what} was deleted" if gone else f"gives {what} its {columns}"
            yield f"Only event {number}, which has no seal, {told}."

    def _of_table(self, named: _Named, dropped_until: int, last_dropped: int) -> Iterator[str]:
        """Report differences of one table. Only a deletion is final: any other event may precede a dropped event."""
        for id_, kept, say, its_owner, owner, gone in self._scratch.execute(
            "SELECT s.id, k.name, s.name, k.owner, s.owner, s.gone FROM newest s"
            " LEFT JOIN kept k ON k.thing = s.thing AND k.id = s.id WHERE s.thing = ? AND"
            " CASE WHEN s.gone THEN k.id IS NOT NULL"
            " ELSE (s.version >= ? OR s.number > ?)"
            " AND ((k.id IS NULL AND NOT ?) OR k.name != s.name OR k.owner != s.owner) END ORDER BY s.number, s.id",
            (named.key, dropped_until, last_dropped, named.is_display_name),
        ):
            what = f"The {named.thing} {_shown(id_)}"
            if gone:
                yield f"{what} is in {named.table}, but the events say that it was deleted."
            elif kept is None:
                yield f"{what}, {_quoted(say)}, is missing in {named.table}, and no event says that it was deleted."
            elif kept != say:
                yield f"{what} has the {named.column} {_quoted(kept)}, but the events say {_quoted(say)}."
            else:
                yield f"{what} belongs to the client {_shown(its_owner)}, but the events say {_shown(owner)}."
        if named.is_display_name:
            return
        for name, copies, id_, other in self._scratch.execute(
            "SELECT name, count(*), min(id), max(id) FROM kept WHERE thing = ? AND name != x'' GROUP BY name"
            " HAVING count(*) > 1",
            (named.key,),
        ):
            what = f"The rows {_shown(id_)} and {_shown(other)}" if copies == 2 else f"{copies:,} rows"
            yield (
                f"{what} of {named.table} have the {named.column} {_quoted(name)}: a search finds only one of "
                "these rows."
            )

    def _namesakes(self) -> Iterator[str]:
        """Report an administrator and an admin key with the same name, if one of the two has no event.

        Readers search for administrators and admin keys by the same word.
        If both have events, their names are compared with these events instead.
        Nothing is reported if an unknown dropped event may name one of the two. The event of a drop has digests of both
        tables, so the check of these tables finds each later change.
        """
        unsaid = (
            "SELECT k.id, (SELECT o.id FROM kept o WHERE o.called = k.called AND o.thing = ?), k.name"
            " FROM kept k WHERE k.thing = ? AND k.called != x''"
            " AND NOT EXISTS (SELECT 1 FROM newest s WHERE s.thing = k.thing AND s.id = k.id)"
            " AND NOT EXISTS (SELECT 1 FROM dropped d WHERE d.thing = k.thing AND d.id = k.id)"
            " AND EXISTS (SELECT 1 FROM kept o WHERE o.called = k.called AND o.thing = ?)"
        )
        administrators = self._scratch.execute(unsaid, (_ADMIN_KEY.key, _ADMINISTRATOR.key, _ADMIN_KEY.key))
        keys = self._scratch.execute(unsaid, (_ADMINISTRATOR.key, _ADMIN_KEY.key, _ADMINISTRATOR.key))
        pairs = chain(administrators, ((other, id_, name) for id_, other, name in keys))
        for administrator, key, name in islice(dict.fromkeys(islice(pairs, 2 * MOST)), MOST):
            yield (
                f"The administrator {_shown(administrator)} and the admin key {_shown(key)} are both called"
                f" {_quoted(name)}, and no event gave one of them this name."
            )


def _said(event: Mapping[str, Any]) -> Iterator[tuple[_Named, str, Any, str | None, bool]]:
    """Yield each name in the event: the thing, its id, its name, its owner, and whether the thing was deleted."""
    kind, detail = event["kind"], event["detail"]
    if kind in _DELETED:
        yield from _deleted(event)
        return
    if kind in _CLIENT_NAMED and event["client_id"]:
        yield _CLIENT_NAME, event["client_id"], event["client_name"], None, False
        yield _CLIENT_SORT_NAME, event["client_id"], folded(event["client_name"] or ""), None, False
    after = detail.get("after") if kind in _EDITED else None
    named = _MADE.get(kind) or _EDITED.get(kind)
    if named is None or (kind in _EDITED and not isinstance(after, dict)):
        return
    if named is _ADMIN_KEY:
        told: Mapping[str, Any] = {named.column: event["subject_name"]}
    else:
        told = detail if after is None else after
    if named.column not in told:
        return  # an edit of other fields, or an event from before the field existed
    owner = event["client_id"] if named.owner else None
    if id_ := _id_of(named, event):
        yield named, id_, told[named.column], owner, False


def _id_of(named: _Named, event: Mapping[str, Any]) -> str | None:
    if named in (_DELEGATION, _ROLE):
        return next((each["id"] for each in event["delegations" if named is _DELEGATION else "roles"]), None)
    id_: str | None = event["client_id" if named is _CLIENT else "subject_id"]
    return id_


def _deleted(event: Mapping[str, Any]) -> Iterator[tuple[_Named, str, Any, str | None, bool]]:
    if event["kind"] == EventKind.CLIENT_DELETED and event["client_id"]:
        yield _CLIENT, event["client_id"], None, None, True
    if event["kind"] == EventKind.ROLE_DELETED:
        yield from ((_ROLE, each["id"], None, None, True) for each in event["roles"][:1])
    for each in event["delegations"]:
        yield _DELEGATION, each["id"], None, None, True


def _ended(event: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the kind and the id of each thing that the event deletes."""
    if event["kind"] == EventKind.CLIENT_DELETED and event["client_id"]:
        yield _CLIENT.thing, event["client_id"]
    if event["kind"] == EventKind.ROLE_DELETED:
        yield from ((_ROLE.thing, each["id"]) for each in event["roles"])
    if event["kind"] in _DELETED:
        yield from ((_DELEGATION.thing, each["id"]) for each in event["delegations"])
    if event["kind"] == EventKind.API_DELETED and event["subject_id"]:
        yield "API", event["subject_id"]
    if event["kind"] == EventKind.ISSUER_DELETED and event["subject_id"]:
        yield "trusted issuer", event["subject_id"]


def _change(event: Mapping[str, Any]) -> bytes:
    """Return a hash that is the same for all events of one deletion.

    The hash leaves out the table digests, because only the last of these events has them.
    """
    detail = {name: value for name, value in event["detail"].items() if name != DIGESTS}
    its = {name: value for name, value in event.items() if name not in ("id", "delegations", "detail")}
    return sha256(canonical_json([detail, its]).encode()).digest()


def _first(named: _Named, findings: Iterator[str]) -> Iterator[str]:
    more = 0
    for at, finding in enumerate(findings):
        if at < MOST:
            yield finding
        else:
            more += 1
    if more:
        yield f"{named.table} differs from the events in {more:,} more rows."


def _called(named: _Named, name: Any) -> bytes:
    """Return the word by which readers search for an administrator or an admin key; empty for other tables.

    Readers search for an email in lower case, so an admin key's name is compared in lower case too.
    """
    is_person = named in _PRINCIPALS
    return _octets(name.lower() if named is _ADMIN_KEY and isinstance(name, str) else name) if is_person else b""


def _octets(value: Any) -> bytes:
    """Return the value as bytes for the comparison.

    None equals the empty text. A value that is not a text equals no text.
    """
    if value is None:
        return b""
    if not isinstance(value, str):
        return b"\x00" + repr(value).encode()
    try:
        return value.encode("utf-8", "surrogateescape")  # restores octets that are not UTF-8 (see `Scan`)
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")


def _quoted(name: bytes) -> str:
    return json.dumps(_decoded(name)[:_LONGEST]) if name else "none"


def _shown(id_: bytes) -> str:
    """Return the id in a form that is safe for a terminal and a server log."""
    shown = _decoded(id_)
    return shown if shown.isascii() and shown.isprintable() and len(shown) <= _LONGEST else _quoted(id_)


def _decoded(octets: bytes) -> str:
    return octets.decode("utf-8", "backslashreplace")
