"""Admin API operations for protected APIs and their credentials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, TypeAlias, cast

from pydantic import Field
from typing_extensions import TypedDict  # required by pydantic before Python 3.12

from authsec_server import naming
from authsec_server.accounts.model.admin_keys import MAX_LIFE
from authsec_server.apis import credentials, service
from authsec_server.apis.model import EDITABLE, Action, Api, ApiKind, Credential
from authsec_server.db import Tx
from authsec_server.principal import Act
from authsec_server.revisions import plain
from authsec_server.revocations import subscribers as followers
from authsec_server.revocations.subscribers import Following, LastSeen
from authsec_server.web.bodies import Body, Changes, changes_of
from authsec_server.web.instants import rfc3339
from authsec_server.web.operations import API, AnyOperation, Call, NoBody, declared, operation
from authsec_server.web.paging import PAGING, Page, paged, whole

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


Followed = Mapping[str, LastSeen]


class FollowingShown(TypedDict):
    """Whether the API reads the revocation feed, and when it was last seen.

    `proved` is true if the reader sent a credential of the API. Otherwise the reader names the API
    without proof.
    """

    following: bool
    proved: bool
    seen_at: str | None


class ApiShown(ApiDescription):
    """A protected API as the admin API returns it."""

    id: str
    slug: str
    kind: str
    created_at: str
    revision: int
    changed_at: str | None
    revocations: FollowingShown


def as_json(api: Api, followed: Followed, now: datetime) -> ApiShown:
    """Return the API as the admin API shows it. `followed` maps audiences to last reads of the revocation feed."""
    seen = followed.get(api.identifier)
    following = seen.at(now) if seen else Following.NO
    actions = [{"action": each.action, "description": each.description} for each in api.actions]
    described = cast("ApiDescription", {**plain(EDITABLE, api), "actions": actions})
    return {
        "id": api.id,
        "slug": api.slug,
        "kind": api.kind,
        **described,
        "created_at": rfc3339(api.created_at),
        "revision": api.revision,
        "changed_at": rfc3339(api.changed_at),
        "revocations": {
            "following": following is not Following.NO,
            "proved": following is Following.PROVED,
            "seen_at": rfc3339(seen.seen_at) if seen else None,
        },
    }


PATH = f"{API}/apis"
ONE = PATH + "/{api}"
Found = tuple[Api, Followed]


class NewApi(ApiDescriptionBody):
    """Request to register an API."""

    name: str
    slug: str | None = None
    actions: list[DescribedAction] = Field(default_factory=list)


@operation("GET", PATH, "listApis", query=PAGING)
async def page(call: Call[NoBody]) -> Page[ApiShown]:
    """List protected APIs by slug."""

    def load(tx: Tx, act: Act, /, *, after: str, limit: int) -> tuple[list[Found], str | None]:
        found, following = service.page(tx, act, after=after, limit=limit)
        followed = followers.seen(tx, [api.identifier for api in found])
        return [(api, followed) for api in found], following

    return await paged(call, naming.is_slug, load, lambda found: as_json(*found, call.act.now))


@operation("POST", PATH, "registerApi", status=201, location=PATH + "/{id}", revised=True)
async def create(call: Call[NewApi]) -> ApiShown:
    """Register an API under its audience."""
    body = call.body
    asked = {**dict(body), "kind": ApiKind(body.kind), "actions": _actions(body.actions)}
    found = await call.change(lambda tx, act: _followed(tx, service.create(tx, act, **asked)))
    return as_json(*found, call.act.now)


@operation("GET", ONE, "showApi", revised=True)
async def show(call: Call[NoBody]) -> ApiShown:
    """Get an API."""
    found = await call.read(lambda tx, act: _followed(tx, service.get(tx, act, call.of("api"))))
    return as_json(*found, call.act.now)


@operation("PATCH", ONE, "editApi", revised=True)
async def edit(call: Call[ApiChanges]) -> ApiShown:
    """Edit an API."""
    given = call.body.given()
    if "actions" in given:
        given["actions"] = _actions(given["actions"])

    def work(tx: Tx, act: Act) -> Found:
        api = service.get(tx, act, call.of("api"))
        revision = call.matched(api, "This API")
        return _followed(tx, service.edit(tx, act, api.id, revision=revision, changes=given))

    return as_json(*await call.change(work), call.act.now)


@operation("DELETE", ONE, "deleteApi", revised=True)
async def delete(call: Call[NoBody]) -> ApiShown:
    """Delete an API with its action descriptions and credentials.

    Trust delegations that name the API's audience keep it. Tokens for the audience stay valid until they expire
    or are revoked.
    """

    def work(tx: Tx, act: Act) -> Found:
        api = service.get(tx, act, call.of("api"))
        call.matched(api, "This API")
        return _followed(tx, service.delete(tx, act, api.id))

    return as_json(*await call.change(work), call.act.now)


def _actions(described: Sequence[DescribedAction]) -> list[Action]:
    return [Action(action=each.action, description=each.description) for each in described]


def _followed(tx: Tx, api: Api) -> Found:
    return api, followers.seen(tx, [api.identifier])


CREDENTIALS = ONE + "/credentials"


class NewCredential(Body):
    """Request to create a credential. `expires_in` is in seconds; null means no expiry.

    Without `name`, the date is the name.
    """

    name: str | None = None
    expires_in: int | None = Field(None, ge=0, le=int(MAX_LIFE.total_seconds()))

    @property
    def life(self) -> timedelta | None:
        """Return the lifetime of the new credential; None if the credential does not expire."""
        return None if self.expires_in is None else timedelta(seconds=self.expires_in)


class CredentialShown(TypedDict):
    """A credential as the admin API returns it, without its text."""

    id: str
    api_id: str
    name: str
    state: str
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    revoked_at: str | None


class CredentialMade(CredentialShown):
    """A newly created credential, with its text."""

    credential: str


@operation("GET", CREDENTIALS, "listApiCredentials", query=PAGING)
async def page_of_credentials(call: Call[NoBody]) -> Page[CredentialShown]:
    """List the credentials of an API, oldest first."""
    load = whole(lambda tx, act: credentials.of_api(tx, act, call.of("api")), by=lambda each: each.id)
    return await paged(call, naming.is_uuid, load, lambda each: credential_json(each, call.act.now))


@operation("POST", CREDENTIALS, "createApiCredential", status=201, secrets=("credential",))
async def create_credential(call: Call[NewCredential]) -> CredentialMade:
    """Create a credential for an API.

    Only this response contains the text of the credential.
    """
    body = call.body
    made, text = await call.change(
        lambda tx, act: credentials.create(tx, act, call.of("api"), name=body.name, life=body.life)
    )
    return {**credential_json(made, call.act.now), "credential": text}


@operation("POST", CREDENTIALS + "/{credential}/revoke", "revokeApiCredential")
async def revoke_credential(call: Call[NoBody]) -> CredentialShown:
    """Revoke a credential of an API permanently."""
    api, its = call.of("api"), call.of("credential")
    return credential_json(await call.change(lambda tx, act: credentials.revoke(tx, act, api, its)), call.act.now)


def operations() -> list[AnyOperation]:
    """Return the operations on protected APIs and their credentials."""
    return declared(page, create, show, edit, delete, page_of_credentials, create_credential, revoke_credential)


def credential_json(credential: Credential, now: datetime) -> CredentialShown:
    """Return the credential as the admin API shows it, without its text."""
    return {
        "id": credential.id,
        "api_id": credential.api_id,
        "name": credential.name,
        "state": credential.state(now),
        "created_at": rfc3339(credential.created_at),
        "expires_at": rfc3339(credential.expires_at),
        "last_used_at": rfc3339(credential.last_used_at),
        "revoked_at": rfc3339(credential.revoked_at),
    }
