"""Live tokens: issued and not expired, according to the audit log. Identical tokens are grouped."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, Text, cast, false, func, select

from authsec_server.audit.event_shape import has_version
from authsec_server.audit.model import EventKind
from authsec_server.audit.store import events
from authsec_server.audit.unreadable_rows import read_content, readable
from authsec_server.db import Tx
from authsec_server.settings import MAX_TOKEN_LIFETIME_CAP

MOST = 10_000  # tokens that are read: those that expire last
LONGEST = timedelta(seconds=MAX_TOKEN_LIFETIME_CAP, hours=1)  # the hour is for clocks that differ

_NO_TIME: Final = datetime.min.replace(tzinfo=UTC)

IsRevoked = Callable[[ColumnElement[str], ColumnElement[int]], ColumnElement[bool]]
"""Returns the SQL condition that the token with this `jti` and authority version was revoked individually."""


def _never(_jti: ColumnElement[str], _version: ColumnElement[int]) -> ColumnElement[bool]:
    return false()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGroups:
    """Groups of live tokens. `more` is true if there are further live tokens, which expire earlier."""

    tokens: tuple[TokenGroup, ...] = ()
    more: bool = False


def of_clients(tx: Tx, now: datetime, client_ids: Collection[str], *, is_revoked: IsRevoked = _never) -> TokenGroups:
    """Return the live tokens of these clients."""
    if not client_ids:
        return TokenGroups()
    return _found(tx, now, is_revoked, events.c.client_id.in_(sorted(client_ids)))


def of_key(tx: Tx, now: datetime, kid: str, *, is_revoked: IsRevoked = _never) -> TokenGroups:
    """Return the live tokens that this key signed."""
    return _found(tx, now, is_revoked, events.c.kid == kid, events.c.at > now - LONGEST)


def _found(tx: Tx, now: datetime, is_revoked: IsRevoked, *which: ColumnElement[bool]) -> TokenGroups:
    names = ("kind", "client_id", "client_name", "authority_version", "kid")
    texts = [cast(events.c[name], Text).label(name) for name in ("delegations", "roles", "detail")]
    wanted = select(*(events.c[name] for name in names), *texts, events.c.jti, events.c.expires_at)
    issued = wanted.where(*which, events.c.kind == EventKind.TOKEN_ISSUED)
    live = issued.where(events.c.expires_at > now).order_by(events.c.expires_at.desc()).limit(MOST + 1)
    latest = live.subquery()
    revoked = is_revoked(latest.c.jti, latest.c.authority_version).label("revoked")
    looked_up = select(latest, revoked).subquery().c
    alike = [looked_up[name] for name in (*names, "delegations", "roles", "detail", "revoked")]
    number, until = func.count().label("number"), func.max(looked_up.expires_at).label("until")
    alike_ones: Select[Any] = select(*alike, number, until).group_by(*alike)
    rows = readable(tx.connection, alike_ones)
    groups = _united(filter(None, map(_alike, rows)))
    return TokenGroups(tokens=tuple(groups), more=sum(row.number for row in rows) > MOST)


def _united(groups: Iterable[TokenGroup]) -> Collection[TokenGroup]:
    """Unite the groups that differ only in something that `TokenGroup` does not have, such as the actions."""
    united: dict[TokenGroup, TokenGroup] = {}
    for each in groups:
        key = replace(each, count=0, until=_NO_TIME)
        other = united.get(key, key)
        united[key] = replace(each, count=other.count + each.count, until=max(other.until, each.until))
    return united.values()


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
