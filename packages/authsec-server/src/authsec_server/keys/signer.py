"""Sign outside of any transaction, with opened signing keys that stay in memory.

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
    """Signs tokens from any thread. The signer opens each key once, not once for each token."""

    def __init__(self, database: Database, master_key: MasterKey) -> None:
        self._database = database
        self._master_key = master_key
        self._opened: dict[str, PrivateKey] = {}
        self._opening = threading.Lock()

    def sign(self, kid: str, signing_input: bytes) -> bytes:
        """Sign with the key `kid` (RS256). Raises `KeyUnusable` or `Unavailable`."""
        return self.open(kid).sign(signing_input)

    def open(self, kid: str) -> PrivateKey:
        """Return the private key from memory, or open it from the database if another server made it.

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
        """Delete every other key from memory: a key that the database deleted must not survive there."""
        with self._opening:
            self._opened = {kid: key for kid, key in self._opened.items() if kid in kids}

    def _load(self, kid: str) -> PrivateKey:
        sealed = self._database.read(lambda tx: store.sealed(tx.connection, kid))
        if sealed is None:
            raise KeyUnusable(f"The signing key {kid} no longer exists.")
        return self._master_key.open_key(sealed, kid=kid, purpose=Purpose.TOKENS)
