"""The feed as server-sent events: a stream that holds its place until it ends, and not a moment longer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack

import anyio
from authsec import strict_json
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from authsec_server.failures import Unavailable
from authsec_server.revocations.live import LiveFeed
from authsec_server.web.server_sent import message

MEDIA_TYPE = "text/event-stream"
TAKE_SECONDS = 15.0  # whoever takes nothing for so long loses the place
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # no proxy shall keep events back


class Stream(StreamingResponse):
    """Every page after `since`. `places` are what it holds until it ends."""

    def __init__(self, live: LiveFeed, since: int, places: ExitStack) -> None:
        super().__init__(_messages(live, since), media_type=MEDIA_TYPE, headers=_HEADERS)
        self._places = places

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(part: Message) -> None:
            try:
                with anyio.fail_after(TAKE_SECONDS):
                    await send(part)
            except TimeoutError:
                raise ClientDisconnect from None

        with self._places:
            await super().__call__(scope, receive, send_in_time)


async def _messages(live: LiveFeed, since: int) -> AsyncIterator[bytes]:
    try:
        async for document in live.pages(since):
            data = strict_json.dumps(document.body).decode()
            yield message(data, number=document.through, kind="batch").encode()
    except Unavailable:
        return  # the reader comes back and is told why there is nothing
