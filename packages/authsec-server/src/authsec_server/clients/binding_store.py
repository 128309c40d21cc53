"""SQL for the proofs of a trusted issuer, and for selector proofs that have no trusted issuer yet.

Each call handles many proofs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    ScalarSelect,
    Select,
    Text,
    Update,
    and_,
    cast,
    delete,
    func,
    literal,
    not_,
    or_,
    select,
    update,
)

from authsec_server.audit.model import Named
from authsec_server.clients import store
from authsec_server.clients.model import CHECKED, NEVER, Client, Proof, ProofKind
from authsec_server.clients.store import clients, proof_of, proofs
from authsec_server.db.matching import in_batches
from authsec_server.db.schema import Instant
from authsec_server.issuers.model import TrustedIssuer

_SELECTORS = proofs.c.kind == ProofKind.SELECTORS
_PROVABLE = and_(_SELECTORS, proofs.c.trusted_issuer_id.is_not(None), proofs.c.trusted_issuer_enabled)
_CHECKABLE = or_(proofs.c.kind.in_(CHECKED), _PROVABLE)  # the same rule as `Proof.checkable`


def without_trusted_issuer(connection: Connection) -> list[tuple[Named, Proof]]:
    """List the selector proofs without a trusted issuer, each with its client, in order of client names."""
    return _with_clients(connection, and_(_SELECTORS, proofs.c.trusted_issuer_id.is_(None)))


def of_trusted_issuer(
    connection: Connection, trusted_issuer_id: str, limit: int | None = None
) -> list[tuple[Named, Proof]]:
    """List the proofs of the trusted issuer, each with its client, in order of client names."""
    return _with_clients(connection, proofs.c.trusted_issuer_id == trusted_issuer_id, limit)


def of_trusted_issuer_with(connection: Connection, trusted_issuer_id: str, value: str) -> list[tuple[Named, Proof]]:
    """List the trusted issuer's proofs whose stored selectors contain the text `value`."""
    holds = cast(proofs.c.selectors, Text).contains(value, autoescape=True)
    return _with_clients(connection, and_(_SELECTORS, proofs.c.trusted_issuer_id == trusted_issuer_id, holds))


def by_ids(connection: Connection, ids: Sequence[str]) -> list[tuple[Named, Proof]]:
    """List the proofs with these ids, each with its client. Unknown ids are left out."""
    return [each for some in in_batches(ids) for each in _with_clients(connection, proofs.c.id.in_(some))]


def load(connection: Connection, client_ids: Sequence[str]) -> list[Client]:
    """Load any number of clients, in batches."""
    return [client for some in in_batches(client_ids) for client in store.by_ids(connection, some).values()]


def holders(connection: Connection, trusted_issuer_id: str, limit: int) -> list[str]:
    """Return the ids of at most `limit` clients that have proofs of this trusted issuer."""
    found = select(proofs.c.client_id).where(proofs.c.trusted_issuer_id == trusted_issuer_id).distinct().limit(limit)
    return list(connection.execute(found).scalars())


def counts(connection: Connection, trusted_issuer_id: str) -> tuple[int, int]:
    """Count the trusted issuer's proofs, and the clients that have these proofs. Return both numbers."""
    counted = select(func.count(), func.count(proofs.c.client_id.distinct())).where(
        proofs.c.trusted_issuer_id == trusted_issuer_id
    )
    held, holders = connection.execute(counted).one()
    return held, holders


def set_trusted_issuer(connection: Connection, proof_ids: Sequence[str], trusted_issuer: TrustedIssuer) -> None:
    """Bind these proofs to the trusted issuer."""
    for some in in_batches(proof_ids):
        bound = {"trusted_issuer_id": trusted_issuer.id, "trusted_issuer_enabled": trusted_issuer.enabled}
        connection.execute(update(proofs).where(proofs.c.id.in_(some)).values(bound))


