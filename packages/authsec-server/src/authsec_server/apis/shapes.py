"""The JSON of an API's description: in requests, documents and responses."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field
from typing_extensions import TypedDict  # as in `web.paging`

from authsec_server.web.bodies import Body, Changes, changes_of

SigningAlgorithm: TypeAlias = Literal["RS256", "ES256", "EdDSA"]


class ActionShown(TypedDict):
    """An action and the API's description of the action, as the admin API returns them."""

    action: str
    description: str


class DescribedAction(Body):
    """An action and the API's description of the action, as a request sends them."""

    action: str
    description: str


class ApiDescription(TypedDict):
    """The fields that describe an API, in a response."""

    name: str
    identifier: str
    description: str
    signing_algorithm: str
    actions: list[ActionShown]


class ApiDescriptionBody(Body):
    """The fields that describe an API, in a request or a document.

    The actions are not among these fields, because a request and a document write actions in different forms.
    """

    name: str | None = Field(default=None, description="The name that people see; default: the slug.")
    kind: Literal["api", "mcp_server"] = "api"
    identifier: str = Field(description="The audience of the API: a URL, or a name such as customers-api.")
    description: str = ""
    signing_algorithm: SigningAlgorithm = Field(
        default="RS256", description="The algorithm that signs tokens for the API. EdDSA means Ed25519."
    )


@changes_of(ApiDescription, sent={"actions": list[DescribedAction], "signing_algorithm": SigningAlgorithm})
class ApiChanges(Changes):
    """The editable fields of an API. `actions` replaces the whole list.

    A new identifier is a new audience. Trust delegations name audiences, so they keep the old audience.
    """
