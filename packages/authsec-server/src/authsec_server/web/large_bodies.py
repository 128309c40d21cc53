"""Bodies of any size that is allowed, read so that tokens are issued meanwhile.

To parse two megabytes takes the time of some hundred tokens. That is done in a thread, one body after the other; and
few are held at once, since each becomes many times as large.
"""

from __future__ import annotations

from typing import Final

import anyio
import anyio.to_thread
from starlette.requests import Request

from authsec_server.web.bodies import MAX_BODY, B, parsed, read_body, read_bytes
from authsec_server.web.places import Places

AT_ONCE: Final = 8  # that are read or parsed, or wait for that
OF_ONE: Final = 3  # who administers; more would keep others out


class LargeBodies:
    """For one event loop."""

    def __init__(self) -> None:
        self._places = Places(at_once=AT_ONCE, of_one=OF_ONE)
        self._thread = anyio.CapacityLimiter(1)  # not one of those that requests for tokens take

    async def read(self, request: Request, shape: type[B], *, at_most: int, whose: str) -> B:
        """The request's JSON body as `shape`, of at most so many bytes. Raises `Invalid`, naming the member.

        Raises `Unavailable` where a larger body than usual may come, and too many of `whose` have come.
        """
        if at_most <= MAX_BODY:
            return await read_body(request, shape)
        with self._places.one(whose):
            data = await read_bytes(request, at_most=at_most)
            if len(data) <= MAX_BODY:
                return parsed(data, shape)
            return await anyio.to_thread.run_sync(parsed, data, shape, limiter=self._thread)
