"""The feed as server-sent events: a stream that holds its place until it ends, and not a moment longer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack

import anyio
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from authsec_server.failures import Unavailable
from authsec_server.revocations.heads import Document
from authsec_server.web.sse import message

MEDIA_TYPE = "text/event-stream"
TAKE_SECONDS = 15.0  # whoever takes nothing for so long loses the place
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # no proxy shall keep events back


class Stream(StreamingResponse):
    """The first page and all that follow. `places` are what it holds until it ends."""

    def __init__(self, first: Document, following: AsyncIterator[Document], places: ExitStack) -> None:
        super().__init__(_messages(first, following), media_type=MEDIA_TYPE, headers=_HEADERS)
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


async def _messages(first: Document, following: AsyncIterator[Document]) -> AsyncIterator[bytes]:
    yield _message(first)
    try:
        async for document in following:
            yield _message(document)
    except Unavailable:
        return  # the reader comes back and is told why there is nothing


def _message(document: Document) -> bytes:
    return message(document.text, number=document.through, kind="batch").encode()
