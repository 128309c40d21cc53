"""The key that signs the checkpoints of the audit log. Its public key stays published forever.

The key is not replaced by age. An auditor saves the public key on the first day, and verifies checkpoints
of many years with it. A command can replace the key. The old key then signs a record of the new key
(`audit/sealing/succession`).

The private key is in the database, encrypted by the master key, or in a separate file (`sealing_key_file`).
With a file, the server trusts only the public keys in the list that the file's key has signed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import structlog
from authsec.jose import PrivateKey, PublicKey

from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing import service
from authsec_server.audit.sealing.sealer import Sealer
from authsec_server.audit.sealing.succession import sign_replacement
from authsec_server.db import Database, Tx
from authsec_server.failures import Conflict, StartupRefused, Unavailable
from authsec_server.keys import store
from authsec_server.keys.head_keys import HeadKey, HeadKeyRing, named, record_by_server
from authsec_server.keys.master_key import MasterKey, Purpose
from authsec_server.keys.sealing_key_file import KeyFile, SealingKey, read_list, read_unproved_list, sign_list
from authsec_server.principal import Act, Role
from authsec_server.revocations.feed import as_jwk
from authsec_server.settings import ENV_PREFIX
from authsec_server.web.instants import rfc3339

log = structlog.get_logger(__name__)

SETTING: Final = f"{ENV_PREFIX}SEALING_KEY_FILE"
TURNS: Final = 10_000  # attempts to seal the record of a new key; each attempt seals a batch of events
NO_FILE: Final = "The audit log of this database is sealed with a key in a file, but no such file is set."
_NAME_IT: Final = f"Set the file on every server of this database: {SETTING}=/path/to/sealing-key.pem"


class SealingKeys:
    """The sealing keys of one database. Safe for use from any thread.

    If several servers start at the same time, each may make a key, so there can be more than one. `keep` must
    run once before the first signature.
    """

    def __init__(
        self,
        database: Database,
        master_key: MasterKey,
        *,
        token_bytes: Callable[[int], bytes],
        file: KeyFile | None = None,
    ) -> None:
        self._database = database
        self._ring = HeadKeyRing(master_key=master_key, purpose=Purpose.AUDIT_LOG, token_bytes=token_bytes)
        self._file = file
        self._held: dict[str, PrivateKey] = {}
        self._first = ""

    def check(self) -> None:
        """Refuse to serve a database whose audit log is sealed with another key than the key of this server.

        For example, a key in a file seals the database, and the settings name no file or another file. Raises
        `StartupRefused` or `Unavailable`.
        """
        if problem := self._database.read(self._problem):
            raise StartupRefused(*problem)

    def keep(self, now: datetime) -> None:
        """Make the sealing key if there is none. Delete the stored private keys that a key in a file has replaced.

        Run at the start, and from time to time. Raises `Unavailable`.
        """
        if self._file is not None:
            self._keep_file(self._file, now)
        elif not self._first and not self._database.read(_is_in_a_file):
            held = self._database.read(self._ring.open_all)
            if not held:
                self._database.append(lambda tx: self._ring.create(tx, now))
                held = self._database.read(self._ring.open_all)
            self._hold(held)

    def signing_key(self, kid: str = "") -> PrivateKey:
        """Return the private key with this name. Without a name, return the first key. Raises `Unavailable`."""
        if (kid or self._first) not in self._held:
            self._hold(self._database.read(self._private))  # another server has replaced it
        found = self._held.get(kid or self._first)
        if found is None:
            raise Unavailable(
                "The key that seals the audit log is missing, or is encrypted with another master key.",
                f"If a key in a file replaced it, set that file: {SETTING}" if kid else "",
            )
        return found

    def replace(
        self, tx: Tx, act: Act, *, issuer: str, rehearsed: bool = False, file: KeyFile | None = None
    ) -> tuple[str, str]:
        """Replace the current key by a new key, or by the key of `file`. Return the new name and the old name.

        The current key signs a record of the new key. The new key signs checkpoints after the event of the
        replacement is sealed. In a dry run, no key is stored and the current key signs no record. Call only inside
        a `change`. Raises `Conflict`.
        """
        act.principal.require(Role.ADMIN)
        if self._file is not None and file is None:
            raise Conflict(
                "The key that seals the audit log is in a file, so its successor must be in a file as well.",
                "On the server's machine: authsec audit rotate-key --key-file NEW.pem --data DIR",
            )
        known, held = self._trusted(tx), {key.kid: key.private for key in self._private(tx)}
        present = service.present_key(tx, {key.kid: key.public for key in known})
        if present not in held:
            raise Conflict(
                "The current sealing key cannot be decrypted.", "Start the server with the key that it had before."
            )
        new = self._ring.add(tx, act.now).private.public if file is None else _listed(tx, act.now, file, known)
        record = "" if rehearsed else sign_replacement(new, at=act.now, issuer=issuer, key=held[present])
        kid, detail = new.thumbprint(), {"replaces": present, "record": record}
        audit.record_act(tx, act, EventKind.SEAL_KEY_REPLACED, subject=named(kid), kid=kid, detail=detail)
        return kid, present

    def published(self) -> list[dict[str, Any]]:
        """Return the public keys as JWKs. Raises `Unavailable`.

        The JWK of a replaced key says how many events its checkpoints may cover (`checkpoints_up_to`).
        """
        return self._database.read(lambda tx: _published(tx, self._trusted(tx)))

    def read_listed(self) -> tuple[list[dict[str, Any]], bool]:
        """Return the keys of `published`, and whether the master key or the key file proves the list of keys.

        A command can print the keys without the key file. The second value is then false, and the list is only as
        trustworthy as the database. Raises `Unavailable`.
        """
        return self._database.read(self._listed)

    def by_kid(self) -> Mapping[str, PublicKey]:
        """Map the names of the keys that verify checkpoints to the public keys. Raises `Unavailable`.

        The result has the trusted keys and their successors. A successor is a key for which a trusted key has
        signed a record in the audit log.
        """
        return self._database.read(
            lambda tx: service.keys_reached(tx, {key.kid: key.public for key in self._trusted(tx)})
        )

    def take_over(self, file: KeyFile) -> None:
        """Use the key of this file in place of the current key.

        The current key stays in memory to seal the record of the replacement.
        """
        before = {key.kid: key.private for key in self._database.read(self._ring.open_all)}
        if self._file is not None:
            before[self._file.kid] = self._file.private
        self._file, self._first = file, file.kid
        self._held = before | {file.kid: file.private}

    def delete_replaced(self) -> None:
        """Delete the stored private keys that the key in the file has replaced. Raises `Unavailable`."""
        if old := self._database.read(self._useless):
            self._database.append(lambda tx: self._ring.delete(tx, old))
            log.info("encrypted private keys were deleted, because a key in a file replaced them", kids=old)

    def is_replaced(self, tx: Tx, kid: str) -> bool:
        """Whether a sealed record shows that the key `kid` was replaced."""
        return kid in service.ends(tx, {key.kid: key.public for key in self._trusted(tx)})

    def _listed(self, tx: Tx) -> tuple[list[dict[str, Any]], bool]:
        if self._file is None and _is_in_a_file(tx):
            return _published(tx, _unproved(tx)), False
        if problem := self._problem(tx):  # also where the file's key was replaced: its list lacks the current key
            raise Unavailable(*problem)
        return _published(tx, self._trusted(tx)), True

    def _known(self, tx: Tx) -> list[SealingKey]:
        """Return the public sealing keys, oldest first.

        With a key file, they come from the list that the file's key has signed. Otherwise the master key decrypts
        them.
        """
        if self._file is not None:
            signed = store.sealing_key_list(tx.connection, self._file.kid)
            return (signed and read_list(signed, self._file.private.public)) or []
        if _is_in_a_file(tx):  # a sealed row that is planted must not take its place
            raise Unavailable(NO_FILE, _NAME_IT)
        return [SealingKey(public=key.private.public, created_at=key.created_at) for key in self._ring.open_all(tx)]

    def _trusted(self, tx: Tx) -> list[SealingKey]:
        """Return the keys of `_known`. Raises `Unavailable` if the key in the file does not belong to this database."""
        known = self._known(tx)
        if not known and (problem := self._problem(tx)):
            raise Unavailable(*problem)
        return known

    def _private(self, tx: Tx) -> list[HeadKey]:
        """Return the private keys that this server can read and whose public keys are trusted.

        The first one signs new checkpoints.
        """
        known = {key.kid: key for key in self._trusted(tx)}
        opened = [key for key in self._ring.open_all(tx) if key.kid in known]
        if self._file is None or self._file.kid not in known:
            return opened
        return [HeadKey(private=self._file.private, created_at=known[self._file.kid].created_at), *opened]

    def _problem(self, tx: Tx) -> tuple[str, str] | None:
        """Return why this server must not serve this database, and how to fix it; None if there is no problem."""
        if self._file is None:
            return (NO_FILE, _NAME_IT) if _is_in_a_file(tx) else None
        known = {key.kid: key.public for key in self._known(tx)}
        replaced = "" if not known else self._replaced_by(tx, known)
        if replaced:
            return (
                f"The sealing key in {self._file.path} was replaced: the key {replaced} now seals the audit log.",
                f"Set the file of that key: {SETTING}",
            )
        if known or not (service.has_begun(tx) or _is_in_a_file(tx) or self._ring.kids(tx)):
            return None
        return (
            f"The key in {self._file.path} ({self._file.kid}) is not the one that seals the audit log of this "
            "database.",
            "Set the file of that key, or no file if the key is in the database. To replace that key with this one:"
            f" authsec audit rotate-key --key-file {self._file.path}",
        )

    def _replaced_by(self, tx: Tx, known: Mapping[str, PublicKey]) -> str:
        """Return the name of the current sealing key if it is not one of the known keys; else an empty text.

        The text is also empty before the first checkpoint, and if the audit log is damaged.
        """
        try:
            present = service.present_key(tx, service.keys_reached(tx, known))
        except Conflict:  # nothing is sealed yet, or the log is broken: then nobody seals, and the log says so
            return ""
        return "" if present in known else present

    def _keep_file(self, file: KeyFile, now: datetime) -> None:
        if not self._first and not self._database.read(self._known):
            self._database.change(lambda tx: self._begin(tx, file, now))  # one after the other: several may start
        self._first = file.kid
        self.delete_replaced()

    def _begin(self, tx: Tx, file: KeyFile, now: datetime) -> None:
        """Save the key in the file as the sealing key of a database that has no sealing key."""
        if self._known(tx) or self._problem(tx):
            return
        listed = [SealingKey(public=file.private.public, created_at=now)]
        store.set_sealing_key_list(tx.connection, file.kid, sign_list(listed, at=now, by=file.private), now)
        record_by_server(tx, EventKind.SEAL_KEY_CREATED, file.kid, now)

    def _useless(self, tx: Tx) -> list[str]:
        """Return the names of the stored private keys that the key in the file has replaced.

        The result is empty until the record of the replacement is sealed, because only the replaced key can seal
        that record.
        """
        sealed = self._ring.kids(tx)
        known = {key.kid: key.public for key in self._known(tx)}
        if not sealed or self._file is None:
            return []
        try:
            present = service.present_key(tx, known)
        except Conflict:  # not sealed yet, or the log is broken
            return []
        return sorted(sealed & known.keys()) if present == self._file.kid else []

    def _hold(self, keys: list[HeadKey]) -> None:
        self._held = {key.kid: key.private for key in keys}
        self._first = keys[0].kid if keys else ""


def replace_by_file(
    database: Database, keys: SealingKeys, sealer: Sealer, act: Act, *, issuer: str, file: KeyFile
) -> tuple[str, str]:
    """Replace the current key by the file's key, and seal the record of the replacement. Raises `Conflict`.

    Return the new name and the old name. This function seals the record because only the replaced key may seal
    it. A server that starts with the new file does not have the replaced key.
    """
    made = database.change(lambda tx: keys.replace(tx, act, issuer=issuer, file=file))
    keys.take_over(file)
    for _ in range(TURNS):
        sealer.seal()
        if database.read(lambda tx: keys.is_replaced(tx, made[1])):
            keys.delete_replaced()
            return made
    raise Conflict(
        "The record of the new key is not sealed.", "Start a server with the current key: it seals the record."
    )


def _is_in_a_file(tx: Tx) -> bool:
    return store.has_sealing_key_list(tx.connection)


def _published(tx: Tx, known: list[SealingKey]) -> list[dict[str, Any]]:
    ends = service.ends(tx, {key.kid: key.public for key in known})
    return [
        as_jwk(key.public)
        | {"created_at": rfc3339(key.created_at)}
        | ({"checkpoints_up_to": ends[key.kid]} if key.kid in ends else {})
        for key in known
    ]


def _unproved(tx: Tx) -> list[SealingKey]:
    """Return the list of public keys that the current sealing key has signed. Raises `Unavailable` if there is none.

    An attacker may have inserted another list. That list is not returned, because its key has signed no
    checkpoint.
    """
    stored = store.all_sealing_key_lists(tx.connection)
    lists = {kid: keys for kid, signed in stored.items() if (keys := read_unproved_list(signed, kid))}
    try:
        present = service.sealing_kid(tx, {key.kid: key.public for keys in lists.values() for key in keys})
    except Conflict:
        raise Unavailable(NO_FILE, _NAME_IT) from None
    if not present and len(lists) == 1:  # nothing is sealed yet
        return next(iter(lists.values()))
    if present not in lists:
        raise Unavailable(NO_FILE, _NAME_IT)
    return lists[present]


def _listed(tx: Tx, now: datetime, file: KeyFile, known: list[SealingKey]) -> PublicKey:
    """Save a list of the known keys and the file's key, and return the public key of the file.

    The file's key signs the list. Raises `Conflict` if the file's key is one of the known keys.
    """
    if file.kid in {key.kid for key in known}:
        raise Conflict(f"The key in {file.path} was already used to seal this audit log.", "Make a new key.")
    new = SealingKey(public=file.private.public, created_at=now)
    store.set_sealing_key_list(tx.connection, file.kid, sign_list([*known, new], at=now, by=file.private), now)
    return new.public
