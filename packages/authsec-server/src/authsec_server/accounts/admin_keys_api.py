"""Admin API operations for admin keys."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field
from typing_extensions import TypedDict

from authsec_server import naming
from authsec_server.accounts import admin_keys
from authsec_server.accounts.model.admin_keys import MAX_LIFE, AdminKey
from authsec_server.principal import Role
from authsec_server.web.bodies import Body
from authsec_server.web.instants import rfc3339
from authsec_server.web.operations import API, AnyOperation, Call, NoBody, declared, operation
from authsec_server.web.paging import PAGING, Page, paged

PATH = f"{API}/admin-keys"
ONE = PATH + "/{key}"
RoleName = Literal["viewer", "operator", "admin"]


class NewAdminKey(Body):
    """Request to create an admin key. `expires_in` is in seconds; null means no expiry."""

    name: str
    role: RoleName
    expires_in: int | None = Field(None, ge=0, le=int(MAX_LIFE.total_seconds()))

    @property
    def life(self) -> timedelta | None:
        """Return the lifetime of the new key; None if the key does not expire."""
        return None if self.expires_in is None else timedelta(seconds=self.expires_in)


class AdminKeyShown(TypedDict):
    """An admin key as the admin API returns it, without the key text."""

    id: str
    name: str
    role: str
    state: Literal["active", "expires_soon", "expired", "revoked"]
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    revoked_at: str | None


class AdminKeyMade(AdminKeyShown):
    """A newly created admin key, with the key text."""

    key: str


@operation("GET", PATH, "listAdminKeys", query=PAGING)
async def page(call: Call[NoBody]) -> Page[AdminKeyShown]:
    """List admin keys by name, including revoked keys."""
    return await paged(call, naming.is_name, admin_keys.page, lambda key: as_json(key, call.act.now))


@operation("POST", PATH, "createAdminKey", least=Role.ADMIN, status=201, location=PATH + "/{id}", secrets=("key",))
async def create(call: Call[NewAdminKey]) -> AdminKeyMade:
    """Create an admin key.

    Only this response contains the text of the key.
    """
    name, role, life = call.body.name, Role[call.body.role.upper()], call.body.life
    key, text = await call.change(lambda tx, act: admin_keys.create(tx, act, name=name, role=role, life=life))
    return {**as_json(key, call.act.now), "key": text}


@operation("GET", ONE, "showAdminKey")
async def show(call: Call[NoBody]) -> AdminKeyShown:
    """Get an admin key by id or name."""
    return as_json(await call.read(lambda tx, act: admin_keys.get(tx, act, call.of("key"))), call.act.now)


@operation("POST", ONE + "/revoke", "revokeAdminKey", least=Role.ADMIN)
async def revoke(call: Call[NoBody]) -> AdminKeyShown:
    """Revoke an admin key permanently.

    A request with this key that has not saved its change yet is refused.
    """
    return as_json(await call.change(lambda tx, act: admin_keys.revoke(tx, act, call.of("key"))), call.act.now)


def operations() -> list[AnyOperation]:
    """Return the operations on admin keys. The paths of the operations contain the id or name of a key."""
    return declared(page, create, show, revoke)


def as_json(key: AdminKey, now: datetime) -> AdminKeyShown:
    """Return the key as the admin API shows it, always without its secret."""
    return {
        "id": key.id,
        "name": key.name,
        "role": key.role.name.lower(),
        "state": key.state(now).value,
        "created_at": rfc3339(key.created_at),
        "expires_at": rfc3339(key.expires_at),
        "last_used_at": rfc3339(key.last_used_at),
        "revoked_at": rfc3339(key.revoked_at),
    }
