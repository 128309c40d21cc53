"""The sealed log over HTTP: checkpoint and events for administrators, and the public keys for everybody.

Events are listed in the order of sealing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from authsec.jose import PublicKey
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from typing_extensions import TypedDict  # before Python 3.12, pydantic accepts only this TypedDict

from authsec_server.audit.api import PATH
from authsec_server.audit.sealing import service
from authsec_server.audit.sealing.sinks import SinkState
from authsec_server.audit.views import EventShown, as_json
from authsec_server.failures import Unavailable
from authsec_server.web.instants import rfc3339
from authsec_server.web.operations import AnyOperation, Call, NoBody, declared, operation
from authsec_server.web.paging import PAGING, read_numbered_page

KEYS_PATH = "/authsec/v1/audit/keys"
_PLACE = re.compile(r"0|[1-9][0-9]{0,17}")


class SealKeysShown(TypedDict):
    """The public keys that verify checkpoints, as JWKs with `created_at`.

    If a key was replaced, its checkpoints may cover at most `checkpoints_up_to` leaves.
    """

    keys: list[dict[str, Any]]


class ElsewhereShown(TypedDict):
    """The state of checkpoint delivery to a file or an address outside the database.

    `sent` is true if a destination is set. The destination has accepted no checkpoint since `undelivered_since`.
    """

    sent: bool
    undelivered_since: str | None
    problem: str


class CheckpointShown(TypedDict):
    """The newest signed checkpoint, with the problems that the server knows.

    `overdue` is true if an event has waited too long for its seal.
    `older` is the reason why the database is older than the checkpoints stored outside, or null.
    `not_compared` is the reason why the server could not compare the database with these checkpoints, or null.
    """

    checkpoint: str
    older: str | None
    not_compared: str | None
    overdue: bool
    elsewhere: ElsewhereShown


class LeafShown(TypedDict):
    """The place of a dropped event in the sealed log, and its leaf hash."""

    place: int
    leaf: str


class SealedEvents(TypedDict):
    """Events in the order of sealing. `next` is the cursor: the place of the last leaf that was read.

    `dropped` lists the leaves of dropped events. The events themselves were deleted.
    The newest checkpoint, signed at `checkpoint_at`, covers `sealed` leaves.
    """

    items: list[EventShown]
    next: str | None
    dropped: list[LeafShown]
    sealed: int
    checkpoint_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SealingOperations:
    """The operations on the sealed log.

    - `published` returns the keys as JWKs, and `verifying` the keys by their names. Both block their thread.
    - `state` returns the state of checkpoint delivery.
    - `older` returns the reason why the database is older than the checkpoints stored outside, or None.
    - `not_compared` returns the reason why the server could not compare the database with these checkpoints.
    """

    published: Callable[[], Sequence[Mapping[str, Any]]]
    verifying: Callable[[], Mapping[str, PublicKey]]
    state: Callable[[], SinkState]
    older: Callable[[], str | None]
    not_compared: Callable[[], str]

    @operation("GET", f"{PATH}/checkpoint", "getAuditCheckpoint", refusals=(404,))
    async def checkpoint(self, call: Call[NoBody]) -> CheckpointShown:
        """Get the newest signed checkpoint of the audit log, to store it outside the database."""
        its = self.state()
        try:
            keys = await run_in_threadpool(self.verifying)
        except Unavailable:  # a command does not need the file of the sealing key
            keys = None
        signed, sealed = await call.read(
            lambda tx, act: (
                service.newest_checkpoint(tx, act.principal, keys),
                service.sealing_status(tx, act.principal, act.now),
            )
        )
        return {
            "checkpoint": signed,
            "older": self.older(),
            "not_compared": self.not_compared() or None,
            "overdue": sealed.is_overdue,
            "elsewhere": {
                "sent": its.sent,
                "undelivered_since": rfc3339(its.undelivered_since),
                "problem": its.problem,
            },
        }

    @operation("GET", f"{PATH}/keys", "getAuditKeys")
    async def keys(self, _call: Call[NoBody]) -> SealKeysShown:
        """Get the public keys that verify the checkpoints of the audit log."""
        return {"keys": [dict(each) for each in await run_in_threadpool(self.published)]}

    @operation("GET", f"{PATH}/sealed", "followEvents", query=PAGING)
    async def follow(self, call: Call[NoBody]) -> SealedEvents:
        """List events in the order of sealing, so that another system can copy the events.

        `cursor` is a place in the sealed log, and the list begins after that place.
        Without `cursor`, the list begins at the first event.
        A page can have fewer events than `limit`, because it has at most 16 MiB of events.
        After an empty page, repeat the request with the same cursor one second later.
        """
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


def operations(
    *,
    published: Callable[[], Sequence[Mapping[str, Any]]],
    verifying: Callable[[], Mapping[str, PublicKey]],
    state: Callable[[], SinkState],
    older: Callable[[], str | None],
    not_compared: Callable[[], str],
) -> list[AnyOperation]:
    """Return the operations on the sealed log; see `SealingOperations`."""
    its = SealingOperations(
        published=published, verifying=verifying, state=state, older=older, not_compared=not_compared
    )
    return declared(its.checkpoint, its.keys, its.follow)


def routes(published: Callable[[], Sequence[Mapping[str, Any]]]) -> list[Route]:
    """Return the public route that lists the keys for verifying checkpoints."""

    async def keys(_request: Request) -> JSONResponse:
        return JSONResponse({"keys": await run_in_threadpool(published)})

    return [Route(KEYS_PATH, keys, methods=["GET"])]
