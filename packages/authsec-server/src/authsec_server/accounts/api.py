"""Admin API operations for administrators, one-time links and admin keys.

Administrators sign in through the console, never through this API.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field
from typing_extensions import TypedDict  # required by pydantic before Python 3.12

from authsec_server import naming
from authsec_server.accounts import admin_keys, administrators, second_factor, sessions
from authsec_server.accounts.model.admin_keys import MAX_LIFE, AdminKey
from authsec_server.accounts.model.administrators import Administrator, LinkPurpose, NewLink, read_email
from authsec_server.db import Tx
from authsec_server.db.served import proved
from authsec_server.failures import Invalid
from authsec_server.principal import Act, Role
from authsec_server.web.bodies import LEFT_OUT, Body, Changes
from authsec_server.web.instants import rfc3339
from authsec_server.web.operations import API, AnyOperation, Call, NoBody, declared, operation
from authsec_server.web.paging import PAGING, Page, paged

KEYS = f"{API}/admin-keys"
KEY = KEYS + "/{key}"
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


@operation("GET", KEYS, "listAdminKeys", query=PAGING)
async def list_keys(call: Call[NoBody]) -> Page[AdminKeyShown]:
    """List admin keys by name, including revoked keys."""
    return await paged(call, naming.is_name, admin_keys.page, lambda key: key_json(key, call.act.now))


@operation("POST", KEYS, "createAdminKey", least=Role.ADMIN, status=201, location=KEYS + "/{id}", secrets=("key",))
async def create_key(call: Call[NewAdminKey]) -> AdminKeyMade:
    """Create an admin key.

    Only this response contains the text of the key.
    """
    name, role, life = call.body.name, Role[call.body.role.upper()], call.body.life
    key, text = await call.change(lambda tx, act: admin_keys.create(tx, act, name=name, role=role, life=life))
    return {**key_json(key, call.act.now), "key": text}


@operation("GET", KEY, "showAdminKey")
async def show_key(call: Call[NoBody]) -> AdminKeyShown:
    """Get an admin key by id or name."""
    return key_json(await call.read(lambda tx, act: admin_keys.get(tx, act, call.of("key"))), call.act.now)


@operation("POST", KEY + "/revoke", "revokeAdminKey", least=Role.ADMIN)
async def revoke_key(call: Call[NoBody]) -> AdminKeyShown:
    """Revoke an admin key permanently.

    A running request with this key is refused before it saves a change.
    """
    return key_json(await call.change(lambda tx, act: admin_keys.revoke(tx, act, call.of("key"))), call.act.now)


def key_json(key: AdminKey, now: datetime) -> AdminKeyShown:
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


PATH = f"{API}/administrators"
ONE = PATH + "/{administrator}"

Verb = Callable[[Tx, Act, str], Administrator]


class Invitation(Body):
    """Request to invite an administrator."""

    email: str
    name: str
    role: RoleName


class AdministratorChanges(Changes):
    """The editable fields of an administrator. A lower role ends the administrator's sessions."""

    name: str = LEFT_OUT
    role: RoleName = LEFT_OUT


class AdministratorShown(TypedDict):
    """An administrator as the admin API returns it."""

    id: str
    email: str
    name: str
    role: str
    has_password: bool
    has_second_factor: bool
    issuer: str | None
    created_at: str
    last_sign_in_at: str | None
    disabled_at: str | None
    revision: int
    changed_at: str | None


class Invited(AdministratorShown):
    """A newly invited administrator, with the link by which the person chooses a password."""

    link: LinkShown


SETUP_LINKS = f"{API}/setup-links"


class NewSetupLink(Body):
    """Request to make a link for the administrator `email`; `email` is null for the first administrator."""

    purpose: Literal["first_administrator", "set_password", "sign_in"]
    email: str | None = None


