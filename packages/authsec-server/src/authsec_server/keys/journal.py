"""The key that signs the heads of the log over the journal: made once, published for as long as the database lives.

It is not replaced by age. Whoever checks the journal keeps its public part from the first day, and checks with it what
was sealed years ago.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from authsec.jose import PrivateKey, PublicKey

from authsec_server.audit.model import EventKind
from authsec_server.db import Database, Tx
from authsec_server.failures import Unavailable
from authsec_server.keys import store
from authsec_server.keys.head_keys import HeadKey, HeadKeyMaker, record_by_server
from authsec_server.keys.master import MasterKey, Purpose
from authsec_server.revocations.heads import as_jwk


class JournalKeys:
    """The key of one database; several where servers that started together each made one. Used from any thread.

    `keep` must have run once before anything is signed.
    """

    def __init__(self, database: Database, master_key: MasterKey, *, token_bytes: Callable[[int], bytes]) -> None:
        self._database = database
        self._maker = HeadKeyMaker(master_key=master_key, purpose=Purpose.JOURNAL, token_bytes=token_bytes)
        self._signs: PrivateKey | None = None

    def keep(self, now: datetime) -> None:
        """Make the key where there is none. Run at the start. Raises `Unavailable`."""
        if self._signs is None:
            held = self._read()
            if not held:
                self._make(now)
                held = self._read()
            self._signs = held[0].private

    def signing_key(self) -> PrivateKey:
        """The key that signs. Raises `Unavailable`."""
        if self._signs is None:
            raise Unavailable("There is no key to seal the journal with.")
        return self._signs

    def published(self) -> list[dict[str, str]]:
        """The same, as everybody may have them: JWKs. Raises `Unavailable`."""
        return [as_jwk(key) for key in self.by_kid().values()]

    def by_kid(self) -> Mapping[str, PublicKey]:
        """What verifies heads: what the table lists *and* the master key opens. Raises `Unavailable`."""
        return {key.kid: key.private.public for key in self._read()}

    def _read(self) -> list[HeadKey]:
        sealed = self._database.read(lambda tx: store.all_head_keys(tx.connection, store.sealing_keys))
        return [opened for each in sealed if (opened := self._maker.opened(each)) is not None]

    def _make(self, now: datetime) -> None:
        made = self._maker.make(now)

        def add(tx: Tx) -> None:
            store.add_head_key(tx.connection, store.sealing_keys, made)
            record_by_server(tx, EventKind.SEAL_KEY_CREATED, made.kid, now)

        self._database.append(add)
