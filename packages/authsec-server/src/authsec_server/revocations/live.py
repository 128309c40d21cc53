"""The live feed: one database query serves all followers, and each follower has a stream of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import anyio
import structlog
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from authsec_server.failures import Unavailable
from authsec_server.metrics.catalogue import FEED_LAG, FOLLOWERS
from authsec_server.revocations.feed import Feed, FeedDocument, Reading
from authsec_server.web.sse import message

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.25
BEAT_SECONDS = 5.0  # each follower gets a head at least this often; it proves that no entry is withheld
AWAY_SECONDS = 8.0  # streams survive a shorter failure of the database; followers reconnect after 10 s of silence


class LiveFeed:
    """Sends each new page to all followers. The task `run` must run as long as the server runs."""

    def __init__(self, feed: Feed, *, ending: Callable[[], bool] = lambda: False) -> None:
        self._feed = feed
        self._ending = ending
        self._followers = 0
        self._over = False
        self._wanted = anyio.Event()
        self._hint = anyio.Event()
        self._turn = anyio.Event()
        self._away = False
        self._missed = False  # a follower could not read the page of this turn
        self._thread = anyio.CapacityLimiter(1)  # a reserved thread: token requests may occupy all others
        self._reading = Reading(feed)

    @contextmanager
    def follow(self) -> Iterator[None]:
        """Register a follower within this context. `pages` continues only while a follower is registered.

        Raises `Unavailable` if the server is about to stop.
        """
        if self._over or self._ending():
            raise Unavailable("The server is shutting down.")
        if not self._followers:
            self._reading.begin_turn()  # the cached pages may be as old as the time without followers
        self._followers += 1
        FOLLOWERS.of().set(self._followers)
        self._wanted.set()
        try:
            yield
        finally:
            self._followers -= 1
            FOLLOWERS.of().set(self._followers)

    async def pages(self, since: int) -> AsyncIterator[FeedDocument]:
        """Yield pages with the entries after `since`: first the existing entries, then each new entry.

        Regularly, an empty page is also sent. Its signed head proves that no entry is withheld.
        The iteration ends when the server stops.
        Raises `Unavailable` if the database is unavailable before the first page, or for some seconds later.
        """
        began = False
        while not self._over:
            turn = self._turn  # before the query: entries that arrive during the query end this turn
            try:
                document = await self._reading.after(since)
            except Unavailable:
                if not began:
                    raise
                self._missed = True
            else:
                yield document
                began, since = True, document.through
                if not document.complete:
                    continue
            await turn.wait()
            if self._away:
                raise Unavailable("The database is not available.")

    async def run(self) -> None:
        """Query the database while there are followers. Stop when cancelled or when `ending` returns true.

        Then end every stream.
        """
        loop = asyncio.get_running_loop()

        def tell() -> None:
            with suppress(RuntimeError):  # the loop has just ended, and with it all who follow
                loop.call_soon_threadsafe(self._look_at_once)

        try:
            with self._feed.database.telling(tell):
                while not self._ending():
                    await self._wanted.wait()
                    await self._look_on()
                    FEED_LAG.of().set(0)
                    self._wanted, self._away = anyio.Event(), False
        finally:
            self._over = True
            self._take_turn()

    async def _look_on(self) -> None:
        known, turned = -1, anyio.current_time() - BEAT_SECONDS
        FEED_LAG.of().set(self._milliseconds())
        while self._followers and not self._ending():
            began = self._milliseconds()
            last = await self._look()
            if last is not None:
                FEED_LAG.of().set(began)
            overdue = anyio.current_time() - turned
            if last is None:
                if overdue >= AWAY_SECONDS and not self._away:
                    self._away = True
                    self._take_turn()
            elif last != known or self._missed or overdue >= BEAT_SECONDS:
                known, turned, self._away, self._missed = last, anyio.current_time(), False, False
                self._take_turn()
            with anyio.move_on_after(POLL_SECONDS):
                await self._hint.wait()
            self._hint = anyio.Event()

    def _milliseconds(self) -> int:
        return int(self._feed.now().timestamp() * 1000)

    async def _look(self) -> int | None:
        """Return the number of the newest entry; None if the number cannot be read from the database."""
        try:
            return await anyio.to_thread.run_sync(self._feed.last, limiter=self._thread)
        except Unavailable:
            log.debug("the revocation feed is waiting for the database")
        except Exception as error:  # noqa: BLE001 - any error: without heads, followers fail closed
            log.warning("the revocation feed was interrupted", error=type(error).__name__)
        return None

    def _look_at_once(self) -> None:
        self._hint.set()

    def _take_turn(self) -> None:
        self._reading.begin_turn()
        self._turn.set()
        self._turn = anyio.Event()


MEDIA_TYPE = "text/event-stream"
TAKE_SECONDS = 15.0  # a follower that reads nothing for this long is disconnected
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # proxies must not buffer events


class Stream(StreamingResponse):
    """The HTTP response with the first page and all following pages.

    `places` contains the contexts that end with the stream: the follower's place in the limit of streams, and its
    registrations as a follower.
    """

    def __init__(self, first: FeedDocument, following: AsyncIterator[FeedDocument], places: ExitStack) -> None:
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


async def _messages(first: FeedDocument, following: AsyncIterator[FeedDocument]) -> AsyncIterator[bytes]:
    yield _message(first)
    try:
        async for document in following:
            yield _message(document)
    except Unavailable:
        return  # the reader reconnects and gets the error


def _message(document: FeedDocument) -> bytes:
    return message(document.text, number=document.through, kind="batch").encode()
