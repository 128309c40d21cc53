"""Admin API operations for administrators. Administrators sign in through the console, never through this API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from typing_extensions import TypedDict

from authsec_server.accounts import administrators, sessions
from authsec_server.accounts.admin_keys_api import RoleName
from authsec_server.accounts.links_api import LinkShown, link_json
from authsec_server.accounts.model import Administrator
from authsec_server.accounts.model.administrators import read_email
from authsec_server.db import Tx
from authsec_server.principal import Act, Role
from authsec_server.web.bodies import LEFT_OUT, Body, Changes
from authsec_server.web.instants import rfc3339
from authsec_server.web.operations import API, AnyOperation, Call, NoBody, declared, operation
from authsec_server.web.paging import PAGING, Page, paged

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
    issuer: str | None
    created_at: str
    last_sign_in_at: str | None
    disabled_at: str | None
    revision: int
    changed_at: str | None


class Invited(AdministratorShown):
    """A newly invited administrator, with the link by which the person chooses a password."""

    link: LinkShown


@dataclass(frozen=True, slots=True, kw_only=True)
class AdministratorOperations:
    """The operations on administrators. Links point to the console at `issuer`."""

    issuer: str

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
        invited, link = await call.change(
            lambda tx, act: administrators.invite(tx, act, email=email, name=name, role=role)
        )
        return {**as_json(invited), "link": link_json(link, self.issuer)}

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


def operations(*, issuer: str) -> list[AnyOperation]:
    """Return the operations on administrators; see `AdministratorOperations`."""
    its = AdministratorOperations(issuer=issuer)
    return declared(its.page, its.invite, its.show, its.edit, its.disable, its.enable, its.end_sessions)


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
