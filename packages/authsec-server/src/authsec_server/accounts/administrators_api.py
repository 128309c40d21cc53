"""Admin API operations for administrators. Administrators sign in through the console, never through this API."""

from __future__ import annotations

from collections.abc import Callable

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
from authsec_server.web.operations import API, AnyOperation, Call, NoBody, Operation
from authsec_server.web.paging import PAGING, Page, paged

PATH = f"{API}/administrators"
ONE = PATH + "/{administrator}"

Turn = Callable[[Tx, Act, str], Administrator]


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


def operations(*, issuer: str) -> list[AnyOperation]:
    """Return the operations for administrators. Links point to the console at `issuer`."""

    async def invite(call: Call[Invitation]) -> Invited:
        email, name, role = call.body.email, call.body.name, Role[call.body.role.upper()]
        invited, link = await call.change(
            lambda tx, act: administrators.invite(tx, act, email=email, name=name, role=role)
        )
        return {**as_json(invited), "link": link_json(link, issuer)}

    return [
        Operation(
            method="GET",
            path=PATH,
            operation_id="listAdministrators",
            summary="List administrators by e-mail address",
            query=PAGING,
            handler=_page,
            answer=Page[AdministratorShown],
        ),
        Operation(
            method="POST",
            path=PATH,
            operation_id="inviteAdministrator",
            summary="Invite an administrator",
            description="The link is shown this once, and is good once, within 24 hours.",
            least=Role.ADMIN,
            body=Invitation,
            handler=invite,
            answer=Invited,
            status=201,
            location=PATH + "/{id}",
            revised=True,
            secrets=("link.url", "link.path"),
        ),
        Operation(
            method="GET",
            path=ONE,
            operation_id="showAdministrator",
            summary="Get an administrator by id or e-mail address",
            handler=_show,
            answer=AdministratorShown,
            revised=True,
        ),
        Operation(
            method="PATCH",
            path=ONE,
            operation_id="editAdministrator",
            summary="Change the role or name of an administrator",
            description="One admin remains who can sign in. Who comes by an OpenID provider has the role that it says.",
            least=Role.ADMIN,
            body=AdministratorChanges,
            handler=_edit,
            answer=AdministratorShown,
            revised=True,
        ),
        _turned("disable", "disableAdministrator", "Let an administrator in no more", administrators.disable),
        _turned("enable", "enableAdministrator", "Let an administrator in again", administrators.enable),
        _turned("end-sessions", "endSessions", "End an administrator's sessions", _end_sessions),
    ]


def _turned(word: str, operation_id: str, summary: str, verb: Turn) -> AnyOperation:
    """Build a POST operation without a body that runs `verb` on one administrator."""

    async def turn(call: Call[NoBody]) -> AdministratorShown:
        return as_json(await call.change(lambda tx, act: verb(tx, act, call.of("administrator"))))

    return Operation(
        method="POST",
        path=f"{ONE}/{word}",
        operation_id=operation_id,
        summary=summary,
        least=Role.ADMIN,
        handler=turn,
        answer=AdministratorShown,
        revised=True,
    )


async def _page(call: Call[NoBody]) -> Page[AdministratorShown]:
    return await paged(call, lambda cursor: read_email(cursor) == cursor, administrators.page, as_json)


async def _show(call: Call[NoBody]) -> AdministratorShown:
    return as_json(await call.read(lambda tx, act: administrators.get(tx, act, call.of("administrator"))))


async def _edit(call: Call[AdministratorChanges]) -> AdministratorShown:
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
