"""The tables of protected APIs, of their actions and of their credentials, and the queries.

Credentials are stored as hashes.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Integer,
    Select,
    String,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    insert,
    or_,
    select,
    update,
)

from authsec_server.apis.model import Action, Api, Credential, Described, Holder
from authsec_server.db import rows
from authsec_server.db.schema import Instant, metadata
from authsec_server.keys.model import Algorithm

apis = Table(
    "apis",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("slug", String(63), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("kind", String(20), nullable=False),  # api | mcp_server
    Column("identifier", Text, nullable=False, unique=True),  # the audience: a URL or a registered name
    Column("description", Text, nullable=False),
    Column("signing_algorithm", String(10), nullable=False, server_default="RS256"),  # RS256 | ES256 | EdDSA
    Column("created_at", Instant, nullable=False),
    Column("revision", Integer, nullable=False, server_default="1"),
    Column("changed_at", Instant),
    Column("changed_by", Text),
)

api_actions = Table(
    "api_actions",
    metadata,
    Column("api_id", String(36), ForeignKey("apis.id", ondelete="CASCADE"), primary_key=True),
    Column("action", String(127), primary_key=True),
    Column("description", Text, nullable=False),
)


def add(connection: Connection, api: Api) -> None:
    """Insert the API and the actions that it describes."""
    connection.execute(insert(apis), rows.write(apis, api))
    _add_actions(connection, api)


def save(connection: Connection, api: Api) -> None:
    """Update the row of the API, and its actions."""
    connection.execute(update(apis).where(apis.c.id == api.id), rows.write(apis, api))
    connection.execute(delete(api_actions).where(api_actions.c.api_id == api.id))
    _add_actions(connection, api)


def remove(connection: Connection, api_id: str) -> None:
    """Delete the API with the actions that it describes."""
    connection.execute(delete(apis).where(apis.c.id == api_id))


def _add_actions(connection: Connection, api: Api) -> None:
    described = [{"api_id": api.id, "action": each.action, "description": each.description} for each in api.actions]
    if described:
        connection.execute(insert(api_actions), described)


def known_as(connection: Connection, *names: str) -> list[Api]:
    """Return the APIs whose slug or identifier is one of `names`."""
    return loaded(connection, select(apis).where(or_(apis.c.slug.in_(names), apis.c.identifier.in_(names))))


def describing(connection: Connection, actions: Collection[str]) -> dict[str, tuple[Described, ...]]:
    """Map each action to the APIs that describe it, with the description of each API. APIs are sorted by slug."""
    joined = select(api_actions, apis.c.name).join(apis, apis.c.id == api_actions.c.api_id).order_by(apis.c.slug)
    found: dict[str, tuple[Described, ...]] = {}
    for row in connection.execute(joined.where(api_actions.c.action.in_(actions))):
        its = Described(api_id=row.api_id, api_name=row.name, description=row.description)
        found[row.action] = (*found.get(row.action, ()), its)
    return found


def described(connection: Connection, among: Collection[str] | None) -> dict[str, str]:
    """Map each described action to its description. `among` limits the actions; None means all.

    If several APIs describe an action, the result has the description of the first API in slug order.
    """
    joined = select(api_actions).join(apis, apis.c.id == api_actions.c.api_id).order_by(apis.c.slug.desc())
    wanted = joined if among is None else joined.where(api_actions.c.action.in_(among))
    return {row.action: row.description for row in connection.execute(wanted)}


def is_any_registered(connection: Connection) -> bool:
    """Return whether any API is registered."""
    return connection.execute(select(apis.c.id).limit(1)).first() is not None


def identifiers(connection: Connection, among: Collection[str] | None) -> frozenset[str]:
    """Return the audiences of the APIs. `among` limits the audiences; None means all."""
    every = select(apis.c.identifier)
    wanted = every if among is None else every.where(apis.c.identifier.in_(among))
    return frozenset(connection.execute(wanted).scalars())


def other_algorithms(connection: Connection, among: Collection[str] | None) -> dict[str, Algorithm]:
    """Map the audiences whose tokens are not signed with RS256 to their algorithms. `among` limits the audiences."""
    found = connection.execute(_OTHERS) if among is None else connection.execute(_SOME_OTHERS, {"among": [*among]})
    return {row.identifier: Algorithm(row.signing_algorithm) for row in found}


# Made once: token requests wait for this statement, and to make it takes as long as to execute it.
_OTHERS: Final = select(apis.c.identifier, apis.c.signing_algorithm).where(apis.c.signing_algorithm != Algorithm.RS256)
_SOME_OTHERS: Final = _OTHERS.where(apis.c.identifier.in_(bindparam("among", expanding=True)))


def signing_algorithms(connection: Connection) -> frozenset[Algorithm]:
    """Return the algorithms of all APIs."""
    return frozenset(map(Algorithm, connection.execute(select(apis.c.signing_algorithm).distinct()).scalars()))


def identifiers_of(connection: Connection, names: Collection[str]) -> dict[str, str]:
    """Map the names that are slugs or identifiers of APIs to the audiences of these APIs."""
    meant = select(apis.c.slug, apis.c.identifier).where(or_(apis.c.slug.in_(names), apis.c.identifier.in_(names)))
    found = {name: row.identifier for row in connection.execute(meant) for name in row}
    return {name: found[name] for name in names if name in found}


def loaded(connection: Connection, statement: Select[Any]) -> list[Api]:
    found = connection.execute(statement).all()
    held: dict[str, list[Action]] = {row.id: [] for row in found}
    if held:
        for row in connection.execute(select(api_actions).where(api_actions.c.api_id.in_(held))):
            held[row.api_id].append(Action(action=row.action, description=row.description))
    return [rows.read(Api, row, actions=tuple(sorted(held[row.id], key=lambda each: each.action))) for row in found]


api_credentials = Table(
    "api_credentials",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("api_id", String(36), ForeignKey("apis.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("name", Text, nullable=False),
    Column("secret_sha256", String(64), nullable=False, unique=True),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant),
    Column("last_used_at", Instant),
    Column("revoked_at", Instant),
)
_columns = api_credentials.c


def add_credential(connection: Connection, credential: Credential, secret_sha256: str) -> None:
    """Insert the credential."""
    connection.execute(insert(api_credentials), rows.write(api_credentials, credential, secret_sha256=secret_sha256))


def set_credential_revoked(connection: Connection, credential_id: str, now: datetime) -> None:
    """Save the time of the revocation."""
    connection.execute(update(api_credentials).where(_columns.id == credential_id).values(revoked_at=now))


def set_credential_used(connection: Connection, credential_id: str, now: datetime, *, at_most_every: timedelta) -> None:
    """Save the time of the last use, at most once in each period of `at_most_every`."""
    due = or_(_columns.last_used_at.is_(None), _columns.last_used_at <= now - at_most_every)
    connection.execute(update(api_credentials).where(_columns.id == credential_id, due).values(last_used_at=now))


def credentials_of(connection: Connection, api_id: str) -> list[Credential]:
    """Return the API's credentials, the oldest first, including expired and revoked credentials."""
    held = select(api_credentials).where(_columns.api_id == api_id).order_by(_columns.created_at, _columns.id)
    return [rows.read(Credential, row) for row in connection.execute(held)]


def credential_by_hash(connection: Connection, secret_sha256: str) -> Holder | None:
    """Return the API and the credential with this hash, even if the credential is expired or revoked."""
    its = apis.c
    row = connection.execute(
        select(api_credentials, its.slug, its.name.label("api_name"), its.identifier)
        .join(apis, its.id == _columns.api_id)
        .where(_columns.secret_sha256 == secret_sha256)
    ).first()
    if row is None:
        return None
    return rows.read(Holder, row, name=row.api_name, credential=rows.read(Credential, row))


def forget_credentials(connection: Connection, api_id: str, ended_before: datetime) -> None:
    """Delete the API's credentials that expired or were revoked before `ended_before`."""
    ended = or_(
        _columns.revoked_at < ended_before, and_(_columns.expires_at.is_not(None), _columns.expires_at < ended_before)
    )
    connection.execute(delete(api_credentials).where(_columns.api_id == api_id, ended))
