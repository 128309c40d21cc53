"""Admin API operation for one audit event, with the other events of its request and the remedy for a refusal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from typing_extensions import TypedDict  # pydantic takes no other below Python 3.12

from authsec_server.audit import service as audit
from authsec_server.audit.api import PATH
from authsec_server.audit.model import Recorded
from authsec_server.audit.views import EventShown, as_json
from authsec_server.clients import service as clients
from authsec_server.db import Tx
from authsec_server.failures import NotFound
from authsec_server.principal import Act
from authsec_server.tokens.hints import remedy_of
from authsec_server.tokens.revocation import revoked
from authsec_server.web.instants import rfc3339
from authsec_server.web.operations import AnyOperation, Call, NoBody, declared, operation

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{1,40}")


class RemedyShown(TypedDict):
    """The remedy for a refusal. `scope` is a smaller request that the server would have accepted."""

    text: str
    scope: str


class Story(TypedDict):
    """An event with its remedy. `revoked_at` is set if the event issued a token that was revoked later."""

    event: EventShown
    remedy: RemedyShown | None
    revoked_at: str | None


class Stories(TypedDict):
    """The requested event, then the other events of the same request."""

    items: list[Story]


@operation("GET", f"{PATH}/{{event}}", "getEvent", refusals=(404,))
async def show(call: Call[NoBody]) -> Stories:
    """Get one event by its number, or all events of one request.

    With a number, the answer also has the other events of the same request.
    """
    return {"items": await call.read(lambda tx, act: _stories(tx, act, call.of("event")))}


def operations() -> list[AnyOperation]:
    """Return the operation.

    The path of this operation ends with any word. Operations with a fixed last word must be registered before.
    """
    return declared(show)


def _stories(tx: Tx, act: Act, asked: str) -> list[Story]:
    found = _found(tx, act, asked)
    ended = revoked(tx, found)
    return [_story(tx, act, each, ended) for each in found]


def _found(tx: Tx, act: Act, asked: str) -> Sequence[Recorded]:
    """Return the event with this number, followed by the other events of its request.

    If the text is a request id, return all events of this request. Raises `NotFound`.
    """
    if not _NUMBER.fullmatch(asked):
        found = audit.of_request(tx, act.principal, asked) if _REQUEST_ID.fullmatch(asked) else ()
        if not found:
            raise NotFound(
                "Nothing was recorded under this request id.",
                "Refusals of callers without a valid proof, or with an insufficient role, share one event for each "
                "minute. This event has only the first request id. Search by time, by agent or by caller.",
            )
        return found
    first = audit.event(tx, act.principal, int(asked))
    rest = audit.of_request(tx, act.principal, first.event.request_id)
    return [first, *(each for each in rest if each.id != first.id)]


def _story(tx: Tx, act: Act, recorded: Recorded, ended: Mapping[int, datetime]) -> Story:
    event = recorded.event
    client = clients.load(tx, event.client.id) if event.client else None
    can_prove = client is None or client.can_prove_itself(act.now) or client.unattested(act.now)
    remedy = remedy_of(event, can_prove=can_prove)
    return {
        "event": as_json(recorded),
        "remedy": None if remedy is None else {"text": remedy.text, "scope": remedy.scope},
        "revoked_at": rfc3339(ended.get(recorded.id)),
    }
