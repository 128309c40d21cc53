"""The keys that sign the heads of the revocation feed: create, publish and replace the keys by age.

A head is the signed part of a feed page. These keys sign no token, and no token key signs a head. A server signs with
the newest key that every reader has had time to fetch. This choice depends only on the creation times of the keys, so
all servers of a database choose the same key without communication.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from authsec.jose import PrivateKey, PublicKey

from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind
from authsec_server.db import Database, Tx
from authsec_server.failures import Unavailable
from authsec_server.keys.head_keys import HeadKey, HeadKeyRing, named, record_by_server
from authsec_server.keys.master_key import MasterKey, Purpose
from authsec_server.principal import Act, Role
from authsec_server.revocations.feed import KEYS_MAX_AGE

PUBLISH_AHEAD = KEYS_MAX_AGE + timedelta(seconds=60)  # the additional minute: until every server has loaded the key
PUBLISH_AFTER = timedelta(hours=1)  # a head is valid for seconds, and clocks differ


class FeedKeys:
    """The feed keys of one database. Safe for use from any thread.

    `keep` must run once before the first call of `signing_key`.
    """

    def __init__(
        self,
        database: Database,
        master_key: MasterKey,
        *,
        max_age: timedelta,
        token_bytes: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._ring = HeadKeyRing(master_key=master_key, purpose=Purpose.FEED, token_bytes=token_bytes)
        self._max_age = max_age
        self._held: Sequence[HeadKey] = ()

    def keep(self, now: datetime) -> None:
        """Make a key if every key is too old, and delete the keys that nobody needs any more. Raises `Unavailable`.

        Run at the start and every minute. The method takes no lock. Two servers may therefore each make a key, but
        an additional key changes nobody's authority and does no harm.
        """
        held = self._database.read(self._ring.open_all)
        if not held or now - held[-1].created_at >= self._max_age:
            self._make(now)
            held = self._database.read(self._ring.open_all)
        over = {key.kid for key in held[: _signing(held, now - PUBLISH_AFTER)]}
        if over:
            self._database.append(lambda tx: self._delete(tx, over, now))
        self._held = [key for key in held if key.kid not in over]

    def rotate(self, tx: Tx, act: Act) -> datetime:
        """Make a new key before the next one is due, and return the time from which the new key signs.

        Every server loads the key within a minute.
        """
        act.principal.require(Role.ADMIN)
        made = self._ring.add(tx, act.now)
        audit.record_act(tx, act, EventKind.FEED_KEY_CREATED, subject=named(made.kid), kid=made.kid)
        return made.created_at + PUBLISH_AHEAD

    def signing_key(self, now: datetime) -> PrivateKey:
        """Return the key that signs heads at `now`. Raises `Unavailable`."""
        held = self._held
        if not held:
            raise Unavailable("There is no key to sign the revocation feed with.")
        return held[_signing(held, now)].private

    def published(self) -> list[PublicKey]:
        """Return the keys that verify heads. Raises `Unavailable`.

        A key is published only if it is in the table *and* the master key decrypts it.
        """
        return [key.private.public for key in self._database.read(self._ring.open_all)]

    def _make(self, now: datetime) -> None:
        self._database.append(lambda tx: self._ring.create(tx, now))

    def _delete(self, tx: Tx, kids: Collection[str], now: datetime) -> None:
        """Delete these keys, and record each deletion.

        If another server has already deleted a key, the deletion of this key is not recorded again.
        """
        for kid in self._ring.delete(tx, kids):
            record_by_server(tx, EventKind.FEED_KEY_GONE, kid, now)


def _signing(held: Sequence[HeadKey], now: datetime) -> int:
    """Return the index of the key that signs at `now`.

    The newest key that was published long enough ago signs. If there is no such key, the oldest key signs.
    """
    ready = [place for place, key in enumerate(held) if now - key.created_at >= PUBLISH_AHEAD]
    return ready[-1] if ready else 0
