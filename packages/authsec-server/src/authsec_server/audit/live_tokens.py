"""Live tokens: issued and not expired, according to the audit log. Identical tokens are grouped.

The attack: raw SQL inserts very many tokens, or tokens with details of a megabyte. So rows are read in batches that fit
into memory, and a limit applies to all rows and to all groups.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, Text, cast, false, func, select

from authsec_server.audit.event_shape import has_version
from authsec_server.audit.model import EventKind
from authsec_server.audit.store import events
from authsec_server.audit.unreadable_rows import LONGEST_ROW, MOST_BYTES, Size, read_content, readable, sizes_of
from authsec_server.db import Tx
from authsec_server.settings import MAX_TOKEN_LIFETIME_CAP

MOST = 10_000  # valid tokens that are read: those that expire last
LONGEST = timedelta(seconds=MAX_TOKEN_LIFETIME_CAP, hours=1)  # the hour is for clocks that differ
_LOOKS: Final = 10  # for so many tokens: the tokens that are not valid come on top
_MOST_READ: Final = 2**28  # stored bytes of all tokens that are read
_MOST_GROUPED: Final = 2**25  # characters of all groups
_GROUP: Final = 500  # a group without its texts, in characters

_NO_TIME: Final = datetime.min.replace(tzinfo=UTC)

IsRevoked = Callable[[ColumnElement[str], ColumnElement[int]], ColumnElement[bool]]
"""Returns the SQL condition that the token with this `jti` and authority version was revoked individually."""


StillValid = Callable[[Collection["TokenGroup"]], Collection["TokenGroup"]]
"""Returns the groups of these that are still valid: no revocation covers them."""


def _never(_jti: ColumnElement[str], _version: ColumnElement[int]) -> ColumnElement[bool]:
    return false()


def _all_valid(groups: Collection[TokenGroup]) -> Collection[TokenGroup]:
    return groups


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGroup:
    """A group of tokens of one client with the same values of these fields. The last token expires at `until`.

    `version` is the authority version at which the server decided to issue the tokens.
    `revoked` is true if each token of the group was revoked individually.
    A field is empty if the event has no value for the field.
    """

    client_id: str
    client_name: str
    delegation_ids: frozenset[str]
    role_ids: frozenset[str]
    version: int
    kid: str
    audience: tuple[str, ...]
    proof_id: str
    trusted_issuer_id: str
    revoked: bool
    count: int
    until: datetime

    @property
    def weight(self) -> int:
        """Return the approximate size of the group in memory, in characters."""
        texts = (self.client_name, *self.delegation_ids, *self.role_ids, *self.audience)
        return _GROUP + sum(map(len, texts))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGroups:
    """Groups of live tokens. `more` is true if there may be further live tokens, which expire earlier."""

    tokens: tuple[TokenGroup, ...] = ()
    more: bool = False


def of_clients(
    tx: Tx,
    now: datetime,
    client_ids: Collection[str],
    *,
    is_revoked: IsRevoked = _never,
    still_valid: StillValid = _all_valid,
) -> TokenGroups:
    """Return the live tokens of these clients. Tokens that are not `still_valid` use up no place of the limit."""
    if not client_ids:
        return TokenGroups()
    return _found(tx, now, is_revoked, still_valid, events.c.client_id.in_(sorted(client_ids)))


def of_key(
    tx: Tx, now: datetime, kid: str, *, is_revoked: IsRevoked = _never, still_valid: StillValid = _all_valid
) -> TokenGroups:
    """Return the live tokens that this key signed, as `of_clients` does."""
    return _found(tx, now, is_revoked, still_valid, events.c.kid == kid)


def _found(
    tx: Tx, now: datetime, is_revoked: IsRevoked, still_valid: StillValid, which: ColumnElement[bool]
) -> TokenGroups:
    """Read the tokens that expire last, until more than `MOST` of them are still valid."""
    issued = (events.c.kind == EventKind.TOKEN_ISSUED, events.c.authority_version.is_not(None))
    live = (
        *issued,
        events.c.expires_at > now,
        events.c.at > now - LONGEST,
    )  # with the time, PostgreSQL reads few months
    latest = select(events).where(which, *live).order_by(events.c.expires_at.desc(), events.c.id.desc())
    found: dict[TokenGroup, TokenGroup] = {}
    first, valid, read, grouped = 0, 0, 0, 0
    for _ in range(_LOOKS):
        wanted = MOST + 1 - valid
        sizes = sizes_of(tx.connection, latest.limit(wanted).offset(first))
        looked_at: dict[TokenGroup, TokenGroup] = {}
        for numbers, octets in _batches(sizes):
            groups = _read(tx, is_revoked, events.c.id.in_(numbers), *live)
            grouped += _unite(found, groups)
            _unite(looked_at, groups)
            read += octets
            if read > _MOST_READ or grouped > _MOST_GROUPED:
                return TokenGroups(tokens=tuple(found.values()), more=True)
        if len(sizes) < wanted:
            return TokenGroups(tokens=tuple(found.values()))
        first += len(sizes)
        valid += sum(each.count for each in still_valid(looked_at.values()))
        if valid > MOST:
            break
    return TokenGroups(tokens=tuple(found.values()), more=True)


def _batches(sizes: Sequence[Size]) -> Iterator[tuple[list[int], int]]:
    """Yield the numbers of the next rows that fit into memory together, and the stored bytes of these rows.

    Rows that are longer than a server writes are left out.
    """
    numbers, octets = list[int](), 0
    for number, size in sizes:
        if size > LONGEST_ROW:
            continue
        if numbers and octets + size > MOST_BYTES:
            yield numbers, octets
            numbers, octets = [], 0
        numbers.append(number)
        octets += size
    if numbers:
        yield numbers, octets


def _read(tx: Tx, is_revoked: IsRevoked, *which: ColumnElement[bool]) -> list[TokenGroup]:
    """Return the tokens in these rows, grouped by all of their columns."""
    names = ("kind", "client_id", "client_name", "authority_version", "kid")
    texts = [cast(events.c[name], Text).label(name) for name in ("delegations", "roles", "detail")]
    wanted = select(*(events.c[name] for name in names), *texts, events.c.jti, events.c.expires_at)
    its = wanted.where(*which).subquery()
    looked_up = select(its, is_revoked(its.c.jti, its.c.authority_version).label("revoked")).subquery().c
    alike = [looked_up[name] for name in (*names, "delegations", "roles", "detail", "revoked")]
    number, until = func.count().label("number"), func.max(looked_up.expires_at).label("until")
    alike_ones: Select[Any] = select(*alike, number, until).group_by(*alike)
    return [group for row in readable(tx.connection, alike_ones) if (group := _alike(row))]


def _unite(united: dict[TokenGroup, TokenGroup], groups: Iterable[TokenGroup]) -> int:
    """Unite the groups that differ only in something that `TokenGroup` does not have, such as the actions.

    Return the weight of the new groups.
    """
    weight = 0
    for each in groups:
        key = replace(each, count=0, until=_NO_TIME)
        other = united.get(key)
        if other is None:
            united[key], weight = each, weight + each.weight
        else:
            united[key] = replace(other, count=other.count + each.count, until=max(other.until, each.until))
    return weight


def _alike(row: Row[Any]) -> TokenGroup | None:
    """Return the tokens in this row; None if AuthSec did not write their events."""
    content = read_content(row.kind, row.delegations, row.roles, row.detail)
    if content is None or not has_version(row.authority_version, None):
        return None
    delegations, roles, detail = content
    return TokenGroup(
        client_id=row.client_id,
        client_name=row.client_name,
        delegation_ids=frozenset(each["id"] for each in delegations),
        role_ids=frozenset(each["id"] for each in roles),
        version=row.authority_version,
        kid=row.kid,
        audience=tuple(detail.get("audience") or ()),
        proof_id=detail.get("proof_id") or "",
        trusted_issuer_id=(detail.get("trusted_issuer") or {}).get("id", ""),
        revoked=bool(row.revoked),
        count=row.number,
        until=row.until,
    )
