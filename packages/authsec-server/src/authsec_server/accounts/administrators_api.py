"""Administrators and one-time links over HTTP. Coming in as one of them is the console's, never this API's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from authsec_server.accounts import administrators, local_links, sessions
from authsec_server.accounts.model import Administrator, LinkPurpose, NewLink
from authsec_server.accounts.model.administrators import read_email
from authsec_server.db import Tx
from authsec_server.failures import Invalid
from authsec_server.principal import Act, Role
from authsec_server.web.bodies import Body, read_body
from authsec_server.web.instants import rfc3339
from authsec_server.web.paging import page_answer, read_page
from authsec_server.web.routing import Handler, resource
from authsec_server.web.site import Site

PATH = "/authsec/api/v1/administrators"
LINKS_PATH = "/authsec/api/v1/setup-links"
NO_STORE = {"Cache-Control": "no-store"}

Turn = Callable[[Tx, Act, str], Administrator]


class Invitation(Body):
    """Somebody to be invited."""

    email: str
    name: str
    role: Literal["viewer", "operator", "admin"]


class NewRole(Body):
    """A role to be given; `revision` is that of the administrator as the caller read it."""

    role: Literal["viewer", "operator", "admin"]
    revision: int


class NewSetupLink(Body):
    """A link to be made; `email` says for whom, and is null for the first administrator."""

    purpose: Literal["first_administrator", "set_password", "sign_in"]
    email: str | None = None


def routes(site: Site, *, issuer: str) -> list[Route]:
    """The routes of this room's people; links lead to the console at `issuer`."""

    async def page(request: Request) -> JSONResponse:
        act = await site.act(request)
        asked = read_page(request, lambda cursor: read_email(cursor) == cursor)
        found, following = await site.read(
            lambda tx: administrators.page(tx, act, after=asked.after, limit=asked.limit)
        )
        return page_answer(map(as_json, found), following)

    async def show(request: Request) -> JSONResponse:
        act = await site.act(request)
        return JSONResponse(as_json(await site.read(lambda tx: administrators.get(tx, act, _whom(request)))))

    async def invite(request: Request) -> JSONResponse:
        act = await site.act(request)
        body = await read_body(request, Invitation)
        role = Role[body.role.upper()]
        invited, link = await site.change(
            act, lambda tx, act: administrators.invite(tx, act, email=body.email, name=body.name, role=role)
        )
        answer = as_json(invited) | {"link": link_json(link, issuer)}
        return JSONResponse(answer, 201, NO_STORE | {"Location": f"{PATH}/{invited.id}"})

    async def change_role(request: Request) -> JSONResponse:
        act = await site.act(request)
        body = await read_body(request, NewRole)
        role = Role[body.role.upper()]
        changed = await site.change(
            act,
            lambda tx, act: administrators.change_role(tx, act, _whom(request), role, revision=body.revision),
        )
        return JSONResponse(as_json(changed))

    async def make_link(request: Request) -> JSONResponse:
        act = await site.act(request)
        body = await read_body(request, NewSetupLink)
        link = await site.change(act, lambda tx, act: _make(tx, act, body))
        return JSONResponse(link_json(link, issuer), 201, NO_STORE)

    return [
        resource(PATH, get=page, post=invite),
        resource(PATH + "/{administrator}", get=show),
        resource(PATH + "/{administrator}/role", post=change_role),
        resource(PATH + "/{administrator}/disable", post=_turn(site, administrators.disable)),
        resource(PATH + "/{administrator}/enable", post=_turn(site, administrators.enable)),
        resource(PATH + "/{administrator}/end-sessions", post=_turn(site, _end_sessions)),
        resource(LINKS_PATH, post=make_link),
    ]


def as_json(administrator: Administrator) -> dict[str, Any]:
    """The administrator as the admin API shows them."""
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


def link_json(made: NewLink, issuer: str) -> dict[str, Any]:
    """A link with its secret, this once; `path` is for whoever reaches the console at another address."""
    return {
        "purpose": made.link.purpose,
        "url": issuer + made.path,
        "path": made.path,
        "expires_at": rfc3339(made.link.expires_at),
    }


def _make(tx: Tx, act: Act, asked: NewSetupLink) -> NewLink:
    purpose = LinkPurpose(asked.purpose)
    if purpose is LinkPurpose.FIRST_ADMINISTRATOR:
        if asked.email is not None:
            raise Invalid("email", "The first administrator chooses the address on the page.", "Leave it out.")
        return local_links.for_the_first(tx, act)
    if asked.email is None:
        raise Invalid("email", "email must say for which administrator.")
    if purpose is LinkPurpose.SET_PASSWORD:
        return local_links.for_a_password(tx, act, asked.email)
    return local_links.for_a_sign_in(tx, act, asked.email)


def _turn(site: Site, verb: Turn) -> Handler:
    """A handler of a POST that has no body."""

    async def handle(request: Request) -> JSONResponse:
        act = await site.act(request)
        return JSONResponse(as_json(await site.change(act, lambda tx, act: verb(tx, act, _whom(request)))))

    return handle


def _end_sessions(tx: Tx, act: Act, reference: str) -> Administrator:
    sessions.end_all(tx, act, reference)
    return administrators.get(tx, act, reference)


def _whom(request: Request) -> str:
    """The administrator that the path names, by id or address."""
    reference: str = request.path_params["administrator"]
    return reference
