"""Record which APIs follow the feed. All servers of the authority share the record."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

import anyio
import structlog

from authsec_server.db import Database, Tx, rows
from authsec_server.revocations import store

FOLLOWS_FOR = timedelta(minutes=2)  # after the last time seen; an open stream is noted every minute
MOST_AUDIENCES = 16  # in one claim
MOST_CHARACTERS = 4096  # of one claim


class Following(StrEnum):
    """How certain the authority is that an API follows the feed."""

    PROVED = "proved"  # proved by the API's own credential
    SAID = "said"  # claimed by a reader without a credential
    NO = "no"  # not seen in the last two minutes


Proof = Callable[[], str | None]  # returns the audience of the API that now has the reader's credential


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The audiences for which a reader of the feed claims to read, and optionally a `proof`.

    `proof` is a function that checks the reader's credential and returns the audience of its API, or None.
    The server calls `proof` in the background, about every minute while the reader follows the feed.
    """

    audiences: frozenset[str] = frozenset()
    proof: Proof | None = field(default=None, repr=False)  # it holds the credential

    def __bool__(self) -> bool:
        return bool(self.audiences) or self.proof is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastSeen:
    """The last times at which a reader followed the feed for an audience.

    `seen_at` is the last time with or without a proof. `proved_at` is the last time with a proof.
    """

    audience: str
    seen_at: datetime
    proved_at: datetime | None

    def at(self, now: datetime) -> Following:
        """Return how certain it is at `now` that the API follows the feed."""
        if self.proved_at is not None and now - self.proved_at <= FOLLOWS_FOR:
            return Following.PROVED
        return Following.SAID if now - self.seen_at <= FOLLOWS_FOR else Following.NO


def read_claim(headers: Collection[str], proof: Proof | None = None) -> Claim:
    """Read the claimed audiences from the values of the request header.

    The claim has no audiences in three cases:

    - The header is too long.
    - It names too many audiences.
    - It has characters that no audience can have.
    """
    text = " ".join(headers)
    names = frozenset(text.split(" ")) - {""} if len(text) <= MOST_CHARACTERS else frozenset()
    if len(names) > MOST_AUDIENCES or not all(name.isascii() and name.isprintable() for name in names):
        names = frozenset()
    return Claim(audiences=names, proof=proof)


KEPT_FOR = timedelta(days=30)  # the record of a follower


def seen(tx: Tx, audiences: Collection[str]) -> dict[str, LastSeen]:
    """Return the follower record of each audience. An audience without a record is left out."""
    return {row.audience: rows.read(LastSeen, row) for row in store.followers_of(tx.connection, audiences)}


def note(tx: Tx, proved: Mapping[str, bool], now: datetime) -> None:
    """Save that the APIs with these audiences follow the feed at `now`.

    `proved` says for each audience whether a credential proved it.
    """
    store.note_follower(tx.connection, proved, now)


def forget(tx: Tx, now: datetime) -> None:
    """Delete the records of followers that were last seen more than `KEPT_FOR` ago."""
    store.delete_followers_before(tx.connection, now - KEPT_FOR)


log = structlog.get_logger(__name__)

EVERY = timedelta(minutes=1)  # how often the record of a followed audience is written
BETWEEN_ROUNDS = 1.0  # seconds, for any number of claims
AT_LEAST_EVERY = 20.0  # seconds, for open streams
MOST_NETWORKS = 256  # whose last page is remembered until the next round


class SubscriberTracker:
    """Collects the followers that this process has seen. The task `run` saves them, and must always run.

    Call `heard` and `streaming` only in the event loop of `run`.
    `known` returns the audiences that tokens can have.
    """

    def __init__(
        self,
        database: Database,
        *,
        known: Callable[[Tx], Collection[str]],
        now: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._known = known
        self._now = now
        self._streaming: dict[object, Claim] = {}
        self._pages: dict[str, Claim] = {}  # by network: a reader without a stream may read a page each second
        self._noted: dict[tuple[str, bool], datetime] = {}  # of known audiences only
        self._wanted = anyio.Event()

    def heard(self, claim: Claim, network: str) -> None:
        """Note that the reader with this claim has read a page. `network` is the reader's network address."""
        if claim and (network in self._pages or len(self._pages) < MOST_NETWORKS):
            self._pages[network] = claim
            self._wanted.set()

    @contextmanager
    def streaming(self, claim: Claim) -> Iterator[None]:
        """Note that the reader with this claim follows the stream for as long as this context lasts."""
        if not claim:
            yield
            return
        key = object()
        self._streaming[key] = claim
        self._wanted.set()
        try:
            yield
        finally:
            del self._streaming[key]

    async def run(self) -> None:
        """Save the noted followers regularly, until cancelled."""
        while True:
            with anyio.move_on_after(AT_LEAST_EVERY if self._streaming else None):
                await self._wanted.wait()
            self._wanted = anyio.Event()
            claims, self._pages = [*self._streaming.values(), *self._pages.values()], {}
            try:
                self._forget_proofs(await anyio.to_thread.run_sync(self.note, claims))
            except Exception as error:  # noqa: BLE001 - any error: only the records of followers are lost
                log.warning("the followers of the revocation feed could not be recorded", error=type(error).__name__)
            await anyio.sleep(BETWEEN_ROUNDS)

    def note(self, claims: Collection[Claim]) -> list[Claim]:
        """Save what these claims add to the saved followers. Return the claims with an invalid proof.

        Blocks its thread. Raises `Unavailable`.
        """
        now = self._now()
        self._noted = {what: at for what, at in self._noted.items() if now - at < EVERY}
        news = [claim for claim in claims if self._is_news(claim)]
        if not news:
            return []
        named = {each for claim in news for each in claim.audiences}
        proofs = [(claim, claim.proof()) for claim in news if claim.proof]
        proved = {audience for _, audience in proofs if audience is not None}
        known = (named | proved) & set(self._database.read(self._known))
        fresh = {each: each in proved for each in known if (each, each in proved) not in self._noted}
        if fresh:
            self._database.append(lambda tx: note(tx, fresh, now))
            self._noted |= dict.fromkeys(fresh.items(), now)
        return [claim for claim, audience in proofs if audience is None]

    def _forget_proofs(self, refused: Collection[Claim]) -> None:
        """Remove the refused proofs from the claims of open streams, because an invalid credential stays invalid.

        For the rest of the stream, the server neither checks nor records the proof again.
        """
        for key, claim in [*self._streaming.items()]:
            if any(claim is each for each in refused):
                self._streaming[key] = replace(claim, proof=None)

    def _is_news(self, claim: Claim) -> bool:
        """Whether the claim may add a fact that was not saved within the last minute."""
        if claim.proof is not None:
            return not any((each, True) in self._noted for each in claim.audiences)
        return any(not {(each, False), (each, True)} & self._noted.keys() for each in claim.audiences)
