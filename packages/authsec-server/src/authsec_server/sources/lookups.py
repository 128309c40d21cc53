"""What a cluster is asked beyond its tokens, and how that went. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class LookupUnavailable(Exception):
    """A cluster cannot be asked now, so nothing is proved by it. For the operator, not for callers."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Lookup(StrEnum):
    """What is asked of a cluster's API server."""

    TOKEN_REVIEW = "token_review"  # noqa: S105 - the name of a question
    POD_LOOKUP = "pod_lookup"

    @property
    def shown(self) -> str:
        """Its name for people."""
        return {"token_review": "Token review", "pod_lookup": "Pod look-up"}[self.value]

    @property
    def permission(self) -> str:
        """What the cluster has to permit for it, as a verb and its object."""
        return {"token_review": "create tokenreviews", "pod_lookup": "get pods"}[self.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class LookupState:
    """When the cluster answered last, and when it last did not and why, in a clause; None and empty for never."""

    answered_at: datetime | None = None
    failed_at: datetime | None = None
    failure: str = ""

    @property
    def failing(self) -> bool:
        """Whether the last try failed."""
        return self.failed_at is not None and (self.answered_at is None or self.answered_at < self.failed_at)
