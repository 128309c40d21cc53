"""What can end, and how an ending is written down. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class SubjectKind(StrEnum):
    """What a revocation is about."""

    CLIENT = "client"
    DELEGATION = "delegation"
    ROLE = "role"  # its subject is the slug, which is how tokens name roles; of all others it is the id
    PROOF = "proof"
    SOURCE = "source"
    KEY = "key"
    TOKEN = "token"  # noqa: S105 - a kind's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Ends every token of the subject whose `authority_version` is below `version`. Re-enabling revives none."""

    sequence: int
    subject_kind: SubjectKind
    subject_id: str
    version: int
    at: datetime
