"""Which of the tokens in the journal have been revoked since, and when."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from authsec_server.audit.model import Event, EventKind, Recorded
from authsec_server.db import Tx
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import Revocation, Subject, SubjectKind, rests_on
from authsec_server.roles import service as roles


def revoked(tx: Tx, recorded: Iterable[Recorded]) -> dict[int, datetime]:
    """When each of these issued tokens was revoked, by its event's number; without those that ran to their end.

    A token is one of all that it rests on: the end of any of it has ended the token. What ended after the token tells
    nothing about it, but for its own end: somebody wanted that for the sake of clocks that differ.
    """
    issued = [each for each in recorded if each.event.kind is EventKind.TOKEN_ISSUED]
    slugs = {
        id_: role.slug for id_, role in roles.by_ids(tx, {role.id for it in issued for role in it.event.roles}).items()
    }
    subjects = {it.id: _subjects(it.event, slugs) for it in issued}
    oldest = min((it.event.authority_version or 0 for it in issued), default=0)
    found = revocations.after(tx, frozenset().union(*subjects.values()), oldest) if issued else []
    ended: dict[int, datetime] = {}
    for it in issued:
        its_own = (each for each in found if each.subject in subjects[it.id] and _ends(each, it.event))
        if first := next(its_own, None):
            ended[it.id] = first.at
    return ended


def _ends(revocation: Revocation, issued: Event) -> bool:
    if revocation.version <= (issued.authority_version or 0):
        return False
    in_time = issued.expires_at is None or revocation.at < issued.expires_at
    return in_time or revocation.subject_kind is SubjectKind.TOKEN


def _subjects(event: Event, slugs: dict[str, str]) -> frozenset[Subject]:
    source = event.detail.get("source")
    return rests_on(
        client=event.client.id if event.client else "",
        delegations=[each.id for each in event.delegations],
        roles=[slugs.get(each.id, "") for each in event.roles],
        proof=event.detail.get("proof_id") or "",
        source=(source.get("id") or "") if isinstance(source, dict) else "",
        kid=event.kid,
        jti=event.jti,
    )