class LinkShown(TypedDict):
    """A new link with its secret, which is shown only once.

    `url` contains the console address in the settings. Use `path` if your browser reaches the console at
    another address.
    """

    purpose: str
    url: str
    path: str
    expires_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AdministratorOperations:
    """The operations on administrators. Links point to the console at `console`, which must be proved."""

    console: str

    @operation("GET", PATH, "listAdministrators", query=PAGING)
    async def page(self, call: Call[NoBody]) -> Page[AdministratorShown]:
        """List administrators by e-mail address."""
        return await paged(call, lambda cursor: read_email(cursor) == cursor, administrators.page, as_json)

    @operation(
        "POST",
        PATH,
        "inviteAdministrator",
        least=Role.ADMIN,
        status=201,
        location=PATH + "/{id}",
        revised=True,
        secrets=("link.url", "link.path"),
    )
    async def invite(self, call: Call[Invitation]) -> Invited:
        """Invite an administrator.

        Only this response contains the link. The link works once, within 24 hours.
        """
        email, name, role = call.body.email, call.body.name, Role[call.body.role.upper()]
        console = proved(self.console)  # before the change: a link to no address helps nobody
        invited, link = await call.change(
            lambda tx, act: administrators.invite(tx, act, email=email, name=name, role=role)
        )
        return {**as_json(invited), "link": link_json(link, console)}

    @operation("GET", ONE, "showAdministrator", revised=True)
    async def show(self, call: Call[NoBody]) -> AdministratorShown:
        """Get an administrator by id or e-mail address."""
        return as_json(await call.read(lambda tx, act: administrators.get(tx, act, call.of("administrator"))))

    @operation("PATCH", ONE, "editAdministrator", least=Role.ADMIN, revised=True)
    async def edit(self, call: Call[AdministratorChanges]) -> AdministratorShown:
        """Edit the role or name of an administrator.

        The role of the last admin who can sign in cannot be lowered. If a person signs in through an OpenID
        provider, the provider sets the role of the person.
        """
        given = call.body.given()

        def work(tx: Tx, act: Act) -> Administrator:
            whose = administrators.get(tx, act, call.of("administrator"))
            call.matched(whose, "This administrator")
            if "name" in given:
                whose = administrators.rename(tx, act, whose.id, given["name"], revision=whose.revision)
            if "role" in given:
                role = Role[given["role"].upper()]
                whose = administrators.change_role(tx, act, whose.id, role, revision=whose.revision)
            return whose

        return as_json(await call.change(work))

    @operation("POST", ONE + "/disable", "disableAdministrator", least=Role.ADMIN, revised=True)
    async def disable(self, call: Call[NoBody]) -> AdministratorShown:
        """Disable an administrator, and end the person's sessions and links.

        The last admin who can sign in cannot be disabled.
        """
        return await _apply(call, administrators.disable)

    @operation("POST", ONE + "/enable", "enableAdministrator", least=Role.ADMIN, revised=True)
    async def enable(self, call: Call[NoBody]) -> AdministratorShown:
        """Enable an administrator.

        Ended sessions and links stay ended.
        """
        return await _apply(call, administrators.enable)

    @operation("POST", ONE + "/end-sessions", "endSessions", least=Role.ADMIN, revised=True)
    async def end_sessions(self, call: Call[NoBody]) -> AdministratorShown:
        """End an administrator's sessions."""
        return await _apply(call, _end_sessions)

    @operation("POST", ONE + "/reset-second-factor", "resetSecondFactor", least=Role.ADMIN, revised=True)
    async def reset_second_factor(self, call: Call[NoBody]) -> AdministratorShown:
        """Remove the second factor of an administrator who lost the phone, and end the person's sessions.

        Only the operator at the server's machine may do so here (`authsec admin reset-second-factor`), and other
        administrators in the console; an admin key may not.
        """
        return await _apply(call, second_factor.reset)

    @operation("POST", SETUP_LINKS, "makeSetupLink", least=Role.ADMIN, status=201, secrets=("url", "path"))
    async def make_link(self, call: Call[NewSetupLink]) -> LinkShown:
        """Create a one-time sign-in link, valid for 15 minutes.

        Only the operator at the server's machine may create a link (`authsec admin setup-url`); an admin key may not.
        """
        console = proved(self.console)  # before the change, which ends the password and the sessions
        return link_json(await call.change(lambda tx, act: _make_link(tx, act, call.body)), console)


def operations(*, console: str) -> list[AnyOperation]:
    """Return the operations on administrators, one-time links and admin keys."""
    its = AdministratorOperations(console=console)
    people = declared(
        its.page,
        its.invite,
        its.show,
        its.edit,
        its.disable,
        its.enable,
        its.end_sessions,
        its.reset_second_factor,
        its.make_link,
    )
    return [*people, *declared(list_keys, create_key, show_key, revoke_key)]


async def _apply(call: Call[NoBody], verb: Verb) -> AdministratorShown:
    return as_json(await call.change(lambda tx, act: verb(tx, act, call.of("administrator"))))


def as_json(administrator: Administrator) -> AdministratorShown:
    """Return the administrator as the admin API shows it."""
    return {
        "id": administrator.id,
        "email": administrator.email,
        "name": administrator.name,
        "role": administrator.role.name.lower(),
        "has_password": administrator.has_password,
        "has_second_factor": administrator.has_second_factor,
        "issuer": administrator.issuer or None,
        "created_at": rfc3339(administrator.created_at),
        "last_sign_in_at": rfc3339(administrator.last_sign_in_at),
        "disabled_at": rfc3339(administrator.disabled_at),
        "revision": administrator.revision,
        "changed_at": rfc3339(administrator.changed_at),
    }


def _end_sessions(tx: Tx, act: Act, reference: str) -> Administrator:
    sessions.end_all(tx, act, reference)
    return administrators.get(tx, act, reference)


def link_json(made: NewLink, console: str) -> LinkShown:
    """Return the link, with its secret, as the admin API shows it."""
    return {
        "purpose": made.link.purpose,
        "url": console + made.path,
        "path": made.path,
        "expires_at": rfc3339(made.link.expires_at),
    }


def _make_link(tx: Tx, act: Act, asked: NewSetupLink) -> NewLink:
    purpose = LinkPurpose(asked.purpose)
    if purpose is LinkPurpose.FIRST_ADMINISTRATOR:
        if asked.email is not None:
            raise Invalid(
                "email", "Do not give an address: the first administrator chooses it on the page.", "Leave out email."
            )
        return administrators.for_the_first(tx, act)
    if asked.email is None:
        raise Invalid("email", "email is missing: say which administrator the link is for.")
    if purpose is LinkPurpose.SET_PASSWORD:
        return administrators.for_a_password(tx, act, asked.email)
    return administrators.for_a_sign_in(tx, act, asked.email)
