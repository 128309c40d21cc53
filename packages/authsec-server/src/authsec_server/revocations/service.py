"""The verbs of ending."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from authsec_server.db import Tx
from authsec_server.db.database import Access
from authsec_server.revocations import store
from authsec_server.revocations.model import Revocation, SubjectKind


def end(tx: Tx, kind: SubjectKind, subject_id: str, now: datetime) -> Revocation:
    """End all tokens of the subject that were decided before this change. Only inside a `change`."""
    if tx.access is not Access.CHANGE:
        raise RuntimeError("a revocation outside the exclusive authority lock would have no order")
    revocation = Revocation(
        sequence=store.last_sequence(tx.connection) + 1,
        subject_kind=kind,
        subject_id=subject_id,
        version=tx.version,
        at=now,
    )
    store.add(tx.connection, revocation)
    return revocation


def since(tx: Tx, sequence: int, limit: int = 500) -> list[Revocation]:
    """The feed after `sequence`, in order."""
    return store.since(tx.connection, sequence, limit)


def after(tx: Tx, subject_ids: Collection[str], version: int) -> list[Revocation]:
    """What has ended any of these, whatever kind they are (a role by its slug), above that version; in order."""
    return store.after(tx.connection, subject_ids, version)


def last_versions(tx: Tx, subject_ids: Collection[str]) -> dict[str, int]:
    """For each of these clients, delegations (by id) and roles (by slug): below which version its tokens have ended."""
    return store.last_versions(tx.connection, subject_ids)
