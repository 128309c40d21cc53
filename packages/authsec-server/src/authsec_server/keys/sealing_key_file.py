"""The sealing key in a file, and the list of public keys that this key signs.

The private key is only in the file, and the database has no part of it. The database has one list of the
public keys that verify the audit log, including old keys. The key in the file has signed this list. So a
database administrator cannot insert another public key. The master key has no role in this check. So a
thief of the master key cannot make the server trust another sealing key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from authsec.jose import JoseError, PrivateKey, PublicKey, parse_compact, sign_compact

from authsec_server.audit.sealing.checkpoints import CheckpointRefused, signed_claims
from authsec_server.failures import StartupRefused
from authsec_server.private_files import read_private
from authsec_server.web.instants import rfc3339

TYPE: Final = "authsec-audit-keys+jwt"
_HOW_TO_MAKE: Final = "umask 077; openssl genpkey -algorithm ed25519 -out"


@dataclass(frozen=True, slots=True, kw_only=True)
class SealingKey:
    """A public key that verifies checkpoints of the audit log."""

    public: PublicKey
    created_at: datetime

    @property
    def kid(self) -> str:
        """Return the RFC 7638 thumbprint of the public key."""
        return self.public.thumbprint()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """The private sealing key in a file."""

    path: Path
    private: PrivateKey

    @property
    def kid(self) -> str:
        """Return the RFC 7638 thumbprint of the key."""
        return self.private.public.thumbprint()


def load_sealing_key(path: Path) -> KeyFile:
    """Load the Ed25519 key in the file (PKCS #8, PEM). Raises `StartupRefused`."""
    restore = f"Restore the file from its backup. For a first start, create one: {_HOW_TO_MAKE} {path}"
    octets = read_private(path, "sealing key file", if_missing=restore)
    try:
        private = PrivateKey.from_pem(octets)
    except JoseError as error:
        raise StartupRefused(f"The sealing key file {path} has no private key: {error}.", restore) from None
    if private.algorithm != "EdDSA":
        raise StartupRefused(
            f"The sealing key file {path} has a key that is not an Ed25519 key.", f"Create one: {_HOW_TO_MAKE} FILE"
        )
    return KeyFile(path=path, private=private)


def sign_list(keys: Sequence[SealingKey], *, at: datetime, by: PrivateKey) -> str:
    """Sign the list of these public keys. `by` is the private key of one of them."""
    listed = [{"key": each.public.to_jwk(), "created_at": rfc3339(each.created_at)} for each in keys]
    header = {"typ": TYPE, "kid": by.public.thumbprint()}
    return sign_compact(header, {"iat": int(at.timestamp()), "keys": listed}, by)


def read_list(signed: str, by: PublicKey) -> list[SealingKey] | None:
    """Return the public keys in the list. Return None if the key `by` has not signed the list."""
    try:
        _, claims = signed_claims(signed, {by.thumbprint(): by}, TYPE, "list of sealing keys")
        return [
            SealingKey(public=PublicKey.from_jwk(each["key"]), created_at=datetime.fromisoformat(each["created_at"]))
            for each in claims["keys"]
        ]
    except (CheckpointRefused, JoseError, KeyError, TypeError, ValueError):
        return None


def read_unproved_list(signed: str, kid: str) -> list[SealingKey] | None:
    """Return the public keys in a list that the key `kid` in the list has signed, else None.

    The result proves nothing, because anybody can make a list and sign it with a key in the list.
    """
    try:
        listed = [PublicKey.from_jwk(each["key"]) for each in parse_compact(signed).claims["keys"]]
    except (JoseError, KeyError, TypeError, ValueError):
        return None
    signer = next((key for key in listed if key.thumbprint() == kid), None)
    return read_list(signed, signer) if signer else None
