"""The subjects of revocations, and the entries of the feed. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256


class SubjectKind(StrEnum):
    """The kind of a revocation's subject. A revocation of the subject revokes the tokens that depend on the subject."""

    CLIENT = "client"
    DELEGATION = "delegation"
    ROLE = "role"  # its subject is the slug, which is how tokens name roles; of all others it is the id
    PROOF = "proof"
    TRUSTED_ISSUER = "source"  # what the feed and the claim `attestation.source` call it: that form is frozen
    KEY = "key"
    TOKEN = "token"  # noqa: S105 - a kind's name


Subject = tuple[SubjectKind, str]


def subjects_of_token(
    *,
    client: str,
    delegations: Collection[str],
    roles: Collection[str],
    proof: str,
    trusted_issuer: str,
    kid: str,
    jti: str = "",
) -> frozenset[Subject]:
    """Return every subject whose revocation revokes the token. Roles are identified by slug.

    Pass an empty text for an unknown id. The result leaves empty ids out.
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
    """An entry of the feed. It revokes every token of the subject with an `authority_version` below `version`.

    A revoked token stays revoked, even if the subject is enabled again.
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
        """Return the subject as the feed publishes it: for a role the hash of its slug, otherwise the id.

        A slug would disclose the role's name. An id is random and discloses nothing.
        """
        if self.subject_kind is SubjectKind.ROLE:
            return sha256(self.subject_id.encode()).hexdigest()
        return self.subject_id


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPage:
    """A page of the feed: all entries after `since` up to `through`, in order.

    If `through` is below `last`, more entries follow.
    If `snapshot` is true, the page instead has the newest entry of each subject, and `since` is ignored.
    `follows` is the entry with the number `since`. It is None if `since` is 0, and for a snapshot.
    """

    since: int
    follows: Revocation | None
    through: int
    last: int
    snapshot: bool
    entries: tuple[Revocation, ...]
