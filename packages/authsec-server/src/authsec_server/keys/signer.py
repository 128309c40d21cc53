"""Sign tokens outside of any transaction, with decrypted signing keys that stay in memory.

The transaction that records the token decides which key signs (`service.active_kids`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from authsec.jose import PrivateKey

from authsec_server.db import Database, Tx
from authsec_server.keys import service, store
from authsec_server.keys.master_key import KeyUnusable, MasterKey, Purpose
from authsec_server.keys.model import Algorithm
from authsec_server.keys.signing_processes import SigningProcesses


class Signer:
    """Signs tokens from any thread. The signer decrypts each key only once."""

    def __init__(self, database: Database, master_key: MasterKey) -> None:
        self._database = database
        self._master_key = master_key
        self._opened: dict[str, PrivateKey] = {}
        self._opening = threading.Lock()
        self._processes: SigningProcesses | None = None
        # The authority version, its change id, and the active keys at this version.
        self._active: tuple[int, str, Mapping[Algorithm, str]] = (-1, "", {})

    def active_kids(self, tx: Tx) -> Mapping[Algorithm, str]:
        """Return the names of the keys that sign in this transaction.

        The names are cached until the next change of authority, because only a change can activate another key.
        """
        version, change_id, kids = self._active
        if (version, change_id) != (tx.version, tx.change_id):
            kids = service.active_kids(tx)
            self._active = (tx.version, tx.change_id, kids)
        return kids

    @contextmanager
    def with_processes(self, count: int) -> Iterator[None]:
        """Start `count` signing processes for `sign_elsewhere`, and stop them at the end of this context."""
        self._processes = SigningProcesses(count, lambda kid: self._opened.get(kid))
        try:
            self._processes.start()
            yield
        finally:
            self._processes.close()
            self._processes = None

    def sign_elsewhere(self, kid: str, algorithm: Algorithm, signing_input: bytes) -> asyncio.Future[bytes] | None:
        """Sign in a signing process. Return None if no process runs, or if the key is not in memory.

        Call this in an event loop. The future may raise `Unavailable`.
        """
        if self._processes is None or not self.has_opened(kid, algorithm):
            return None
        return self._processes.sign(kid, signing_input)

    def sign(self, kid: str, algorithm: Algorithm, signing_input: bytes) -> bytes:
        """Sign with the key `kid`. Raises `KeyUnusable` or `Unavailable`.

        The attack: raw SQL changes the algorithm in the row of a key, so that the key would sign with the wrong
        algorithm.
        """
        private = self.open(kid)
        if private.algorithm != algorithm:
            raise KeyUnusable(f"The signing key {kid} is not for {algorithm}: its row was changed.")
        return private.sign(signing_input)

    def has_opened(self, kid: str, algorithm: Algorithm) -> bool:
        """Whether the private key `kid` is in memory, and is for this algorithm."""
        private = self._opened.get(kid)
        return private is not None and private.algorithm == algorithm

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
        if self._processes is not None:
            self._processes.hold_only(kids)

    def _load(self, kid: str) -> PrivateKey:
        sealed = self._database.read(lambda tx: store.sealed(tx.connection, kid))
        if sealed is None:
            raise KeyUnusable(f"The signing key {kid} no longer exists.")
        return self._master_key.open_key(sealed, kid=kid, purpose=Purpose.TOKENS)
