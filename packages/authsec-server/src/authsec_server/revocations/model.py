"""What can end, and how an ending is written down. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256


class SubjectKind(StrEnum):
    """What a revocation is about."""

    CLIENT = "client"
    DELEGATION = "delegation"
    ROLE = "role"  # its subject is the slug, which is how tokens name roles; of all others it is the id
    PROOF = "proof"
    TRUSTED_ISSUER = "source"  # what the feed and the claim `attestation.source` call it: that form is frozen
    KEY = "key"
    TOKEN = "token"  # noqa: S105 - a kind's name


Subject = tuple[SubjectKind, str]


def rests_on(
    *,
    client: str,
    delegations: Collection[str],
    roles: Collection[str],
    proof: str,
    trusted_issuer: str,
    kid: str,
    jti: str = "",
) -> frozenset[Subject]:
    """All whose end is the end of a token; roles by their slugs. What is not known of it is empty."""
    its = {
        SubjectKind.CLIENT: [client],
        SubjectKind.DELEGATION: delegations,
        SubjectKind.ROLE: roles,
        SubjectKind.PROOF: [proof],
        SubjectKind.TRUSTED_ISSUER: [trusted_issuer],
        SubjectKind.KEY: [kid],
        SubjectKind.TOKEN: [jti],
    }
    return frozenset((kind, id_) for kind, ids in its.items() for id_ in ids if id_)


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Ends every token of the subject whose `authority_version` is below `version`. Re-enabling revives none."""

    sequence: int
    subject_kind: SubjectKind
    subject_id: str
    version: int
    at: datetime

    @property
    def subject(self) -> Subject:
        """What has ended. An id alone would not say: a role may be called as something else is numbered."""
        return self.subject_kind, self.subject_id

    @property
    def published_subject(self) -> str:
        """The subject as everybody may read it: an id is random and tells nothing, a role's name would."""
        if self.subject_kind is SubjectKind.ROLE:
            return sha256(self.subject_id.encode()).hexdigest()
        return self.subject_id


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPage:
    """What the feed has after `since`, in order and with nothing left out up to `through`; more follows below `last`.

    A `snapshot` holds the newest entry of each subject up to `through` instead, whatever was asked for. `follows` is
    entry number `since`; None for 0, and for a snapshot, which follows nothing.
    """

    since: int
    follows: Revocation | None
    through: int
    last: int
    snapshot: bool
    entries: tuple[Revocation, ...]
