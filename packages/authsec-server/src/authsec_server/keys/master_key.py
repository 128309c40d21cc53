"""The master key: encrypts the private parts of the signing keys at rest (AES-256-GCM, NIST SP 800-38D).

A person who can only read the database cannot sign. A person who can only write to the database cannot
insert a key that this server would use or publish. The master key comes from a file that the settings name.
For the embedded database, the server may make the file once, in the data folder. The server never makes a
new master key while signing keys exist, because nobody could decrypt these keys any more.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import stat
from collections.abc import Callable, Collection
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final, NoReturn

from authsec.jose import JoseError, PrivateKey
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from authsec_server.db import Database, Tx
from authsec_server.failures import StartupRefused, Unavailable
from authsec_server.keys import store
from authsec_server.keys.model import Algorithm
from authsec_server.private_files import read_private, synchronise
from authsec_server.settings import ENV_PREFIX, Settings

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
FILE_NAME: Final = "master.key"
_VERSION: Final = b"\x01"
_ID: Final = re.compile(r"[0-9a-f]{32}")
_HOW_TO_MAKE: Final = "openssl rand -base64 32"


class Purpose(StrEnum):
    """The purpose of an encrypted key: the kind of data that the key signs.

    The key can be decrypted only for this purpose.
    """

    TOKENS = "signing key"
    FEED = "feed key"
    AUDIT_LOG = "audit log key"
    SECOND_FACTOR = "second factor"  # of an administrator: a shared secret, no key that signs

    @property
    def algorithms(self) -> Collection[str]:
        """Return the JWS algorithms of the keys for this purpose (RFC 7518, RFC 8037)."""
        if self is Purpose.SECOND_FACTOR:
            return ()
        return (*Algorithm,) if self is Purpose.TOKENS else (Algorithm.EDDSA,)


class NotUnsealed(Exception):
    """This master key did not encrypt the blob for this key, or the blob was changed. The two cases look the same."""


class KeyUnusable(Unavailable):
    """This key cannot be used: its private part is deleted or damaged, or this authority did not make the key."""


class MasterKey:
    """Encrypts and decrypts private keys. The repr shows no secret, and the object cannot be pickled."""

    __slots__ = ("_aead", "_octets")

    def __init__(self, octets: bytes) -> None:
        if len(octets) != KEY_BYTES:
            raise ValueError(f"a master key must have {KEY_BYTES} bytes")
        self._aead = AESGCM(octets)
        self._octets = octets

    def seal(self, plain: bytes, *, kid: str, nonce: bytes, purpose: Purpose = Purpose.TOKENS) -> bytes:
        """Encrypt `plain` for the key `kid`. The result is version, nonce, ciphertext and tag.

        `nonce` must be 12 random bytes that are used only once.
        """
        return _VERSION + nonce + self._aead.encrypt(nonce, plain, _bound_to(purpose, kid))

    def unseal(self, blob: bytes, *, kid: str, purpose: Purpose = Purpose.TOKENS) -> bytes:
        """Decrypt a blob that was encrypted for the key `kid` and this purpose. Raises `NotUnsealed`."""
        nonce, sealed = blob[1 : 1 + NONCE_BYTES], blob[1 + NONCE_BYTES :]
        if blob[:1] != _VERSION or len(nonce) != NONCE_BYTES:
            raise NotUnsealed
        try:
            return self._aead.decrypt(nonce, sealed, _bound_to(purpose, kid))
        except InvalidTag:
            raise NotUnsealed from None

    def derive(self, name: str) -> bytes:
        """Return a secret for this use, which all servers with this master key share (HKDF, RFC 5869)."""
        return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=f"authsec {name}".encode()).derive(self._octets)

    def issuer_key(self) -> bytes:
        """Return the key of the MAC of the issuer that the database stores for commands."""
        return self.derive("issuer")

    def id(self) -> str:
        """Return the public name of this key: 32 hexadecimal digits, which say nothing about the key."""
        return self.derive("master key id")[:16].hex()

    def event_key(self) -> bytes:
        """Return the key of the MACs of events."""
        return self.derive("events")

    def open_key(self, blob: bytes, *, kid: str, purpose: Purpose) -> PrivateKey:
        """Decrypt the private key that was encrypted for the name `kid` and this purpose. Raises `KeyUnusable`."""
        try:
            pem = self.unseal(blob, kid=kid, purpose=purpose)
            private = PrivateKey.from_pem(pem, ours=True)  # unsealing shows any change
        except (NotUnsealed, JoseError):
            raise KeyUnusable(f"The {purpose} {kid} cannot be decrypted: its row was damaged or changed.") from None
        # Signatures name the key by its thumbprint: signed by another key, each would be refused everywhere.
        if private.algorithm not in purpose.algorithms or private.public.thumbprint() != kid:
            raise KeyUnusable(f"The row of the {purpose} {kid} contains a key with another kid.")
        return private

    def __repr__(self) -> str:
        return "MasterKey(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a master key is not pickled: it stays in its file")


def load_master_key(settings: Settings, database: Database, token_bytes: Callable[[int], bytes]) -> MasterKey:
    """Load the master key of this database, and give the database the key of the MACs of events.

    Raises `StartupRefused` if the master key cannot decrypt every stored signing key.
    """
    sealed = database.read(lambda tx: store.all_sealed(tx.connection))  # before the file: a first start makes it first
    path = master_key_path(settings, database)
    if settings.master_key_file is None and not sealed:
        _make(path, token_bytes)
    finish_replacement(path, database.read(lambda tx: tx.master_key_id))
    key = MasterKey(read_master_key(path, already_needed=bool(sealed)))
    _refuse_unless_it_opens(key, sealed, path)
    use_key(database, key)
    return key


def find_master_key(tx: Tx, settings: Settings, database: Database) -> MasterKey | None:
    """Return the master key of this database if its file is on this machine; else None. Make no file.

    A key that decrypts no stored signing key belongs to another database. The attack: raw SQL damages one signing key,
    so that no master key seems to be here, and `verify` checks no MAC. Raises `StartupRefused` for a wrong file.
    """
    path = master_key_file(settings, database)
    if path is None:
        return None
    key = MasterKey(read_master_key(path, already_needed=True))
    return key if any(_opens(key, blob, kid) for kid, blob in store.usual_sealed(tx.connection)) else None


def master_key_file(settings: Settings, database: Database) -> Path | None:
    """Return the file of the master key if it is on this machine, and this user may read it; else None.

    `--database` may name a SQLite file in another folder than the settings, with the master key beside it.
    """
    places = [settings.master_key_file] if settings.master_key_file else []
    if not places and settings.sqlite_file is not None and database.dialect == "sqlite":
        places = [settings.sqlite_file.with_name(FILE_NAME), settings.data / FILE_NAME]
    return next((path for path in places if os.access(path, os.R_OK)), None)


def use_key(database: Database, key: MasterKey) -> None:
    """Let this process write to the database with this master key."""
    database.event_key, database.master_key_id = key.event_key(), key.id()


def next_file(path: Path, key_id: str) -> Path:
    """Return the file that has the key of this id until it replaces the master key file `path`."""
    return path.with_name(f"{path.name}.next-{key_id}")


def finish_replacement(path: Path, key_id: str) -> None:
    """Replace the master key file by the key of this id, if the command that changed the key was interrupted.

    The replaced file stays under the name of `old_file`, because earlier backups need it. Raises `StartupRefused`.
    """
    if not isinstance(key_id, str) or not _ID.fullmatch(key_id):  # empty, or raw SQL wrote it
        return
    new = next_file(path, key_id)
    if not new.exists():
        return
    if MasterKey(read_master_key(new, already_needed=True)).id() != key_id:
        raise StartupRefused(
            f"The file {new} does not have the key of its name.", "Restore the file of the new master key."
        )
    try:
        with suppress(FileNotFoundError):
            old = old_file(path, MasterKey(read_master_key(path, already_needed=True)).id())
            if not old.exists():
                os.link(path, old)
        os.replace(new, path)
        synchronise(path.parent)
    except OSError as error:
        raise StartupRefused(
            f"The new master key in {new} cannot replace {path}: {error.strerror}.", f"Run: mv {new} {path}"
        ) from None


def old_file(path: Path, key_id: str) -> Path:
    """Return the file that keeps the key of this id after another key has replaced it."""
    return path.with_name(f"{path.name}.old-{key_id}")


def master_key_path(settings: Settings, database: Database) -> Path:
    """Return the path of the master key file. Raises `StartupRefused` if PostgreSQL needs the setting."""
    if settings.master_key_file is not None:
        return settings.master_key_file
    if database.dialect != "sqlite":  # its servers share no folder: each would make a key of its own
        raise StartupRefused(
            "With PostgreSQL, a master key is needed to encrypt the signing keys.",
            f"Create one with `umask 077; {_HOW_TO_MAKE} > master.key`, and set it on every server of this "
            f"database: {ENV_PREFIX}MASTER_KEY_FILE=/path/to/master.key",
        )
    return settings.data / FILE_NAME


def _make(path: Path, token_bytes: Callable[[int], bytes]) -> None:
    """Make the master key file if it does not exist."""
    if path.exists():
        return
    try:
        write_master_key(path, token_bytes(KEY_BYTES), token_bytes)
    except FileExistsError:
        return  # another server was first
    except OSError as error:
        raise StartupRefused(
            f"The master key file {path} cannot be created: {error.strerror}.",
            f"Make the folder writable, or set another file: {ENV_PREFIX}MASTER_KEY_FILE.",
        ) from None


def write_master_key(
    path: Path, octets: bytes, token_bytes: Callable[[int], bytes], *, like: os.stat_result | None = None
) -> None:
    """Write a new master key file. Raises `OSError`; `FileExistsError` if the file exists.

    The file appears complete or not at all, even when several servers start at the same time. It gets the owner and the
    mode of the file `like`.
    """
    draft = path.with_name(f".{path.name}.{token_bytes(8).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(base64.b64encode(octets) + b"\n")
            file.flush()
            if like is not None and os.name != "nt":
                os.fchown(file.fileno(), like.st_uid, like.st_gid)
                os.fchmod(file.fileno(), stat.S_IMODE(like.st_mode))
            os.fsync(file.fileno())
        os.link(draft, path)  # unlike a rename, it never replaces
    finally:
        draft.unlink()
    synchronise(path.parent)  # keys are encrypted with it next: they must not outlast its name


def read_master_key(path: Path, *, already_needed: bool) -> bytes:
    """Read the octets of the key in this file. Raises `StartupRefused`."""
    make_one = f"Create it: umask 077; {_HOW_TO_MAKE} > {path}"
    restore = "Restore the file that encrypted this database's signing keys. No other file can decrypt them."
    text = read_private(path, "master key file", if_missing=restore if already_needed else make_one)
    try:
        octets = base64.b64decode(text.strip(), validate=True)
    except binascii.Error:
        octets = b""
    if len(octets) != KEY_BYTES:
        raise StartupRefused(
            f"The master key file {path} must contain {KEY_BYTES} bytes in base64.",
            "Restore the file from its backup." if already_needed else make_one,
        )
    return octets


def _refuse_unless_it_opens(key: MasterKey, sealed: dict[str, bytes], path: Path) -> None:
    closed = [kid for kid, blob in sealed.items() if not _opens(key, blob, kid)]
    if not closed:
        return
    if len(closed) == len(sealed):
        raise StartupRefused(
            f"The master key in {path} is not the one that encrypted this database's signing keys.",
            "Set the correct file. Without it, these keys are lost, and the server does not replace them.",
        )
    raise StartupRefused(
        f"The signing key {closed[0]} cannot be decrypted, although others can: its row in the database was "
        "damaged or changed.",
        "Restore the database from a backup, and find out who wrote to it.",
    )


def _opens(key: MasterKey, blob: bytes, kid: str) -> bool:
    try:
        key.unseal(blob, kid=kid)
    except NotUnsealed:  # which is what was asked
        return False
    return True


def _bound_to(purpose: Purpose, kid: str) -> bytes:
    """Return the associated data of the encryption, which binds a blob to one key and one purpose."""
    return f"authsec {purpose} 1 {kid}".encode()
