"""The sealed log over HTTP: for administrators the newest checkpoint and the events, for everybody the public keys.

Events are listed in the order of sealing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from typing_extensions import TypedDict  # pydantic takes no other below Python 3.12

from authsec_server.audit.api import PATH
from authsec_server.audit.sealing import service
from authsec_server.audit.sealing.sinks import NOWHERE, SinkState
from authsec_server.audit.views import EventShown, as_json
from authsec_server.web.instants import rfc3339
from authsec_server.web.operations import AnyOperation, Call, NoBody, Operation
from authsec_server.web.paging import PAGING, read_numbered_page

KEYS_PATH = "/authsec/v1/audit/keys"
_PLACE = re.compile(r"0|[1-9][0-9]{0,17}")


class SealKeysShown(TypedDict):
    """Public keys as JWKs, with `created_at`. A replaced key signed up to `checkpoints_up_to` leaves."""

    keys: list[dict[str, Any]]


class ElsewhereShown(TypedDict):
    """Whether this server sends checkpoints to another place, and since when that place has accepted none."""

    sent: bool
    undelivered_since: str | None
    problem: str


class CheckpointShown(TypedDict):
    """The newest signed checkpoint. `overdue`: events wait longer for their seal than a running server allows.

    `older` is the reason why the database is older than its outside checkpoints, or null.
    `not_compared` is the reason why the server could not compare the two, or null.
    """

    checkpoint: str
    older: str | None
    not_compared: str | None
    overdue: bool
    elsewhere: ElsewhereShown


class LeafShown(TypedDict):
    """The place and the leaf hash of a dropped event."""

    place: int
    leaf: str


class SealedEvents(TypedDict):
    """Events in the order of sealing. `next` is the cursor: the place of the last leaf that was read.

    Only the leaves remain of `dropped` events.
    The newest checkpoint, signed at `checkpoint_at`, covers `sealed` leaves.
    """

    items: list[EventShown]
    next: str | None
    dropped: list[LeafShown]
    sealed: int
    checkpoint_at: str | None


def operations(
    published: Callable[[], Sequence[Mapping[str, Any]]],
    standing: Callable[[], SinkState] = lambda: NOWHERE,
    older: Callable[[], str | None] = lambda: None,
    not_compared: Callable[[], str] = lambda: "",
) -> list[AnyOperation]:
    """Return the operations of the sealed log.

    `published` returns the keys as JWKs and blocks its thread. `standing` returns the state of checkpoint delivery.
    `older` returns the reason why the database is older than its outside checkpoints.
    `not_compared` returns the reason why the two could not be compared.
    """

    async def checkpoint(call: Call[NoBody]) -> CheckpointShown:
        its = standing()
        signed, sealed = await call.read(
            lambda tx, act: (service.newest_checkpoint(tx, act.principal), service.so_far(tx, act.principal, act.now))
        )
        return {
            "checkpoint": signed,
            "older": older(),
            "not_compared": not_compared() or None,
            "overdue": sealed.is_overdue,
            "elsewhere": {
                "sent": its.sent,
                "undelivered_since": rfc3339(its.undelivered_since),
                "problem": its.problem,
            },
        }

    async def keys(_call: Call[NoBody]) -> SealKeysShown:
        return {"keys": [dict(each) for each in await run_in_threadpool(published)]}

    return [
        Operation(
            method="GET",
            path=f"{PATH}/checkpoint",
            operation_id="getAuditCheckpoint",
            summary="Get the newest signed checkpoint of the audit log, to be kept elsewhere",
            handler=checkpoint,
            answer=CheckpointShown,
            refusals=(404,),
        ),
        Operation(
            method="GET",
            path=f"{PATH}/keys",
            operation_id="getAuditKeys",
            summary="Get the public keys that verify the seals",
            handler=keys,
            answer=SealKeysShown,
        ),
        Operation(
            method="GET",
            path=f"{PATH}/sealed",
            operation_id="followEvents",
            summary="List events in the order of sealing, to copy them elsewhere",
            description="`cursor` is a place in the log, behind which it goes on; without one it begins at the first. "
            "On an empty page, ask again in a second with the same cursor.",
            query=PAGING,
            handler=_sealed,
            answer=SealedEvents,
        ),
    ]


def routes(published: Callable[[], Sequence[Mapping[str, Any]]]) -> list[Route]:
    """Return the public route that lists the keys."""

    async def keys(_request: Request) -> JSONResponse:
        return JSONResponse({"keys": await run_in_threadpool(published)})

    return [Route(KEYS_PATH, keys, methods=["GET"])]


async def _sealed(call: Call[NoBody]) -> SealedEvents:
    place, limit = read_numbered_page(call.request, _PLACE)
    after = -1 if place is None else place
    found = await call.read(lambda tx, act: service.following(tx, act.principal, after=after, limit=limit))
    return {
        "items": [as_json(each) for each in found.events],
        "next": None if found.last is None else str(found.last),
        "dropped": [{"place": seal.place, "leaf": seal.leaf} for seal in found.dropped],
        "sealed": found.sealed,
        "checkpoint_at": rfc3339(found.checkpoint_at),
    }
