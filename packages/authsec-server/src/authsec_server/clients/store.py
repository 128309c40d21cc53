"""The tables of clients, of their proofs and of unused enrolment codes.

A code is stored as a hash, and deleted when a machine uses the code.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    ForeignKey,
    Index,
    Integer,
    Row,
    Select,
    String,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    not_,
    select,
    true,
    update,
)

from authsec_server.audit.model import Named
from authsec_server.clients.enrolment import Enrolment
from authsec_server.clients.model import Client, Proof, Selector
from authsec_server.db import rows
from authsec_server.db.matching import in_batches
from authsec_server.db.schema import Instant, metadata
from authsec_server.naming import folded

# Both databases sort by code point, so that the cursor of a page does not depend on the locale.
Sorted = Text().with_variant(Text(collation="C"), "postgresql")

clients = Table(
    "clients",
    metadata,
    Column("id", String(36), primary_key=True),  # the client_id
    Column("slug", String(63), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("kind", String(20), nullable=False),  # ai_agent | mcp_server
    Column("platform", String(20), nullable=False),
    Column("owner", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("revision", Integer, nullable=False, server_default="1"),
    Column("changed_at", Instant),
    Column("changed_by", Text),
    # The columns below are computed from the columns above and the proofs. Lists sort and filter by them.
    Column("sort_name", Sorted, nullable=False, server_default=""),
    Column("sort_owner", Sorted, nullable=False, server_default=""),
    Column("provable_until", Instant),
    Column("unattested_until", Instant),
)

# One index for each order of the list. Each index has all filtered columns: a search for few of 100,000 clients reads
# only the index.
_FILTERED = [clients.c[name] for name in ("slug", "kind", "platform", "enabled", "provable_until", "unattested_until")]
Index("ix_clients_by_name", clients.c.sort_name, clients.c.id, clients.c.sort_owner, *_FILTERED)
Index("ix_clients_by_owner", clients.c.sort_owner, clients.c.sort_name, clients.c.id, *_FILTERED, clients.c.owner)
Index(
    "ix_clients_by_creation", clients.c.created_at, clients.c.id, clients.c.sort_name, clients.c.sort_owner, *_FILTERED
)

client_labels = Table(  # a copy of the labels, for the filters of lists
    "client_labels",
    metadata,
    Column("client_id", String(36), ForeignKey("clients.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("value", Text, nullable=False),
    Index("ix_client_labels_name_value", "name", "value", "client_id"),
)

proofs = Table(
    "proofs",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("client_id", String(36), ForeignKey("clients.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("kind", String(20), nullable=False),  # selectors | key_pair | secret | unattested
    Column("trusted_issuer_id", String(36), ForeignKey("trusted_issuers.id"), index=True),
    # Computed, for lists: whether the trusted issuer can prove the proof. Token requests read the trusted issuer.
    Column("trusted_issuer_enabled", Boolean, nullable=False, server_default=true()),
    Column("selectors", JSON, nullable=False),  # [[key, value], …], in the order given
    Column("public_key", JSON(none_as_null=True)),  # a JWK (RFC 7517)
    Column("thumbprint", String(43)),  # its RFC 7638 thumbprint
    Column("secret_sha256", String(64)),  # the secret itself is shown once, and never stored
    Column("enrolled_by", Text),  # for an enrolled key: the maker of the code
    Column("machine", Text),  # for an enrolled key: the name that the machine reports
    Column("expires_at", Instant),
    Column("created_at", Instant, nullable=False),
    Index("ix_proofs_kind", "kind", "expires_at", "client_id"),  # finds clients with a valid proof of a rare kind
    Index("uq_proofs_thumbprint", "thumbprint", unique=True),  # one key, one client
)


def add(connection: Connection, client: Client) -> None:
    """Insert the client with its labels and proofs."""
    connection.execute(insert(clients), _row_of(client))
    _add_labels(connection, client.id, client.labels)
    connection.execute(insert(proofs), [_row_of_proof(proof) for proof in client.proofs])


def save(connection: Connection, client: Client) -> None:
    """Update the row of the client. Other functions write the labels and the proofs."""
    connection.execute(update(clients).where(clients.c.id == client.id), _row_of(client))


def save_labels(connection: Connection, client: Client) -> None:
    """Replace the label rows of the client. Lists filter clients by these rows."""
    connection.execute(delete(client_labels).where(client_labels.c.client_id == client.id))
    _add_labels(connection, client.id, client.labels)


def disable(connection: Connection, ids: Collection[str], *, at: datetime, by: str) -> None:
    """Disable the clients and increase their revisions. A client that is disabled keeps the time and the author."""
    those, following = update(clients).where(clients.c.id.in_(ids)), {"revision": clients.c.revision + 1}
    connection.execute(those.where(not_(clients.c.enabled)).values(following))
    first = {"enabled": False, "changed_at": at, "changed_by": by}
    connection.execute(those.where(clients.c.enabled).values(following | first))


def remove(connection: Connection, client_id: str) -> None:
    """Delete the client, with its labels and proofs."""
    connection.execute(delete(clients).where(clients.c.id == client_id))


def add_proof(connection: Connection, proof: Proof) -> None:
    """Insert one further proof."""
    connection.execute(insert(proofs), _row_of_proof(proof))


def remove_proof(connection: Connection, proof_id: str) -> None:
    """Delete the proof."""
    connection.execute(delete(proofs).where(proofs.c.id == proof_id))


def set_end(connection: Connection, proof: Proof) -> None:
    """Update the expiry of the proof."""
    connection.execute(update(proofs).where(proofs.c.id == proof.id).values(expires_at=proof.expires_at))


def by_ids(connection: Connection, ids: Collection[str]) -> dict[str, Client]:
    """Return the clients with these ids, by id. Unknown ids are left out.

    Two SQL statements load any number of clients.
    """
    found = connection.execute(_BY_IDS, {"ids": [*ids]}).all()
    return {client.id: client for client in _with_proofs(connection, found)}


def names(connection: Connection, ids: Collection[str]) -> dict[str, str]:
    """Return the names of the clients with these ids, by id. Unknown ids are left out."""
    statement = select(clients.c.id, clients.c.name)
    return {
        id_: name
        for some in in_batches(ids)
        for id_, name in connection.execute(statement.where(clients.c.id.in_(some)))
    }


def ids_near(connection: Connection, slug: str, point: str) -> tuple[list[str], str | None]:
    """Return the ids of the clients with this slug, and the first id from `point` on, in a circle.

    The statements are the same whether a client has the slug or not.
    """
    named = [*connection.scalars(_IDS_OF_SLUG, {"slug": slug})]
    return named, connection.scalar(_NEXT_ID, {"point": point})


def holder_of_key(connection: Connection, thumbprint: str) -> Client | None:
    """Return the client that has a proof with this key."""
    holders = select(proofs.c.client_id).where(proofs.c.thumbprint == thumbprint)
    return next(iter(loaded(connection, select(clients).where(clients.c.id.in_(holders)))), None)


def loaded(connection: Connection, statement: Select[Any]) -> list[Client]:
    return _with_proofs(connection, connection.execute(statement).all())


# Made once: token requests wait for these statements, and to make one takes as long as to execute it.
_BY_IDS: Final = select(clients).where(clients.c.id.in_(bindparam("ids", expanding=True)))
_IDS_OF_SLUG: Final = select(clients.c.id).where(clients.c.slug == bindparam("slug")).limit(2)
_FIRST_ID: Final = select(clients.c.id).order_by(clients.c.id).limit(1)
_NEXT_ID: Final = select(
    func.coalesce(_FIRST_ID.where(clients.c.id >= bindparam("point")).scalar_subquery(), _FIRST_ID.scalar_subquery())
)
_PROOFS: Final = (
    select(proofs)
    .where(proofs.c.client_id.in_(bindparam("ids", expanding=True)))
    .order_by(proofs.c.created_at, proofs.c.id)
)


def _with_proofs(connection: Connection, found: Sequence[Row[Any]]) -> list[Client]:
    held: dict[str, list[Proof]] = {row.id: [] for row in found}
    if held:
        for row in connection.execute(_PROOFS, {"ids": [*held]}):
            held[row.client_id].append(proof_of(row))
    return [rows.read(Client, row, proofs=tuple(held[row.id])) for row in found]


def proof_of(row: Row[Any]) -> Proof:
    """Convert a row of the table `proofs` to a `Proof`."""
    return rows.read(Proof, row, selectors=tuple(Selector(key=key, value=value) for key, value in row.selectors))


def _row_of(client: Client) -> dict[str, Any]:
    derived = {
        "sort_name": folded(client.name),
        "sort_owner": folded(client.owner),
        "provable_until": client.provable_until,
        "unattested_until": client.unattested_until,
    }
    return rows.write(clients, client, **derived)


def _row_of_proof(proof: Proof) -> dict[str, Any]:
    return rows.write(proofs, proof, selectors=[[selector.key, selector.value] for selector in proof.selectors])


def _add_labels(connection: Connection, client_id: str, labels: Mapping[str, str]) -> None:
    its = [{"client_id": client_id, "name": name, "value": value} for name, value in labels.items()]
    if its:
        connection.execute(insert(client_labels), its)


CODES_AT_ONCE = 10_000  # that one statement deletes
enrolments = Table(
    "enrolments",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("client_id", String(36), ForeignKey("clients.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("code_sha256", String(64), nullable=False, unique=True),
    Column("hours", Integer, nullable=False),
    Column("made_by_kind", String(20), nullable=False),
    Column("made_by_id", String(36), nullable=False),  # empty for the local operator
    Column("made_by_name", Text, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
)


def add_enrolment(connection: Connection, enrolment: Enrolment, code_sha256: str) -> None:
    """Insert the enrolment."""
    made_by = {"made_by_id": enrolment.made_by.id, "made_by_name": enrolment.made_by.name}
    connection.execute(insert(enrolments), rows.write(enrolments, enrolment, code_sha256=code_sha256, **made_by))


def enrolment_by_hash(connection: Connection, code_sha256: str) -> Enrolment | None:
    """Return the enrolment by the hash of its code, even if the code has expired."""
    row = connection.execute(select(enrolments).where(enrolments.c.code_sha256 == code_sha256)).first()
    return None if row is None else _enrolment(row)


def enrolments_of(connection: Connection, client_id: str, now: datetime) -> list[Enrolment]:
    """List the client's codes that have not expired, oldest first."""
    can_be_used = select(enrolments).where(enrolments.c.client_id == client_id, enrolments.c.expires_at > now)
    oldest_first = can_be_used.order_by(enrolments.c.created_at, enrolments.c.id)
    return [_enrolment(row) for row in connection.execute(oldest_first)]


