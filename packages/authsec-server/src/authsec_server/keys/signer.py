"""Sign tokens outside of any transaction, with decrypted signing keys that stay in memory.

The transaction that records the token decides which key signs (`service.active_kid`).
"""

from __future__ import annotations

import threading
from collections.abc import Collection

from authsec.jose import PrivateKey

from authsec_server.db import Database
from authsec_server.keys import store
from authsec_server.keys.master_key import KeyUnusable, MasterKey, Purpose


class Signer:
    """Signs tokens from any thread. The signer decrypts each key only once."""

    def __init__(self, database: Database, master_key: MasterKey) -> None:
        self._database = database
        self._master_key = master_key
        self._opened: dict[str, PrivateKey] = {}
        self._opening = threading.Lock()

    def sign(self, kid: str, signing_input: bytes) -> bytes:
        """Sign with the key `kid` (RS256). Raises `KeyUnusable` or `Unavailable`."""
        return self.open(kid).sign(signing_input)

    def has_opened(self, kid: str) -> bool:
        """Whether the private key `kid` is in memory."""
        return kid in self._opened

    def open(self, kid: str) -> PrivateKey:
        """Return the private key `kid` from memory. If it is not in memory, load and decrypt it from the database.

        Raises `KeyUnusable`, or `Unavailable` when the database is unavailable.
        """
        opened = self._opened.get(kid)
        if opened is not None:
            return opened
        with self._opening:
            if kid not in self._opened:
                self._opened[kid] = self._load(kid)
            return self._opened[kid]

    def hold_only(self, kids: Collection[str]) -> None:
        """Delete all keys except `kids` from memory. A key that was deleted in the database must not stay in memory."""
        with self._opening:
            self._opened = {kid: key for kid, key in self._opened.items() if kid in kids}

    def _load(self, kid: str) -> PrivateKey:
        sealed = self._database.read(lambda tx: store.sealed(tx.connection, kid))
        if sealed is None:
            raise KeyUnusable(f"The signing key {kid} no longer exists.")
        return self._master_key.open_key(sealed, kid=kid, purpose=Purpose.TOKENS)
