"""Find the clients that a workload may be, among all proofs of a trusted issuer."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

from sqlalchemy import JSON, ColumnElement, Connection, Text, and_, cast, column, exists, func, not_, or_, select

from authsec_server.clients import store
from authsec_server.clients.model import Client, ProofKind, Selector
from authsec_server.clients.store import clients, proofs
from authsec_server.db import Tx
from authsec_server.issuers.model import TrustedIssuer, TrustedIssuerKind

MOST: Final = 20  # clients: two are too many already, but the operator gets a list


def candidates(
    tx: Tx, trusted_issuer: TrustedIssuer, selectors: Collection[Selector], *, own_id: str, now: datetime
) -> list[Client]:
    """Return at most `MOST` clients, enabled ones first. The caller must compare their proofs with the workload.

    Each client has an unexpired proof of the trusted issuer, and the proof has no selectors beside these. In a trust
    domain, SPIRE has checked the other selectors of a proof. There, the proof has one of these selectors, or its client
    has the id `own_id`.

    The database reads all proofs of the trusted issuer. The statement checks no permission: token requests use it.
    """
    connection = tx.connection
    if trusted_issuer.kind is TrustedIssuerKind.SPIFFE:
        fits = or_(_some_selector(connection, selectors), clients.c.id == own_id)
    else:
        fits = and_(cast(proofs.c.selectors, Text) != "[]", not_(_some_selector(connection, selectors, others=True)))
    found = (
        select(clients.c.id, clients.c.enabled, clients.c.sort_name)
        .distinct()
        .join(proofs, proofs.c.client_id == clients.c.id)
        .where(
            proofs.c.trusted_issuer_id == trusted_issuer.id,
            proofs.c.kind == ProofKind.SELECTORS,
            or_(proofs.c.expires_at.is_(None), proofs.c.expires_at > now),
            fits,
        )
        .order_by(clients.c.enabled.desc(), clients.c.sort_name, clients.c.id)
        .limit(MOST)
    )
    ids = [row.id for row in connection.execute(found)]
    loaded = store.by_ids(connection, ids)
    return [loaded[id_] for id_ in ids]


def _some_selector(
    connection: Connection, selectors: Collection[Selector], *, others: bool = False
) -> ColumnElement[bool]:
    """Return the condition that a proof has one of these selectors; with `others`, one beside them."""
    read = func.json_array_elements if connection.dialect.name == "postgresql" else func.json_each
    its = read(proofs.c.selectors).table_valued(column("value", JSON))
    named = its.c.value[0].as_string() + "=" + its.c.value[1].as_string()
    among = named.in_([f"{each.key}={each.value}" for each in selectors])
    return exists(select(1).select_from(its).where(not_(among) if others else among).correlate(proofs))