def update_issuer_state(connection: Connection, trusted_issuer: TrustedIssuer, *, unable: Sequence[str] = ()) -> None:
    """Store for each of the issuer's proofs whether the issuer is enabled and can prove the selectors.

    `unable` are the ids of proofs that the trusted issuer cannot prove, even if the issuer is enabled. The
    client columns that lists use are computed again. A few SQL statements update any number of proofs.
    """
    of_trusted_issuer = proofs.c.trusted_issuer_id == trusted_issuer.id
    outdated = and_(of_trusted_issuer, proofs.c.trusted_issuer_enabled.is_not(trusted_issuer.enabled))
    noted = connection.execute(
        update(proofs).where(outdated).values(trusted_issuer_enabled=trusted_issuer.enabled)
    ).rowcount
    for some in in_batches(unable):
        connection.execute(
            update(proofs).where(of_trusted_issuer, proofs.c.id.in_(some)).values(trusted_issuer_enabled=False)
        )
    if noted or unable:
        connection.execute(_derived(clients.c.id.in_(_holders(trusted_issuer.id))))


def revise(connection: Connection, client_ids: Sequence[str], *, at: datetime, by: str) -> None:
    """Increase the revision of these clients, because their proofs have changed.

    The client columns that lists use are computed again.
    """
    following = {"revision": clients.c.revision + 1, "changed_at": at, "changed_by": by}
    for some in in_batches(client_ids):
        connection.execute(_derived(clients.c.id.in_(some)).values(following))


def remove(connection: Connection, proof_ids: Sequence[str]) -> None:
    """Delete these proofs."""
    for some in in_batches(proof_ids):
        connection.execute(delete(proofs).where(proofs.c.id.in_(some)))


def show_as(connection: Connection, changed: Collection[Client]) -> None:
    """Store the platform of each of these clients."""
    for platform in {client.platform for client in changed}:
        ids = [client.id for client in changed if client.platform is platform]
        for some in in_batches(ids):
            connection.execute(update(clients).where(clients.c.id.in_(some)).values(platform=platform))


def stranded(connection: Connection, trusted_issuer_id: str, now: datetime, limit: int) -> list[Named]:
    """List the clients that can authenticate now, but only by proofs of this trusted issuer.

    The list is in order of client names.
    """
    lets_in = and_(_CHECKABLE, or_(proofs.c.expires_at.is_(None), proofs.c.expires_at > now))
    trusted_issuer = func.coalesce(proofs.c.trusted_issuer_id, "")
    alone = (  # one grouped query: a subquery for each client would read all proofs of the issuer each time
        select(proofs.c.client_id)
        .where(proofs.c.client_id.in_(_holders(trusted_issuer_id)), lets_in)
        .group_by(proofs.c.client_id)
        .having(func.min(trusted_issuer) == trusted_issuer_id, func.max(trusted_issuer) == trusted_issuer_id)
    )
    unattested = func.coalesce(clients.c.unattested_until > now, False)
    wanted = select(clients.c.id, clients.c.name).where(clients.c.id.in_(alone), not_(unattested))
    wanted = wanted.order_by(clients.c.sort_name, clients.c.id).limit(limit)
    return [Named(id=row.id, name=row.name) for row in connection.execute(wanted)]


def _with_clients(
    connection: Connection, condition: ColumnElement[bool], limit: int | None = None
) -> list[tuple[Named, Proof]]:
    wanted = (
        select(proofs, clients.c.name.label("client_name"))
        .join(clients, clients.c.id == proofs.c.client_id)
        .where(condition)
        .order_by(clients.c.sort_name, clients.c.id, proofs.c.created_at, proofs.c.id)
        .limit(limit)
    )
    rows = connection.execute(wanted)
    return [(Named(id=row.client_id, name=row.client_name), proof_of(row)) for row in rows]


def _derived(which: ColumnElement[bool]) -> Update:
    return update(clients).where(which).values(provable_until=_provable_until())


def _provable_until() -> ScalarSelect[datetime | None]:
    """Return SQL that computes `Client.provable_until`."""
    end = func.max(func.coalesce(proofs.c.expires_at, literal(NEVER, Instant)))
    return select(end).where(proofs.c.client_id == clients.c.id, _CHECKABLE).correlate(clients).scalar_subquery()


def _holders(trusted_issuer_id: str) -> Select[tuple[str]]:
    return select(proofs.c.client_id).where(proofs.c.trusted_issuer_id == trusted_issuer_id)
