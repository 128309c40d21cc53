"""The revocation feed over HTTP, for every API that checks revocations. The feed requires no credentials."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

import anyio
from authsec import strict_json
from authsec.jose import PublicKey
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from authsec_server.failures import Invalid
from authsec_server.revocations.feed import KEYS_MAX_AGE, Feed, as_jwk
from authsec_server.revocations.live import MEDIA_TYPE, LiveFeed, Stream
from authsec_server.revocations.subscribers import Claim, SubscriberTracker, read_claim
from authsec_server.web.bodies import Places, query_int
from authsec_server.web.operations import resource
from authsec_server.web.request_context import RequestContext, context_of, limit_key
from authsec_server.web.throttle import WHOLE, Share, Throttle

PATH = "/authsec/v1/revocations"
KEYS_PATH = PATH + "/keys"
AT_ONCE, AT_MOST = 500, 1000  # entries on a page: by default, and at most
FOLLOW_AT_ONCE, FOLLOW_BY_ONE_NETWORK = 512, 128  # each holds a connection for hours
BEGIN_A_MINUTE = 600  # streams and snapshots for one network: enough for all its readers to start several times
READ_AT_ONCE, READ_BY_ONE_NETWORK = 16, 8  # each takes a thread for some milliseconds
AUDIENCE = "authsec-audience"  # the header in which a reader names its APIs
Recognise = Callable[[Sequence[str], RequestContext], str | None]
_FRESH = {"Cache-Control": "no-store"}
_CACHED = {"Cache-Control": f"public, max-age={KEYS_MAX_AGE.seconds}"}


def routes(
    feed: Feed,
    live: LiveFeed,
    published: Callable[[], list[PublicKey]],
    *,
    subscriber_tracker: SubscriberTracker,
    recognise: Recognise,
    share: Share = WHOLE,
) -> list[Route]:
    """Return the routes of the feed and of the feed's key set.

    `recognise` takes the `Authorization` headers and returns the audience of the API with this credential.
    """
    reading = Places(at_once=READ_AT_ONCE, of_one=READ_BY_ONE_NETWORK)
    following = Places(at_once=FOLLOW_AT_ONCE, of_one=FOLLOW_BY_ONE_NETWORK)
    beginning = Throttle(
        share.of(BEGIN_A_MINUTE), "Too many readers of this network opened the feed.", monotonic=anyio.current_time
    )
    threads = anyio.CapacityLimiter(READ_AT_ONCE)  # requests for tokens may queue up for all others

    async def read(request: Request) -> Response:
        network = limit_key(context_of(request.scope).address)
        if MEDIA_TYPE in request.headers.get("accept", ""):
            since = _last_seen(request)
            beginning.charge(network)
            with ExitStack() as places:
                places.enter_context(following.one(network))
                places.enter_context(live.follow())
                places.enter_context(subscriber_tracker.streaming(_claim(request, recognise)))
                pages = live.pages(since)
                first = await anext(pages)  # now, since a stream that has begun could no longer say 503
                return Stream(first, pages, places.pop_all())
        since, limit = _since(request), _limit(request)
        with reading.one(network):
            document = await anyio.to_thread.run_sync(feed.document, since, limit, limiter=threads)
        if document.snapshot:
            beginning.charge(network)
        subscriber_tracker.heard(_claim(request, recognise), network)
        return Response(document.text, media_type="application/json", headers=_FRESH)

    async def keys(_request: Request) -> Response:
        found = await run_in_threadpool(published)
        return JSONResponse({"keys": [as_jwk(key) for key in found]}, headers=_CACHED)

    return [resource(PATH, get=read), resource(KEYS_PATH, get=keys)]


def _claim(request: Request, recognise: Recognise) -> Claim:
    shown = request.headers.getlist("authorization")
    proof = partial(recognise, shown, context_of(request.scope)) if shown else None
    return read_claim(request.headers.getlist(AUDIENCE), proof)


def _since(request: Request) -> int:
    since = query_int(request, "since")
    if since is None:
        raise Invalid("since", "since is missing.", "Use 0 to read from the beginning.")
    return _in_range("since", since, 0, strict_json.MAX_INTEGER)


def _last_seen(request: Request) -> int:
    """Return the entry number after which a stream begins: from `Last-Event-ID`, else from `since`.

    Browsers and other event-stream clients send `Last-Event-ID` when they reconnect.
    """
    last = request.headers.get("last-event-id", "")
    if last.isascii() and last.isdigit() and len(last) <= 15:
        return int(last)
    return _since(request)


def _limit(request: Request) -> int:
    return _in_range("limit", query_int(request, "limit", default=AT_ONCE) or 0, 1, AT_MOST)


def _in_range(name: str, value: int, lowest: int, highest: int) -> int:
    if not lowest <= value <= highest:
        raise Invalid(name, f"{name} must be {lowest} to {highest}.")
    return value
