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

# Not the setting: it may have been higher when the tokens were signed, or be higher at another server.
LONGEST_TOKEN_LIFETIME = timedelta(seconds=MAX_TOKEN_LIFETIME_CAP)
STAYS_PUBLISHED = LONGEST_TOKEN_LIFETIME + PUBLISH_AFTER  # once it is retired


_GENERATE: Mapping[Algorithm, Callable[[], PrivateKey]] = {
    Algorithm.RS256: lambda: PrivateKey.generate_rsa(2048),
    Algorithm.ES256: lambda: PrivateKey.generate_ec("P-256"),
    Algorithm.EDDSA: lambda: PrivateKey.generate_ed25519(),
}


class FreshKeys:
    """New keys for one transaction. RSA keys take tenths of a second, so they were made before. Others are made now."""

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
        """Make the keys of an algorithm for which this change has registered the first API.

        The server makes them, whoever changes the API. RSA keys take too long to be made here, and are always there.
        """
        lacking = self.wanted(tx) - service.active_kids(tx).keys() - service.ALWAYS_WANTED
        if lacking:
            service.ensure(tx, replace(act, principal=THE_SERVER), self.make, lacking)

    def rotate(
        self, tx: Tx, act: Act, fresh: FreshKeys, algorithm: Algorithm = Algorithm.RS256, *, force: bool
    ) -> SigningKey:
        """Rotate because an admin requested it, and return the new active key. Call only inside a `change`.

        `fresh` has one key, which the caller gets from `fresh` before the transaction. Raises `Conflict` or
        `NotPermitted`.
        """
        its = LONGEST_TOKEN_LIFETIME
        return service.rotate(tx, act, fresh, max_token_lifetime=its, algorithm=algorithm, force=force)

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

        RSA keys come first, and the newest first among those of an algorithm: some libraries try the keys in this
        order, and stop at the first one of another kind than the token's.

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
        """Make the decisions of `keep` again under the lock, because another server may have changed the keys before.

        Return the published keys.
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
        """Return new keys for a change that needs so many of this algorithm. Call this before the transaction."""
        return FreshKeys(self.make, [self.make(algorithm) for _ in range(count if algorithm is Algorithm.RS256 else 0)])

    @staticmethod
    def _rotated(keys: Sequence[SigningKey]) -> set[Algorithm]:
        """Return the algorithms with an active and a prepared key. Their keys are rotated by age, wanted or not."""
        states = {(key.algorithm, key.state) for key in keys}
        return {each for each in Algorithm if {(each, KeyState.ACTIVE), (each, KeyState.PREPARED)} <= states}

    @property
    def _max_age(self) -> timedelta:
        return timedelta(seconds=self.settings.signing_key_max_age)
