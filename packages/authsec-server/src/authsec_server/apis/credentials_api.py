"""Admin API operations for API credentials."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import Field
from typing_extensions import TypedDict

from authsec_server import naming
from authsec_server.accounts.model.admin_keys import MAX_LIFE
from authsec_server.apis import credentials
from authsec_server.apis.api import ONE
from authsec_server.apis.credential import Credential
from authsec_server.web.bodies import Body
from authsec_server.web.instants import rfc3339
from authsec_server.web.operations import AnyOperation, Call, NoBody, declared, operation
from authsec_server.web.paging import PAGING, Page, paged, whole

PATH = ONE + "/credentials"


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


@operation("GET", PATH, "listApiCredentials", query=PAGING)
async def page(call: Call[NoBody]) -> Page[CredentialShown]:
    """List the credentials of an API, oldest first."""
    load = whole(lambda tx, act: credentials.of_api(tx, act, call.of("api")), by=lambda each: each.id)
    return await paged(call, naming.is_uuid, load, lambda each: as_json(each, call.act.now))


@operation("POST", PATH, "createApiCredential", status=201, secrets=("credential",))
async def create(call: Call[NewCredential]) -> CredentialMade:
    """Create a credential for an API.

    Only this response contains the text of the credential.
    """
    body = call.body
    made, text = await call.change(
        lambda tx, act: credentials.create(tx, act, call.of("api"), name=body.name, life=body.life)
    )
    return {**as_json(made, call.act.now), "credential": text}


@operation("POST", PATH + "/{credential}/revoke", "revokeApiCredential")
async def revoke(call: Call[NoBody]) -> CredentialShown:
    """Revoke a credential of an API permanently."""
    api, its = call.of("api"), call.of("credential")
    return as_json(await call.change(lambda tx, act: credentials.revoke(tx, act, api, its)), call.act.now)


def operations() -> list[AnyOperation]:
    """Return the operations on API credentials."""
    return declared(page, create, revoke)


def as_json(credential: Credential, now: datetime) -> CredentialShown:
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
