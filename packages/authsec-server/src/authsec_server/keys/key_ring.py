"""`SigningKeyRing`: make new signing keys, and store them. RSA keys are made outside of transactions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

import structlog
from authsec.jose import PrivateKey, PublicKey

from authsec_server.db import Database, Tx
from authsec_server.keys import service
from authsec_server.keys.master_key import NONCE_BYTES, KeyUnusable, MasterKey
from authsec_server.keys.model import (
    PUBLISH_AFTER,
    Algorithm,
    KeyState,
    NewKey,
    SigningKey,
    algorithm_of,
    keys_to_make,
    may_be_forgotten,
)
from authsec_server.keys.signer import Signer
from authsec_server.principal import THE_SERVER, Act
from authsec_server.settings import MAX_TOKEN_LIFETIME_CAP, Settings

log = structlog.get_logger(__name__)

# The cap, not the setting: the setting may have been higher before, or may be higher at another server.
LONGEST_TOKEN_LIFETIME = timedelta(seconds=MAX_TOKEN_LIFETIME_CAP)
STAYS_PUBLISHED = LONGEST_TOKEN_LIFETIME + PUBLISH_AFTER  # how long a retired key is published


_GENERATE: Mapping[Algorithm, Callable[[], PrivateKey]] = {
    Algorithm.RS256: lambda: PrivateKey.generate_rsa(2048),
    Algorithm.ES256: lambda: PrivateKey.generate_ec("P-256"),
    Algorithm.EDDSA: lambda: PrivateKey.generate_ed25519(),
}


class FreshKeys:
    """New keys for one transaction. RSA keys take tenths of a second, so they are made before the transaction.

    Keys of other algorithms are made when they are requested.
    """

    def __init__(self, make: Callable[[Algorithm], NewKey], ready: Sequence[NewKey]) -> None:
        self._make = make
        self._ready = [*ready]

    def __call__(self, algorithm: Algorithm) -> NewKey:
        """Return a key that was not returned before."""
        return self._ready.pop(0) if self._ready and algorithm is Algorithm.RS256 else self._make(algorithm)


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
    wanted: Callable[[Tx], frozenset[Algorithm]]  # the algorithms of all APIs, and RS256

    def keep(self, act: Act) -> None:
        """Make missing keys, rotate by age, and delete expired keys. The call is cheap if nothing has to change.

        Run at the start and every minute. Raises `Unavailable`.
        """
        published_keys, wanted = self.database.read(lambda tx: (service.published(tx), self.wanted(tx)))
        due = {
            algorithm: keys_to_make(published_keys, act.now, self._max_age, algorithm)
            for algorithm in {*wanted, *self._rotated(published_keys)}
        }
        if any(due.values()) or any(may_be_forgotten(key, act.now) for key in published_keys):
            fresh = self.fresh(Algorithm.RS256, due[Algorithm.RS256])
            published_keys = self.database.change(lambda tx: self._put_in_order(tx, act, fresh))
        for key in published_keys:
            self.signer.open(key.kid)
        self.signer.hold_only({key.kid for key in published_keys})

    def complete(self, tx: Tx, act: Act) -> None:
        """Make the first keys of an algorithm after this change has registered the first API with the algorithm.

        The events name the server as the principal. RSA keys always exist, so no RSA key is made in this transaction.
        """
        lacking = self.wanted(tx) - service.active_kids(tx).keys() - service.ALWAYS_WANTED
        if lacking:
            service.ensure(tx, replace(act, principal=THE_SERVER), self.make, lacking)

    def rotate(
        self, tx: Tx, act: Act, fresh: FreshKeys, algorithm: Algorithm = Algorithm.RS256, *, force: bool
    ) -> SigningKey:
        """Rotate the keys for an admin, and return the new active key. Call only inside a `change`.

        `fresh` contains one key that was made before the transaction. Raises `Conflict` or `NotPermitted`.
        """
        its = LONGEST_TOKEN_LIFETIME
        return service.rotate(tx, act, fresh, max_token_lifetime=its, algorithm=algorithm, force=force)

    def rotate_now(self, tx: Tx, act: Act, fresh: FreshKeys, algorithm: Algorithm) -> SigningKey:
        """Let a new key sign at once; see `service.rotate_now`. Call only inside a `change`.

        `fresh` contains two keys that were made before the transaction.
        """
        return service.rotate_now(tx, act, fresh, max_token_lifetime=LONGEST_TOKEN_LIFETIME, algorithm=algorithm)

    def revoke(self, tx: Tx, act: Act, kid: str, fresh: FreshKeys, *, because: str = "") -> SigningKey:
        """Revoke the key; see `service.revoke`. Call only inside a `change`.

        `fresh` has two keys: one that may have to sign at once, and one to prepare. If a key was already prepared, only
        one is needed.
        """
        return service.revoke(tx, act, kid, fresh, wanted=self.wanted(tx), because=because)

    def drop_unpublished(self) -> None:
        """Delete from memory the private parts of keys that are no longer published. Raises `Unavailable`.

        Other servers do the same within a minute. Until then, no server can use a revoked key for a token: the
        transaction that records the token decides which key signs.
        """
        self.signer.hold_only({key.kid for key in self.database.read(service.published)})

    def verification_keys(self) -> list[PublicKey]:
        """Return the keys that verify this authority's tokens. Raises `Unavailable`.

        RSA keys come first, and the newest key of each algorithm comes before its older keys. Some libraries try the
        keys in this order, and stop at the first key whose type does not fit the token.

        A key is returned only if it is in the table *and* the master key decrypts it. So a key that an attacker
        writes to the database is never published.
        """
        keys = []
        for listed in self.database.read(service.published):
            try:
                keys.append(self.signer.open(listed.kid).public)
            except KeyUnusable as failure:
                log.error("a signing key is not published", kid=listed.kid, message=failure.message)
        order = [*Algorithm]
        return sorted(keys, key=lambda key: order.index(algorithm_of(key.kind)))

    def _put_in_order(self, tx: Tx, act: Act, fresh: FreshKeys) -> list[SigningKey]:
        """Make missing keys, rotate by age and delete expired keys. Return the published keys.

        `keep` has already found that this may be needed. But another server may have changed the keys before the lock.
        """
        service.ensure(tx, act, fresh, self.wanted(tx))
        service.rotate_if_due(tx, act, fresh, max_age=self._max_age, max_token_lifetime=LONGEST_TOKEN_LIFETIME)
        service.expire(tx, act)
        return service.published(tx)

    def make(self, algorithm: Algorithm) -> NewKey:
        """Make a key pair and encrypt its private part. The caller stores the key."""
        private = _GENERATE[algorithm]()
        kid = private.public.thumbprint()
        sealed = self.master_key.seal(private.to_pem(), kid=kid, nonce=self.token_bytes(NONCE_BYTES))
        return NewKey(kid=kid, public_jwk=private.public.to_jwk(), sealed=sealed)

    def fresh(self, algorithm: Algorithm, count: int) -> FreshKeys:
        """Return `count` new keys of this algorithm for one change. Call this before the transaction."""
        return FreshKeys(self.make, [self.make(algorithm) for _ in range(count if algorithm is Algorithm.RS256 else 0)])

    @staticmethod
    def _rotated(keys: Sequence[SigningKey]) -> set[Algorithm]:
        """Return the algorithms with an active and a prepared key. These keys rotate by age, even without an API."""
        states = {(key.algorithm, key.state) for key in keys}
        return {each for each in Algorithm if {(each, KeyState.ACTIVE), (each, KeyState.PREPARED)} <= states}

    @property
    def _max_age(self) -> timedelta:
        return timedelta(seconds=self.settings.signing_key_max_age)
