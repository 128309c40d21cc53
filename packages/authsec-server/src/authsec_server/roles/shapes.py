"""The JSON of a role's description: in requests, documents and responses."""

from __future__ import annotations

from pydantic import Field
from typing_extensions import TypedDict  # as in `web.paging`

from authsec_server.web.bodies import Body, Changes, changes_of


class RoleDescription(TypedDict):
    """The fields that describe a role, in a response."""

    name: str
    description: str
    actions: list[str]


class RoleDescriptionBody(Body):
    """The fields that describe a role, in a request or a document."""

    name: str | None = Field(default=None, description="The name that people see; default: the slug.")
    description: str = ""
    actions: list[str] = Field(description="resource:action, e.g. customers:read")


@changes_of(RoleDescription)
class RoleChanges(Changes):
    """The editable fields of a role. Removing an action revokes the role's tokens."""
