"""`SigningKeyRing`: make new signing keys outside of transactions, and store them inside of transactions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
from authsec.jose import PrivateKey, PublicKey

from authsec_server.db import Database, Tx
from authsec_server.keys import service
from authsec_server.keys.master_key import NONCE_BYTES, KeyUnusable, MasterKey
from authsec_server.keys.model import PUBLISH_AFTER, NewKey, SigningKey, keys_to_make, may_be_forgotten
from authsec_server.keys.signer import Signer
from authsec_server.principal import Act
from authsec_server.settings import MAX_TOKEN_LIFETIME_CAP, Settings

log = structlog.get_logger(__name__)

# Not the setting: it may have been higher when the tokens were signed, or be higher at another server.
LONGEST_TOKEN_LIFETIME = timedelta(seconds=MAX_TOKEN_LIFETIME_CAP)
STAYS_PUBLISHED = LONGEST_TOKEN_LIFETIME + PUBLISH_AFTER  # once it is retired


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKeyRing:
    """Makes, rotates and deletes the signing keys of one database. Every method blocks its thread.

    Each server of the database has its own `SigningKeyRing`.
    """

    database: Database
    signer: Signer
    master_key: MasterKey
    settings: Settings
    token_bytes: Callable[[int], bytes]

    def keep(self, act: Act) -> None:
        """Make missing keys, rotate by age, and delete expired keys. The call is cheap if nothing has to change.

        Run at the start and every minute. Raises `Unavailable`.
        """
        published_keys = self.database.read(service.published)
        fresh = [self.make() for _ in range(keys_to_make(published_keys, act.now, self._max_age))]
        if fresh or any(may_be_forgotten(key, act.now) for key in published_keys):
            published_keys = self.database.change(lambda tx: self._put_in_order(tx, act, fresh))
        for key in published_keys:
            self.signer.open(key.kid)
        self.signer.hold_only({key.kid for key in published_keys})

    def rotate(self, tx: Tx, act: Act, fresh: NewKey, *, force: bool) -> SigningKey:
        """Rotate because an admin requested it, and return the new active key. Call only inside a `change`.

        `fresh` is a new key, which the caller gets from `make` before the transaction: making a key takes too long
        for a transaction. Raises `Conflict` or `NotPermitted`.
        """
        return service.rotate(tx, act, iter([fresh]), max_token_lifetime=LONGEST_TOKEN_LIFETIME, force=force)

    def revoke(self, tx: Tx, act: Act, kid: str, fresh: Sequence[NewKey], *, because: str = "") -> SigningKey:
        """Revoke the key; see `service.revoke`. Call only inside a `change`.

        `fresh` are the two new keys that the caller gets from `make_two` before the transaction.
        """
        return service.revoke(tx, act, kid, iter(fresh), because=because)

    def drop_unpublished(self) -> None:
        """Delete from memory the private parts of keys that are no longer published. Raises `Unavailable`.

        Other servers do the same within a minute. Until then, no server can use a revoked key for a token: the
        transaction that records the token decides which key signs.
        """
        self.signer.hold_only({key.kid for key in self.database.read(service.published)})

    def verification_keys(self) -> list[PublicKey]:
        """Return the keys that verify this authority's tokens, newest first. Raises `Unavailable`.

        A key is returned only if it is in the table *and* the master key decrypts it. So a key that an attacker
        writes to the database is never published.
        """
        keys = []
        for listed in self.database.read(service.published):
            try:
                keys.append(self.signer.open(listed.kid).public)
            except KeyUnusable as failure:
                log.error("a signing key is not published", kid=listed.kid, message=failure.message)
        return keys

    def _put_in_order(self, tx: Tx, act: Act, made: list[NewKey]) -> list[SigningKey]:
        """Make the decisions of `keep` again under the lock, because another server may have changed the keys before.

        Return the published keys.
        """
        fresh = iter(made)
        service.ensure(tx, act, fresh)
        service.rotate_if_due(tx, act, fresh, max_age=self._max_age, max_token_lifetime=LONGEST_TOKEN_LIFETIME)
        service.expire(tx, act)
        return service.published(tx)

    def make(self) -> NewKey:
        """Make a key pair and encrypt its private part. The caller stores the key."""
        private = PrivateKey.generate_rsa(2048)
        kid = private.public.thumbprint()
        sealed = self.master_key.seal(private.to_pem(), kid=kid, nonce=self.token_bytes(NONCE_BYTES))
        return NewKey(kid=kid, public_jwk=private.public.to_jwk(), sealed=sealed)

    def make_two(self) -> list[NewKey]:
        """Make two keys for a revocation: one that may have to sign at once, and one to prepare.

        If a key was already prepared, only one of the two is needed.
        """
        return [self.make(), self.make()]

    @property
    def _max_age(self) -> timedelta:
        return timedelta(seconds=self.settings.signing_key_max_age)
