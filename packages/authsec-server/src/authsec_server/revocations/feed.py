"""Build the pages and snapshots of the feed as JSON. All readers share the cached pages.

Each page contains a signed head: a JWT that signs the numbers of the page and the digest of its entries.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from time import monotonic
from typing import Any

import anyio
from authsec import strict_json
from authsec.jose import PrivateKey, PublicKey, sign_compact

from authsec_server.db import Database, Tx
from authsec_server.failures import Unavailable
from authsec_server.revocations import service
from authsec_server.revocations.model import FeedPage, Revocation
from authsec_server.web.instants import rfc3339

TYPE = "authsec-revocations+jwt"
KEYS_MAX_AGE = timedelta(seconds=240)  # how long a reader may cache the feed's key set
SNAPSHOT_SECONDS = 5.0  # a snapshot is cached this long: after raw SQL, somebody may repair the rows


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedDocument:
    """A page of the feed as the server sends it. `text` is the JSON, encoded once for all readers."""

    through: int
    last: int
    snapshot: bool
    text: str = field(repr=False)

    @property
    def complete(self) -> bool:
        """Whether the page contains the newest entry, so that no entry follows."""
        return self.through == self.last


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """The feed of one authority.

    `signing_key` takes a time and returns the key that signs heads at that time, or raises `Unavailable`.
    `withheld` returns the reason why the feed is withheld, or None.
    The feed is withheld if the database is older than its outside checkpoints, because it then lacks revocations.
    """

    database: Database
    issuer: str
    signing_key: Callable[[datetime], PrivateKey]
    now: Callable[[], datetime]
    monotonic: Callable[[], float] = monotonic
    withheld: Callable[[], str | None] = lambda: None
    snapshots: Snapshots = field(default_factory=lambda: Snapshots(_write), repr=False)

    def last(self) -> int:
        """Return the number of the newest entry. Blocks its thread. Raises `Unavailable`."""
        self._refuse_if_withheld()
        return self.database.read(service.last)

    def document(self, since: int, limit: int) -> FeedDocument:
        """Build the page of entries after `since`, with its head. Blocks its thread. Raises `Unavailable`."""
        self._refuse_if_withheld()
        now = self.now()  # before the look at the database: a head must not promise more than was seen
        snapshot = partial(self.snapshots.entries, at=self.monotonic())
        page = self.database.read(lambda tx: service.page(tx, since, limit, snapshot))
        entries = self.snapshots.written(page.entries)
        head = self._head(page, entries.sha256, self.signing_key(now), now)
        around = strict_json.dumps({"issuer": self.issuer, **_numbers(page), "head": head}).decode()
        text = f'{{"entries":{entries.text},{around.removeprefix("{")}'
        return FeedDocument(through=page.through, last=page.last, snapshot=page.snapshot, text=text)

    def _refuse_if_withheld(self) -> None:
        if why := self.withheld():
            raise Unavailable("The database is older than its outside checkpoints, so it lacks revocations.", why)

    def _head(self, page: FeedPage, entries_sha256: str, key: PrivateKey, now: datetime) -> str:
        claims = {
            "iss": self.issuer,
            "iat": int(now.timestamp()),
            **_numbers(page),
            "entries_sha256": entries_sha256,
            "follows": _digest(as_json(page.follows)) if page.follows else "",
        }
        return sign_compact({"typ": TYPE, "kid": key.public.thumbprint()}, claims, key)


def as_json(entry: Revocation) -> dict[str, Any]:
    """Convert the entry to its public JSON form."""
    return {
        "sequence": entry.sequence,
        "kind": entry.subject_kind.value,
        "subject": entry.published_subject,
        "version": entry.version,
        "at": rfc3339(entry.at),
    }


def as_jwk(key: PublicKey) -> dict[str, str]:
    """Return a key that signs heads as the JWK to publish (RFC 7517, RFC 8037). Such a key signs no token."""
    return {"kid": key.thumbprint(), "use": "sig", "alg": "EdDSA", **key.to_jwk()}


def _write(entries: Sequence[Revocation]) -> Written:
    octets = strict_json.dumps([as_json(each) for each in entries])
    return Written(text=octets.decode(), sha256=sha256(octets).hexdigest())


def _digest(published: object) -> str:
    return sha256(strict_json.dumps(published)).hexdigest()


def _numbers(page: FeedPage) -> dict[str, Any]:
    return {"since": page.since, "through": page.through, "last": page.last, "snapshot": page.snapshot}


PAGE = 1000
KEPT_DOCUMENTS = 64  # pages for readers that are behind; limited, because a stranger can ask for any page
ENDS = 16  # the last ends of the feed; a follower that missed some turns is at one of them


class Reading:
    """A cache of feed pages for the followers of the live feed.

    The live feed works in turns: in each turn, it sends the new pages to all followers.
    Call the methods in one event loop only. Two threads are reserved for reading the database.
    """

    def __init__(self, feed: Feed) -> None:
        self._at_the_end = _Line(feed, ENDS)
        self._behind = _Line(feed, KEPT_DOCUMENTS)
        self._ends: deque[int] = deque(maxlen=ENDS)

    def begin_turn(self) -> None:
        """Clear the cache: pages from earlier turns are too old."""
        self._at_the_end.documents, self._behind.documents = {}, {}

    async def after(self, since: int) -> FeedDocument:
        """Return the page of entries after `since`, from the cache or the database. Raises `Unavailable`."""
        line = self._at_the_end if since in self._ends else self._behind
        document = await line.after(since)
        if document.complete and document.through not in self._ends:  # a stranger cannot invent this number
            self._ends.append(document.through)
        return document


class _Line:
    """Reads one page at a time, in a reserved thread: token requests may occupy all other threads."""

    def __init__(self, feed: Feed, kept: int) -> None:
        self.documents: dict[int, FeedDocument] = {}
        self._feed = feed
        self._kept = kept
        self._alone = anyio.Lock()
        self._thread = anyio.CapacityLimiter(1)

    async def after(self, since: int) -> FeedDocument:
        async with self._alone:
            documents = self.documents  # of this turn: what is read now is too old for the next
            if since in documents:
                return documents[since]
            document = await anyio.to_thread.run_sync(self._feed.document, since, PAGE, limiter=self._thread)
            if len(documents) < self._kept and not (document.snapshot and since):  # those are long, and written already
                documents[since] = document
            return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The entries of a page as the JSON that the server sends, and the digest that the head signs."""

    text: str = field(repr=False)
    sha256: str


class Snapshots:
    """A cache of the newest snapshot. Many threads may use it. `write` converts entries to JSON."""

    def __init__(self, write: Callable[[Sequence[Revocation]], Written]) -> None:
        self._write = write
        self._lock = threading.Lock()  # held while one is made: the others wait for it instead of making their own
        self._of: tuple[int, Revocation | None] | None = None
        self._read_at = 0.0
        self._entries: tuple[Revocation, ...] = ()
        self._written = write(())

    def entries(self, tx: Tx, at: float) -> tuple[Revocation, ...]:
        """Return the newest entry of each subject, from the cache or the database.

        `at` is the current time in monotonic seconds.
        """
        extent = service.extent(tx)
        with self._lock:
            if self._of != extent or at >= self._read_at + SNAPSHOT_SECONDS:
                entries = service.snapshot(tx)
                self._of, self._read_at = extent, at
                if entries != self._entries:
                    self._entries, self._written = entries, self._write(entries)
            return self._entries

    def written(self, entries: tuple[Revocation, ...]) -> Written:
        """Return the entries as JSON. The JSON comes from the cache if the entries are the cached snapshot."""
        with self._lock:
            if entries is self._entries:
                return self._written
        return self._write(entries)
