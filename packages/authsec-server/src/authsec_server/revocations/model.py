"""The subjects of revocations, and the entries of the feed. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256


class SubjectKind(StrEnum):
    """The kind of subject that a revocation ends."""

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
    """Return every subject whose revocation revokes the token. Roles are given by slug.

    The caller passes an empty text for an unknown id, and the result leaves such ids out.
    """
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
    """Revokes every token of the subject with an `authority_version` below `version`.

    A subject that is enabled again does not revive a revoked token.
    """

    sequence: int
    subject_kind: SubjectKind
    subject_id: str
    version: int
    at: datetime

    @property
    def subject(self) -> Subject:
        """Return the kind and the id of the revoked subject.

        The id alone is ambiguous: the slug of a role may equal the id of another subject.
        """
        return self.subject_kind, self.subject_id

    @property
    def published_subject(self) -> str:
        """Return the subject in its public form: the hash of a role's slug, else the id.

        A slug would disclose the role's name. An id is random and discloses nothing.
        """
        if self.subject_kind is SubjectKind.ROLE:
            return sha256(self.subject_id.encode()).hexdigest()
        return self.subject_id


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPage:
    """All entries after `since` up to `through`, in order. More entries follow if `through` is below `last`.

    A `snapshot` has the newest entry of each subject up to `through` instead, whatever `since` is. `follows` is
    the entry with the number `since`; it is None for 0 and for a snapshot.
    """

    since: int
    follows: Revocation | None
    through: int
    last: int
    snapshot: bool
    entries: tuple[Revocation, ...]
