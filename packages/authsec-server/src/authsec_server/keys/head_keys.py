"""The stored keys that sign heads of the revocation feed or checkpoints of the audit log: make, encrypt, decrypt.

`feed_keys` and `sealing_keys` decide when a key is made, which key signs, and when a key is deleted. These
keys sign no token. A key for the feed never signs a checkpoint, and a key for checkpoints never signs a
head of the feed: each key is encrypted for one purpose.

The signing keys of tokens are in `key_ring` instead. Their states change only under the authority lock,
their rows stay after the private part is deleted, and they can be revoked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

import structlog
from authsec.jose import PrivateKey

from authsec_server.audit import service as audit
from authsec_server.audit.model import Event, EventKind, Named
from authsec_server.db import Tx
from authsec_server.keys import store
from authsec_server.keys.master_key import NONCE_BYTES, KeyUnusable, MasterKey, Purpose
from authsec_server.keys.model import SealedKey
from authsec_server.principal import THE_SERVER

log = structlog.get_logger(__name__)

_TABLES = {Purpose.FEED: store.feed_keys, Purpose.AUDIT_LOG: store.sealing_keys}
_CREATED = {Purpose.FEED: EventKind.FEED_KEY_CREATED, Purpose.AUDIT_LOG: EventKind.SEAL_KEY_CREATED}


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadKey:
    """A decrypted private key that signs heads of the revocation feed or checkpoints of the audit log."""

    private: PrivateKey
    created_at: datetime

    @property
    def kid(self) -> str:
        """Return the RFC 7638 thumbprint of the public key, which is the key's name."""
        return self.private.public.thumbprint()


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadKeyRing:
    """The stored keys of one purpose: for heads of the revocation feed, or for checkpoints of the audit log.

    Each purpose has its own table.
    """

    master_key: MasterKey
    purpose: Purpose
    token_bytes: Callable[[int], bytes]

    def open_all(self, tx: Tx) -> list[HeadKey]:
        """Decrypt and return the keys, oldest first. A key that this master key cannot decrypt is left out."""
        sealed = store.all_head_keys(tx.connection, _TABLES[self.purpose])
        return [opened for each in sealed if (opened := self.opened(each)) is not None]

    def kids(self, tx: Tx) -> set[str]:
        """Return the names of all keys in the table, including keys that the master key cannot decrypt."""
        return {each.kid for each in store.all_head_keys(tx.connection, _TABLES[self.purpose])}

    def add(self, tx: Tx, now: datetime) -> HeadKey:
        """Make a key, and store it encrypted. The caller records an event. Raises `KeyUnusable`."""
        made = self.make(now)
        store.add_head_key(tx.connection, _TABLES[self.purpose], made)
        return self._open(made)

    def create(self, tx: Tx, now: datetime) -> None:
        """Make and store a key when no person asked for it. The recorded event has the server as the principal."""
        record_by_server(tx, _CREATED[self.purpose], self.add(tx, now).kid, now)

    def delete(self, tx: Tx, kids: Collection[str]) -> list[str]:
        """Delete these keys, and return the names of the keys that existed until then."""
        return store.delete_head_keys(tx.connection, _TABLES[self.purpose], kids)

    def make(self, now: datetime) -> SealedKey:
        """Make a key and encrypt its private part."""
        private = PrivateKey.generate_ed25519()
        kid = private.public.thumbprint()
        nonce = self.token_bytes(NONCE_BYTES)
        sealed = self.master_key.seal(private.to_pem(), kid=kid, nonce=nonce, purpose=self.purpose)
        return SealedKey(kid=kid, sealed=sealed, created_at=now)

    def opened(self, sealed: SealedKey) -> HeadKey | None:
        """Decrypt the key. If that fails, log an error and return None.

        This master key can decrypt a key only if it encrypted this key for this purpose.
        """
        try:
            return self._open(sealed)
        except KeyUnusable:
            log.error(
                "a key that signs heads cannot be decrypted and is not published", kid=sealed.kid, key=self.purpose
            )
            return None

    def _open(self, sealed: SealedKey) -> HeadKey:
        private = self.master_key.open_key(sealed.sealed, kid=sealed.kid, purpose=self.purpose)
        return HeadKey(private=private, created_at=sealed.created_at)


def record_by_server(tx: Tx, kind: EventKind, kid: str, now: datetime) -> None:
    """Record an event about the key, with the server as the principal."""
    event = Event(
        at=now,
        kind=kind,
        request_id="",
        principal=THE_SERVER,
        subject=named(kid),
        kid=kid,
    )
    audit.record(tx, event)


def named(kid: str) -> Named:
    """Return the key as the subject of an event."""
    return Named(id=kid, name=kid)