def remove_enrolment(connection: Connection, enrolment_id: str) -> bool:
    """Delete the code. Return False if the code was deleted before.

    If two machines use a code at the same time, only one of them gets True.
    """
    return connection.execute(delete(enrolments).where(enrolments.c.id == enrolment_id)).rowcount == 1


def end_enrolments(connection: Connection, client_ids: Collection[str]) -> None:
    """Delete codes of these disabled clients, at most `CODES_AT_ONCE` of them. `forget_enrolments` deletes the others.

    The attack: raw SQL inserts very many codes, so that the change takes too long. No code of a disabled client is
    valid.
    """
    _delete_enrolments(connection, enrolments.c.client_id.in_(client_ids))


def has_enrolments(connection: Connection, client_id: str) -> bool:
    """Whether the client has a code, also one that has expired."""
    codes = select(enrolments.c.id).where(enrolments.c.client_id == client_id)
    return connection.execute(codes.limit(1)).first() is not None


def remove_all_enrolments(connection: Connection) -> None:
    """Delete every code."""
    connection.execute(delete(enrolments))


def forget_enrolments(connection: Connection, now: datetime) -> None:
    """Delete codes that have expired or are of disabled clients, at most `CODES_AT_ONCE` of each."""
    _delete_enrolments(connection, enrolments.c.expires_at <= now)
    disabled = select(clients.c.id).where(~clients.c.enabled)
    _delete_enrolments(connection, enrolments.c.client_id.in_(disabled))


def _delete_enrolments(connection: Connection, which: ColumnElement[bool]) -> None:
    some = select(enrolments.c.id).where(which).limit(CODES_AT_ONCE)
    connection.execute(delete(enrolments).where(enrolments.c.id.in_(some)))


def _enrolment(row: Row[Any]) -> Enrolment:
    return rows.read(Enrolment, row, made_by=Named(id=row.made_by_id, name=row.made_by_name))
