"""Who keeps the signing keys in order: makes new ones outside of transactions, and calls the verbs inside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog
from authsec.jose import PrivateKey, PublicKey

from authsec_server.db import Database, Tx
from authsec_server.keys import service
from authsec_server.keys.master_key import NONCE_BYTES, MasterKey
from authsec_server.keys.model import PUBLISH_AFTER, NewKey, SigningKey, keys_to_make, may_be_forgotten
from authsec_server.keys.signer import KeyUnusable, Signer
from authsec_server.principal import Act
from authsec_server.settings import MAX_TOKEN_LIFETIME_CAP, Settings

log = structlog.get_logger(__name__)

# Not the setting: it may have been higher when the tokens were signed, or be higher at another server.
LONGEST_TOKEN_LIFETIME = timedelta(seconds=MAX_TOKEN_LIFETIME_CAP)
STAYS_PUBLISHED = LONGEST_TOKEN_LIFETIME + PUBLISH_AFTER  # once it is retired


@dataclass(frozen=True, slots=True, kw_only=True)
class Custodian:
    """Keeps the keys of one database in order, together with the custodians of its other servers. Blocks its thread."""

    database: Database
    signer: Signer
    master_key: MasterKey
    settings: Settings
    token_bytes: Callable[[int], bytes]

    def keep(self, act: Act) -> None:
        """Make what is missing, rotate by age, let go of what is over. Cheap when there is nothing to do.

        Run at the start and every minute. Raises `Unavailable`.
        """
        standing = self.database.read(service.published)
        fresh = [self.make() for _ in range(keys_to_make(standing, act.now, self._max_age))]
        if fresh or any(may_be_forgotten(key, act.now) for key in standing):
            standing = self.database.change(lambda tx: self._put_in_order(tx, act, fresh))
        for key in standing:
            self.signer.open(key.kid)
        self.signer.hold_only({key.kid for key in standing})

    def rotate(self, tx: Tx, act: Act, fresh: NewKey, *, force: bool) -> SigningKey:
        """Rotate by command; the new active key. Raises `Conflict` or `NotPermitted`. Only inside a `change`.

        `fresh` is what `make` has made before: that takes too long for a transaction.
        """
        return service.rotate(tx, act, iter([fresh]), max_token_lifetime=LONGEST_TOKEN_LIFETIME, force=force)

    def revoke(self, tx: Tx, act: Act, kid: str, fresh: Sequence[NewKey], *, because: str = "") -> SigningKey:
        """Believe the key no more; see `service.revoke`. `fresh` are the two of `make_two`. Only inside a `change`."""
        return service.revoke(tx, act, kid, iter(fresh), because=because)

    def let_go(self) -> None:
        """Forget, here and now, the private parts of keys that sign no more. Other servers do within a minute.

        Which key signs a token is decided in the transaction that records it, so none of them signs with another.
        Raises `Unavailable`.
        """
        self.signer.hold_only({key.kid for key in self.database.read(service.published)})

    def verification_keys(self) -> list[PublicKey]:
        """What verifies this authority's tokens, newest first: what the table lists *and* the master key opens.

        A row that somebody planted in the database is therefore never published. Raises `Unavailable`.
        """
        keys = []
        for listed in self.database.read(service.published):
            try:
                keys.append(self.signer.open(listed.kid).public)
            except KeyUnusable as failure:
                log.error("a signing key is not published", kid=listed.kid, message=failure.message)
        return keys

    def _put_in_order(self, tx: Tx, act: Act, made: list[NewKey]) -> list[SigningKey]:
        """Decides again, under the lock: another server may have been first."""
        fresh = iter(made)
        service.ensure(tx, act, fresh)
        service.rotate_if_due(tx, act, fresh, max_age=self._max_age, max_token_lifetime=LONGEST_TOKEN_LIFETIME)
        service.expire(tx, act)
        return service.published(tx)

    def make(self) -> NewKey:
        """A new key pair, its private part sealed; stored nowhere yet."""
        private = PrivateKey.generate_rsa(2048)
        kid = private.public.thumbprint()
        sealed = self.master_key.seal(private.to_pem(), kid=kid, nonce=self.token_bytes(NONCE_BYTES))
        return NewKey(kid=kid, public_jwk=private.public.to_jwk(), sealed=sealed)

    def make_two(self) -> list[NewKey]:
        """What it may take to replace a key that is revoked: where none was prepared, one to sign and one for later."""
        return [self.make(), self.make()]

    @property
    def _max_age(self) -> timedelta:
        return timedelta(seconds=self.settings.signing_key_max_age)
