"""The JSON of a client's description, in requests, documents and answers."""

from __future__ import annotations

from pydantic import Field
from typing_extensions import TypedDict  # as in `web.paging`

from authsec_server.web.bodies import Body, Changes, changes_of


class ClientDescription(TypedDict):
    """The fields that describe a client, as an answer contains them."""

    slug: str
    name: str
    owner: str
    description: str
    labels: dict[str, str]


class ClientDescriptionBody(Body):
    """The optional fields that describe a client, as a request or document contains them."""

    owner: str | None = Field(
        None,
        description="If omitted, an edit keeps the owner. A new client then belongs to the person who creates it.",
    )
    description: str = ""
    labels: dict[str, str] = Field(default_factory=dict)


@changes_of(ClientDescription)
class ClientChanges(Changes):
    """Changes to the description of a client; they revoke no token."""
