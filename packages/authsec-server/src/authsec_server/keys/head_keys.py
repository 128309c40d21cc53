"""Make, seal and open the keys that sign heads of the revocation feed and of the audit log's log.

These keys sign no token. A key for one kind of head never signs the other kind: each key is sealed for one
purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog
from authsec.jose import JoseError, PrivateKey

from authsec_server.audit import service as audit
from authsec_server.audit.model import Event, EventKind, Named
from authsec_server.db import Tx
from authsec_server.keys.master_key import NONCE_BYTES, MasterKey, NotUnsealed, Purpose
from authsec_server.keys.model import SealedKey
from authsec_server.principal import THE_SERVER

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadKey:
    """An opened private key that signs heads."""

    private: PrivateKey
    created_at: datetime

    @property
    def kid(self) -> str:
        """Return the RFC 7638 thumbprint, which is the key's name."""
        return self.private.public.thumbprint()


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadKeyMaker:
    """Makes and opens the head keys of one purpose."""

    master_key: MasterKey
    purpose: Purpose
    token_bytes: Callable[[int], bytes]

    def make(self, now: datetime) -> SealedKey:
        """Make a key and seal its private part. The caller stores the key."""
        private = PrivateKey.generate_ed25519()
        kid = private.public.thumbprint()
        nonce = self.token_bytes(NONCE_BYTES)
        sealed = self.master_key.seal(private.to_pem(), kid=kid, nonce=nonce, purpose=self.purpose)
        return SealedKey(kid=kid, sealed=sealed, created_at=now)

    def opened(self, sealed: SealedKey) -> HeadKey | None:
        """Open the key; return None if this master key did not seal it for this purpose, and log an error."""
        try:
            pem = self.master_key.unseal(sealed.sealed, kid=sealed.kid, purpose=self.purpose)
            private = PrivateKey.from_pem(pem, ours=True)  # unsealing shows any change
        except (NotUnsealed, JoseError):
            log.error("a key that signs heads cannot be opened and is not published", kid=sealed.kid, key=self.purpose)
            return None
        return HeadKey(private=private, created_at=sealed.created_at)


def record_by_server(tx: Tx, kind: EventKind, kid: str, now: datetime) -> None:
    """Record an act on the key with the server as the principal."""
    event = Event(
        at=now,
        kind=kind,
        request_id="",
        principal=THE_SERVER,
        authority_version=tx.version,
        subject=named(kid),
        kid=kid,
    )
    audit.record(tx, event)


def named(kid: str) -> Named:
    """Return the key as the subject of an event."""
    return Named(id=kid, name=kid)
