"""Opened signing keys, in memory, by kid. Signs outside of any transaction.

Which key signs is not decided here but in the transaction that records the token (`service.active_kid`).
"""

from __future__ import annotations

import threading
from collections.abc import Collection

from authsec.jose import JoseError, PrivateKey

from authsec_server.db import Database
from authsec_server.failures import Unavailable
from authsec_server.keys import store
from authsec_server.keys.master_key import MasterKey, NotUnsealed


class KeyUnusable(Unavailable):
    """This one key cannot be used: gone, damaged, or not made by this authority."""


class Signer:
    """Used from any thread. A key is opened once, never for each token."""

    def __init__(self, database: Database, master_key: MasterKey) -> None:
        self._database = database
        self._master_key = master_key
        self._opened: dict[str, PrivateKey] = {}
        self._opening = threading.Lock()

    def sign(self, kid: str, signing_input: bytes) -> bytes:
        """The RS256 signature of the key `kid`. Raises `KeyUnusable` or `Unavailable`."""
        return self.open(kid).sign(signing_input)

    def open(self, kid: str) -> PrivateKey:
        """The key, from memory or, when another server has made it, from the database.

        Raises `KeyUnusable`, or `Unavailable` when the database is.
        """
        opened = self._opened.get(kid)
        if opened is not None:
            return opened
        with self._opening:
            if kid not in self._opened:
                self._opened[kid] = self._load(kid)
            return self._opened[kid]

    def hold_only(self, kids: Collection[str]) -> None:
        """Let go of every other key: what is gone from the database shall not live on in memory."""
        with self._opening:
            self._opened = {kid: key for kid, key in self._opened.items() if kid in kids}

    def _load(self, kid: str) -> PrivateKey:
        sealed = self._database.read(lambda tx: store.sealed(tx.connection, kid))
        if sealed is None:
            raise KeyUnusable(f"The signing key {kid} is gone.")
        try:
            key = PrivateKey.from_pem(self._master_key.unseal(sealed, kid=kid), ours=True)  # unsealing shows any change
        except (NotUnsealed, JoseError):
            raise KeyUnusable(f"The signing key {kid} cannot be opened: its row was damaged or changed.") from None
        # Tokens name the key by its thumbprint: signed by another, each would be refused everywhere.
        if key.algorithm != "RS256" or key.public.thumbprint() != kid:
            raise KeyUnusable(f"What is sealed as the signing key {kid} is another key.")
        return key
