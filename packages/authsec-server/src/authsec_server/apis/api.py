"""Admin API operations for protected APIs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import cast

from pydantic import Field
from typing_extensions import TypedDict  # as in `web.paging`

from authsec_server import naming
from authsec_server.apis import service
from authsec_server.apis.model import EDITABLE, Action, Api, ApiKind
from authsec_server.apis.shapes import ApiChanges, ApiDescription, ApiDescriptionBody, DescribedAction
from authsec_server.db import Tx
from authsec_server.principal import Act
from authsec_server.revisions import plain
from authsec_server.revocations import subscribers as followers
from authsec_server.revocations.subscribers import Following, LastSeen
from authsec_server.web.instants import rfc3339
from authsec_server.web.operations import API, AnyOperation, Call, NoBody, declared, operation
from authsec_server.web.paging import PAGING, Page, paged

Followed = Mapping[str, LastSeen]


class FollowingShown(TypedDict):
    """Whether the API reads the revocation feed, and when it was last seen.

    `proved` is true if the reader sent a credential of the API. Otherwise the reader only says that it is the
    API.
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


def operations() -> list[AnyOperation]:
    """Return the operations on protected APIs."""
    return declared(page, create, show, edit, delete)


def _actions(described: Sequence[DescribedAction]) -> list[Action]:
    return [Action(action=each.action, description=each.description) for each in described]


def _followed(tx: Tx, api: Api) -> Found:
    return api, followers.seen(tx, [api.identifier])
