"""What those who follow the feed get: read once a turn for all who are at the same place.

Those who know all there is stand in a line of their own. Anybody may say to be anywhere, and what is far back takes
long to read; nobody who is at the end waits for that.
"""

from __future__ import annotations

from collections import deque

import anyio

from authsec_server.revocations.heads import Document, Feed

PAGE = 1000
KEPT_DOCUMENTS = 64  # of those who are behind: strangers may claim to be anywhere
ENDS = 16  # the last ends of the feed: who was not served for some turns is still at one of them


class Reading:
    """The pages of one turn after the other. For one event loop; reads in threads of its own."""

    def __init__(self, feed: Feed) -> None:
        self._at_the_end = _Line(feed, ENDS)
        self._behind = _Line(feed, KEPT_DOCUMENTS)
        self._ends: deque[int] = deque(maxlen=ENDS)

    def begin_turn(self) -> None:
        """What was read so far is too old from now on."""
        self._at_the_end.documents, self._behind.documents = {}, {}

    async def after(self, since: int) -> Document:
        """What comes after `since`. Raises `Unavailable`."""
        line = self._at_the_end if since in self._ends else self._behind
        document = await line.after(since)
        if document.complete and document.through not in self._ends:  # nobody can make this up
            self._ends.append(document.through)
        return document


class _Line:
    """One reads at a time, in a thread of their own: requests for tokens may queue up for all others."""

    def __init__(self, feed: Feed, kept: int) -> None:
        self.documents: dict[int, Document] = {}
        self._feed = feed
        self._kept = kept
        self._alone = anyio.Lock()
        self._thread = anyio.CapacityLimiter(1)

    async def after(self, since: int) -> Document:
        async with self._alone:
            documents = self.documents  # of this turn: what is read now is too old for the next
            if since in documents:
                return documents[since]
            document = await anyio.to_thread.run_sync(self._feed.document, since, PAGE, limiter=self._thread)
            if len(documents) < self._kept and not (document.snapshot and since):  # those are long, and written already
                documents[since] = document
            return document
