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
from authsec_server.principal import Act, Role
from authsec_server.revisions import plain
from authsec_server.revocations import subscribers as followers
from authsec_server.revocations.subscribers import Following, Seen
from authsec_server.web.instants import rfc3339
from authsec_server.web.operations import API, AnyOperation, Call, NoBody, Operation
from authsec_server.web.paging import PAGING, Page, paged

Followed = Mapping[str, Seen]


class FollowingShown(TypedDict):
    """Whether the API reads the revocation feed. `proved`: the API showed its own credential there."""

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
    """Return the API as the admin API shows it. `followed` maps audiences to reads of the revocation feed."""
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


def operations() -> list[AnyOperation]:
    """Return the operations for protected APIs."""
    return [
        Operation(
            method="GET",
            path=PATH,
            operation_id="listApis",
            summary="List protected APIs by slug",
            query=PAGING,
            handler=_page,
            answer=Page[ApiShown],
        ),
        Operation(
            method="POST",
            path=PATH,
            operation_id="registerApi",
            summary="Register an API under its audience",
            least=Role.OPERATOR,
            body=NewApi,
            handler=_create,
            answer=ApiShown,
            status=201,
            location=PATH + "/{id}",
            revised=True,
        ),
        Operation(
            method="GET",
            path=ONE,
            operation_id="showApi",
            summary="Get an API",
            handler=_show,
            answer=ApiShown,
            revised=True,
        ),
        Operation(
            method="PATCH",
            path=ONE,
            operation_id="editApi",
            summary="Edit an API",
            least=Role.OPERATOR,
            body=ApiChanges,
            handler=_edit,
            answer=ApiShown,
            revised=True,
        ),
        Operation(
            method="DELETE",
            path=ONE,
            operation_id="deleteApi",
            summary="Delete an API",
            description="Its words for actions and its credentials go. Delegations that name its audience keep it, "
            "and tokens for it stay good: that is what revoking them is for.",
            least=Role.OPERATOR,
            handler=_delete,
            answer=ApiShown,
            revised=True,
        ),
    ]


async def _page(call: Call[NoBody]) -> Page[ApiShown]:
    def load(tx: Tx, act: Act, /, *, after: str, limit: int) -> tuple[list[Found], str | None]:
        found, following = service.page(tx, act, after=after, limit=limit)
        followed = followers.seen(tx, [api.identifier for api in found])
        return [(api, followed) for api in found], following

    return await paged(call, naming.is_slug, load, lambda found: as_json(*found, call.act.now))


async def _create(call: Call[NewApi]) -> ApiShown:
    body = call.body
    asked = {**dict(body), "kind": ApiKind(body.kind), "actions": _actions(body.actions)}
    found = await call.change(lambda tx, act: _followed(tx, service.create(tx, act, **asked)))
    return as_json(*found, call.act.now)


async def _show(call: Call[NoBody]) -> ApiShown:
    found = await call.read(lambda tx, act: _followed(tx, service.get(tx, act, call.of("api"))))
    return as_json(*found, call.act.now)


async def _edit(call: Call[ApiChanges]) -> ApiShown:
    given = call.body.given()
    if "actions" in given:
        given["actions"] = _actions(given["actions"])

    def work(tx: Tx, act: Act) -> Found:
        api = service.get(tx, act, call.of("api"))
        revision = call.matched(api, "This API")
        return _followed(tx, service.edit(tx, act, api.id, revision=revision, changes=given))

    return as_json(*await call.change(work), call.act.now)


async def _delete(call: Call[NoBody]) -> ApiShown:
    def work(tx: Tx, act: Act) -> Found:
        api = service.get(tx, act, call.of("api"))
        call.matched(api, "This API")
        return _followed(tx, service.delete(tx, act, api.id))

    return as_json(*await call.change(work), call.act.now)


def _actions(described: Sequence[DescribedAction]) -> list[Action]:
    return [Action(action=each.action, description=each.description) for each in described]


def _followed(tx: Tx, api: Api) -> Found:
    return api, followers.seen(tx, [api.identifier])
