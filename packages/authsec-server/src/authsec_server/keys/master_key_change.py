"""Change the master key: encrypt every private key and every secret of a second factor anew, in one transaction.

Besides the private keys, two things depend on the master key: the MACs of the events that wait for their seal, and the
MAC of the server's address. Nonces of DPoP are derived from it as well: a client gets a new one, and repeats the
request.

The transaction stores the id of the new key. A server with another master key reads this id in each transaction, and
writes nothing any more (`Database`). So the command needs no list of the running servers: a frozen server on another
machine that wakes up later is stopped, too.

In place, on SQLite, the new key is written to a file beside the present one before the transaction, and replaces the
present one after the commit. After a crash in between, the next start finishes that (`finish_replacement`). So at
each moment exactly one file has the key that opens the database.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, text, update

from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named
from authsec_server.audit.sealing.checkpoints import Keys
from authsec_server.audit.sealing.renewed_macs import renew_macs
from authsec_server.db import Database, Tx
from authsec_server.db.locks import MASTER_KEY_LOCK
from authsec_server.db.schema import authority
from authsec_server.db.served import last_issuer, proves_issuer, remember_issuer
from authsec_server.failures import Conflict, OutcomeUnknown, Unavailable
from authsec_server.keys import store
from authsec_server.keys.master_key import (
    KEY_BYTES,
    NONCE_BYTES,
    MasterKey,
    NotUnsealed,
    Purpose,
    finish_replacement,
    next_file,
    old_file,
    read_master_key,
    use_key,
    write_master_key,
)
from authsec_server.principal import Act, Role

_TABLES: Final = {
    Purpose.TOKENS: store.signing_keys,
    Purpose.FEED: store.feed_keys,
    Purpose.AUDIT_LOG: store.sealing_keys,
}
_ALONE: Final = text(f"SELECT pg_advisory_xact_lock({MASTER_KEY_LOCK})")
_OVERWRITE: Final = "PRAGMA secure_delete = ON"  # the former ciphertext, in the free space of the pages


@dataclass(frozen=True, slots=True)
class SealedSecrets:
    """Secrets of another room that the master key encrypts: how to read them all, by name, and how to replace one."""

    purpose: Purpose
    all: Callable[[Connection], Mapping[str, bytes]]
    replace: Callable[[Connection, str, bytes], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedMasterKey:
    """The result of a change: the ids of both master keys, and how many rows were encrypted or got a new MAC.

    `unreadable` are the names of keys that the former master key could not decrypt either. They stay as they are.
    """

    before: str
    after: str
    keys: int
    secrets: int
    events: int
    unreadable: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterKeyChange:
    """A change of the master key `old` of one database. `verification_keys` returns the keys of checkpoints."""

    database: Database
    old: MasterKey
    secrets: SealedSecrets
    token_bytes: Callable[[int], bytes]
    verification_keys: Callable[[], Keys]

    def to(self, act: Act, new: MasterKey) -> ChangedMasterKey:
        """Change to a key that the caller has stored. Raises `Conflict` or `Unavailable` if nothing was changed."""
        keys = self._checked(new)
        done = self.database.change(lambda tx: self._change(tx, act, new, keys))
        use_key(self.database, new)
        return done

    def rehearse(self, act: Act, new: MasterKey | None = None) -> ChangedMasterKey:
        """Dry run of `to`. Without `new`, a key is made and forgotten."""
        new = new or MasterKey(self.token_bytes(KEY_BYTES))
        keys = self._checked(new)
        return self.database.rehearse(lambda tx: self._change(tx, act, new, keys))

    def in_place(self, act: Act, path: Path) -> tuple[ChangedMasterKey, Path]:
        """Change to a new key, and replace the file `path`. Return the result, and the file that keeps the old key.

        Raises `Conflict` if the file cannot be replaced, before anything is changed.
        """
        octets = self.token_bytes(KEY_BYTES)
        new = MasterKey(octets)
        draft = next_file(path, new.id())
        try:
            if path.is_symlink():
                raise OSError(0, "it is a symbolic link")
            write_master_key(draft, octets, self.token_bytes, like=path.stat())
        except OSError as error:
            raise Conflict(
                f"The master key file {path} cannot be replaced: {error.strerror}. Nothing was changed.",
                "Make a new file, and name it: --new-key-file FILE",
            ) from None
        try:
            done = self.to(act, new)
        except OutcomeUnknown:  # the database may have the new key
            raise
        except Exception:
            with suppress(OSError):
                draft.unlink()
            raise
        finish_replacement(path, new.id())
        return done, old_file(path, self.old.id())

    def _checked(self, new: MasterKey) -> Keys:
        if hmac.compare_digest(new.event_key(), self.old.event_key()):
            raise Conflict("The new file has the present master key. Nothing was changed.", "Make a new key.")
        return self.verification_keys()

    def _change(self, tx: Tx, act: Act, new: MasterKey, keys: Keys) -> ChangedMasterKey:
        act.principal.require(Role.ADMIN)
        if tx.connection.dialect.name == "postgresql":
            tx.connection.execute(_ALONE)  # appends with the present key have ended, and later ones are refused
        else:
            tx.connection.exec_driver_sql(_OVERWRITE)
        unreadable = tuple(self._encrypt_anew(tx, new))
        self._refuse_unless_readable(tx, new, unreadable)
        events = renew_macs(tx, keys, old=self.old.event_key(), new=new.event_key())
        if proves_issuer(tx, self.old.issuer_key()):
            remember_issuer(tx, last_issuer(tx), new.issuer_key())
        tx.connection.execute(update(authority).values(master_key_id=new.id()))
        # In a dry run, the event has no MAC: see `Database.rehearse`.
        its = replace(tx, event_key=None if tx.event_key is None else new.event_key())
        named = Named(id=new.id(), name=new.id())
        detail = {"replaces": self.old.id()}
        audit.record_act(its, act, EventKind.MASTER_KEY_CHANGED, subject=named, detail=detail)
        return ChangedMasterKey(
            before=self.old.id(),
            after=new.id(),
            keys=self._count(tx, unreadable, of_keys=True),
            secrets=self._count(tx, unreadable, of_keys=False),
            events=events,
            unreadable=unreadable,
        )

    def _encrypt_anew(self, tx: Tx, new: MasterKey) -> Iterator[str]:
        """Encrypt each private key and secret with the new master key. Yield the names of those that it cannot decrypt.

        Raises `Conflict` for such a signing key: no server would start afterwards.
        """
        for purpose, kid, blob in [*self._encrypted(tx)]:
            try:
                plain = self.old.unseal(blob, kid=kid, purpose=purpose)
            except NotUnsealed:
                if purpose is Purpose.TOKENS:
                    raise Conflict(
                        f"The {purpose} {kid} cannot be decrypted: somebody damaged or changed its row.",
                        "To see the findings: authsec audit verify",
                    ) from None
                yield kid
                continue
            sealed = new.seal(plain, kid=kid, nonce=self.token_bytes(NONCE_BYTES), purpose=purpose)
            if purpose is self.secrets.purpose:
                self.secrets.replace(tx.connection, kid, sealed)
            else:
                store.set_sealed(tx.connection, _TABLES[purpose], kid, sealed)

    def _refuse_unless_readable(self, tx: Tx, new: MasterKey, unreadable: tuple[str, ...]) -> None:
        """Read everything again. Raises `Unavailable` if something is not encrypted with the new key.

        The attack: a trigger keeps the former ciphertext, so that the commit would lose the key.
        """
        for purpose, kid, blob in self._encrypted(tx):
            try:
                new.unseal(blob, kid=kid, purpose=purpose)
            except NotUnsealed:
                if kid not in unreadable:
                    raise Unavailable(
                        f"The {purpose} {kid} was not written as it was to be. Nothing was changed.",
                        "Somebody else writes to the database. To see the findings: authsec audit verify",
                    ) from None

    def _count(self, tx: Tx, unreadable: tuple[str, ...], *, of_keys: bool) -> int:
        found = (each for each in self._encrypted(tx) if (each[0] is not self.secrets.purpose) == of_keys)
        return sum(kid not in unreadable for _, kid, _ in found)

    def _encrypted(self, tx: Tx) -> Iterator[tuple[Purpose, str, bytes]]:
        yield from _private_keys(tx)
        for name, blob in self.secrets.all(tx.connection).items():
            yield self.secrets.purpose, name, blob


def read_new_key(path: Path) -> MasterKey:
    """Return the master key in a file that the operator has made. Raises `StartupRefused`."""
    return MasterKey(read_master_key(path, already_needed=False))


def _private_keys(tx: Tx) -> Iterator[tuple[Purpose, str, bytes]]:
    for kid, blob in store.all_sealed(tx.connection).items():
        yield Purpose.TOKENS, kid, blob
    for purpose in (Purpose.FEED, Purpose.AUDIT_LOG):
        for key in store.all_head_keys(tx.connection, _TABLES[purpose]):
            yield purpose, key.kid, key.sealed
