"""The key that signs the heads of the log over the journal: made once, published for as long as the database lives.

It is not replaced by age. Whoever checks the journal keeps its public part from the first day, and checks with it what
was sealed years ago. Where it is replaced, by command, it signs for its successor (`audit/sealing/succession`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from authsec.jose import PrivateKey, PublicKey

from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind
from authsec_server.audit.sealing import service
from authsec_server.audit.sealing.succession import sign_replacement
from authsec_server.db import Database, Tx
from authsec_server.failures import Conflict, Unavailable
from authsec_server.keys import store
from authsec_server.keys.head_keys import HeadKey, HeadKeyMaker, named, record_by_server
from authsec_server.keys.master import MasterKey, Purpose
from authsec_server.principal import Act, Role
from authsec_server.revocations.heads import as_jwk
from authsec_server.web.instants import rfc3339


class JournalKeys:
    """The key of one database; several where servers that started together each made one. Used from any thread.

    `keep` must have run once before anything is signed.
    """

    def __init__(self, database: Database, master_key: MasterKey, *, token_bytes: Callable[[int], bytes]) -> None:
        self._database = database
        self._maker = HeadKeyMaker(master_key=master_key, purpose=Purpose.JOURNAL, token_bytes=token_bytes)
        self._held: dict[str, PrivateKey] = {}
        self._first = ""

    def keep(self, now: datetime) -> None:
        """Make the key where there is none. Run at the start. Raises `Unavailable`."""
        if not self._first:
            held = self._read()
            if not held:
                self._make(now)
                held = self._read()
            self._hold(held)

    def signing_key(self, kid: str = "") -> PrivateKey:
        """The key of that name, or the first one. Raises `Unavailable`."""
        if (kid or self._first) not in self._held:
            self._hold(self._read())  # another server has replaced it
        found = self._held.get(kid or self._first)
        if found is None:
            raise Unavailable("The key to seal the journal with is not there, or sealed by another master key.")
        return found

    def replace(self, tx: Tx, act: Act, *, issuer: str, rehearsed: bool = False) -> tuple[str, str]:
        """A new key, for which the present one signs; their names. It signs once the event is sealed.

        In a rehearsal, which keeps no key, it signs for none. Only inside a `change`. Raises `Conflict`.
        """
        act.principal.require(Role.ADMIN)
        held = {key.kid: key.private for key in self._opened(tx)}
        present = service.present_key(tx, {kid: private.public for kid, private in held.items()})
        if present not in held:
            raise Conflict("The key that seals now cannot be opened.", "Start the server with the master key it had.")
        made = self._maker.make(act.now)
        opened = self._maker.opened(made)
        assert opened is not None  # the very master key has just sealed it
        new = opened.private.public
        record = "" if rehearsed else sign_replacement(new, at=act.now, issuer=issuer, key=held[present])
        store.add_head_key(tx.connection, store.sealing_keys, made)
        detail = {"replaces": present, "record": record}
        audit.record_act(tx, act, EventKind.SEAL_KEY_REPLACED, subject=named(made.kid), kid=made.kid, detail=detail)
        return made.kid, present

    def published(self) -> list[dict[str, Any]]:
        """The same, as everybody may have them: JWKs, with the end of replaced ones. Raises `Unavailable`."""
        return self._database.read(self._published)

    def _published(self, tx: Tx) -> list[dict[str, Any]]:
        held = self._opened(tx)
        ends = service.ends(tx, {key.kid: key.private.public for key in held})
        return [
            as_jwk(key.private.public)
            | {"created_at": rfc3339(key.created_at)}
            | ({"heads_up_to": ends[key.kid]} if key.kid in ends else {})
            for key in held
        ]

    def by_kid(self) -> Mapping[str, PublicKey]:
        """What verifies heads: what the table lists *and* the master key opens. Raises `Unavailable`."""
        return {key.kid: key.private.public for key in self._read()}

    def _hold(self, keys: list[HeadKey]) -> None:
        self._held = {key.kid: key.private for key in keys}
        self._first = keys[0].kid if keys else ""

    def _read(self) -> list[HeadKey]:
        return self._database.read(self._opened)

    def _opened(self, tx: Tx) -> list[HeadKey]:
        sealed = store.all_head_keys(tx.connection, store.sealing_keys)
        return [opened for each in sealed if (opened := self._maker.opened(each)) is not None]

    def _make(self, now: datetime) -> None:
        made = self._maker.make(now)

        def add(tx: Tx) -> None:
            store.add_head_key(tx.connection, store.sealing_keys, made)
            record_by_server(tx, EventKind.SEAL_KEY_CREATED, made.kid, now)

        self._database.append(add)
