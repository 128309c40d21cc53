"""The JSON of a trust delegation's values, in requests, documents and answers."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from typing_extensions import TypedDict  # as in `web.paging`

from authsec_server.delegations.model import Proposal
from authsec_server.web.bodies import LEFT_OUT, Body, Changes, changes_of
from authsec_server.web.instants import parse_instant


class DelegationDescription(TypedDict):
    """The fields that describe a delegation, as an answer contains them."""

    owner: str
    description: str


class DelegationBody(Body):
    """The optional fields of a delegation, as a request or document contains them."""

    audiences: list[str] = Field(default_factory=list, description="The APIs, each by its slug or its audience.")
    excluded_proofs: list[str] = Field(default_factory=list)
    ends_at: str | None = Field(default=None, description="RFC 3339, e.g. 2026-12-31T18:00:00Z")
    owner: str | None = Field(
        default=None,
        description="If omitted, an edit keeps the owner. A new delegation then belongs to the person who creates it.",
    )
    description: str = ""


class NewDelegation(DelegationBody):
    """Request to create a trust delegation; see `Proposal`. `ends_at` is RFC 3339, `max_duration` in seconds."""

    role: str
    client: str
    target_type: str
    max_duration: int
    actions: list[str] = Field(default_factory=list)
    all_actions: bool = False
    slug: str | None = None

    def proposal(self) -> Proposal:
        """Return the request as a `Proposal`."""
        return Proposal(**_read(dict(self)))


@changes_of(DelegationDescription)
class DelegationChanges(Changes):
    """Request to edit a trust delegation. An edit that narrows the delegation revokes its tokens.

    Send at most one of `actions` and `all_actions`. If `ends_at` is null, the edit removes the end date.
    """

    slug: str = LEFT_OUT
    target_type: str = LEFT_OUT
    max_duration: int = LEFT_OUT
    actions: list[str] = LEFT_OUT
    all_actions: bool = LEFT_OUT
    audiences: list[str] = LEFT_OUT
    excluded_proofs: list[str] = LEFT_OUT
    ends_at: str | None = LEFT_OUT

    def changes(self) -> dict[str, Any]:
        """Return the members that the request contains, as unverified values."""
        return _read(self.given())


def _read(members: dict[str, Any]) -> dict[str, Any]:
    """Convert the members: `ends_at` becomes a time, and lists become tuples. Raises `Invalid`."""
    if members.get("ends_at") is not None:
        members["ends_at"] = parse_instant("ends_at", members["ends_at"])
    return {name: tuple(value) if isinstance(value, list) else value for name, value in members.items()}
