"""The operations on signing keys. Each operation decides under the authority lock.

Making an RSA key takes long, so `SigningKeyRing` (`key_ring`) makes the keys before the transaction. The
parameter `fresh` is an iterator over these keys.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from authsec_server import naming
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named
from authsec_server.db import Tx
from authsec_server.failures import Conflict, NotFound, Unavailable, seconds_text
from authsec_server.keys import store
from authsec_server.keys.model import (
    PUBLISHED,
    KeyState,
    NewKey,
    SigningKey,
    activation_wait,
    key_in,
    may_activate,
    may_be_forgotten,
    rotation_due,
)
from authsec_server.principal import Act, Role
from authsec_server.revocations import service as revocations
from authsec_server.revocations.model import SubjectKind
from authsec_server.suggest import told_nearest

_KID = re.compile(r"[A-Za-z0-9_-]{43}")  # an RFC 7638 thumbprint with SHA-256


def active_kid(tx: Tx) -> str:
    """Return the name of the active key. Raises `Unavailable`.

    This function checks no permission, because requests for tokens use it.
    """
    kid = store.active_kid(tx.connection)
    if kid is None:
        raise Unavailable("There is no active signing key.")
    return kid


def published(tx: Tx) -> list[SigningKey]:
    """List the keys that verifiers need, newest first. The keys are public, so no permission is checked."""
    return store.in_states(tx.connection, PUBLISHED)


def signing_kids(tx: Tx) -> list[str]:
    """Return the names of the active and the prepared key. The checkpoints of the audit log contain these names."""
    return sorted(key.kid for key in store.in_states(tx.connection, (KeyState.ACTIVE, KeyState.PREPARED)))


def every(tx: Tx, act: Act) -> list[SigningKey]:
    """List all keys of any state, newest first."""
    act.principal.require(Role.VIEWER)
    return store.in_states(tx.connection, tuple(KeyState))


def is_kid(text: str) -> bool:
    """Whether the text has the form of a key's name."""
    return _KID.fullmatch(text) is not None


def get(tx: Tx, act: Act, kid: str) -> SigningKey:
    """Return the key in any state. Raises `NotFound`."""
    act.principal.require(Role.VIEWER)
    found = store.find(tx.connection, kid) if is_kid(kid) else None
    if found is None:
        known = [key.kid for key in store.in_states(tx.connection, tuple(KeyState))]
        listed = told_nearest(kid, known, "See the list: authsec keys list")
        raise NotFound(f"There is no signing key {naming.quoted(kid)}.", listed)
    return found


def ensure(tx: Tx, act: Act, fresh: Iterator[NewKey]) -> None:
    """Make sure that there is one active and one prepared key. Call only inside a `change`.

    At the first start of an authority, both keys are new.
    """
    act.principal.require(Role.ADMIN)
    published_keys = published(tx)
    active, prepared = key_in(published_keys, KeyState.ACTIVE), key_in(published_keys, KeyState.PREPARED)
    if active is None:  # nothing signs: no reason to wait until a prepared key has been seen everywhere
        active = prepared or _prepare(tx, act, next(fresh))
        store.move(tx.connection, active.activated(act.now))
        prepared = None
    if prepared is None:
        _prepare(tx, act, next(fresh))


def rotate(
    tx: Tx, act: Act, fresh: Iterator[NewKey], *, max_token_lifetime: timedelta, force: bool = False
) -> SigningKey:
    """Retire the active key, activate the prepared key, and return it. Call only inside a `change`.

    Raises `Conflict` if some verifiers may not have fetched the prepared key yet. With `force`, this check is
    left out.
    """
    act.principal.require(Role.ADMIN)
    active, prepared = _active_and_prepared(tx)
    if not may_activate(prepared, act.now, force=force):
        raise _too_young(prepared, act.now)
    return _rotate(tx, act, active, prepared, next(fresh), max_token_lifetime)


def rotate_if_due(
    tx: Tx, act: Act, fresh: Iterator[NewKey], *, max_age: timedelta, max_token_lifetime: timedelta
) -> None:
    """Rotate if the active key is too old and verifiers have fetched the prepared key. Call only inside a `change`."""
    act.principal.require(Role.ADMIN)
    active, prepared = _active_and_prepared(tx)
    if rotation_due(active, act.now, max_age) and may_activate(prepared, act.now):
        _rotate(tx, act, active, prepared, next(fresh), max_token_lifetime)


def expire(tx: Tx, act: Act) -> None:
    """Delete the private parts of retired keys whose last token has expired. Call only inside a `change`."""
    act.principal.require(Role.ADMIN)
    for key in published(tx):
        if may_be_forgotten(key, act.now):
            store.move(tx.connection, key.gone())
            audit.record_act(tx, act, EventKind.KEY_GONE, subject=_named(key), kid=key.kid)


def revoke(tx: Tx, act: Act, kid: str, fresh: Iterator[NewKey], *, because: str = "") -> SigningKey:
    """Revoke the key and every token that it signed. The key is no longer published. Call only inside a `change`.

    Use this if another person may have the private key. If the key is active or prepared, the same change
    replaces it, even if verifiers have not fetched the new key. A key that is already revoked does not change.
    Raises `NotFound` or `Invalid`.
    """
    act.principal.require(Role.ADMIN)
    key, because = get(tx, act, kid), naming.text("reason", because)
    if key.state is KeyState.REVOKED:
        return key
    revoked = key.revoked(act.now)
    store.move(tx.connection, revoked)
    revocations.end(tx, SubjectKind.KEY, kid, act.now)
    ensure(tx, act, fresh)
    detail = {"was": key.state, "signs": active_kid(tx)} | ({"because": because} if because else {})
    audit.record_act(tx, act, EventKind.KEY_REVOKED, subject=_named(key), kid=kid, detail=detail)
    return revoked


def revoke_all(
    tx: Tx, act: Act, fresh: Iterator[NewKey], *, also: Collection[str] = (), because: str
) -> tuple[list[str], list[str]]:
    """Revoke every published key, after a restore. Call only inside a `change`.

    `also` are the names of keys that were made after the backup, so that the restored database lacks them.
    Return the names of the revoked keys, and the names in `also` that the database lacks. The revocation feed
    has an entry for each of them.
    """
    act.principal.require(Role.ADMIN)
    published_keys = published(tx)
    for key in published_keys:
        store.move(tx.connection, key.revoked(act.now))
        revocations.end(tx, SubjectKind.KEY, key.kid, act.now)
    unknown = sorted(kid for kid in also if is_kid(kid) and store.find(tx.connection, kid) is None)
    for kid in unknown:
        revocations.end(tx, SubjectKind.KEY, kid, act.now)
    ensure(tx, act, fresh)
    for key in published_keys:
        detail = {"was": key.state, "signs": active_kid(tx), "because": because}
        audit.record_act(tx, act, EventKind.KEY_REVOKED, subject=_named(key), kid=key.kid, detail=detail)
    return [key.kid for key in published_keys], unknown


def _active_and_prepared(tx: Tx) -> tuple[SigningKey, SigningKey]:
    published_keys = published(tx)
    active, prepared = key_in(published_keys, KeyState.ACTIVE), key_in(published_keys, KeyState.PREPARED)
    if active is None or prepared is None:
        raise Unavailable("There is no prepared signing key.")
    return active, prepared


def _prepare(tx: Tx, act: Act, new: NewKey) -> SigningKey:
    key = new.prepared(act.now)
    store.add(tx.connection, key, new.sealed)
    audit.record_act(tx, act, EventKind.KEY_CREATED, subject=_named(key), kid=key.kid)
    return key


def _rotate(
    tx: Tx, act: Act, active: SigningKey, prepared: SigningKey, new: NewKey, max_token_lifetime: timedelta
) -> SigningKey:
    now_active = prepared.activated(act.now)
    store.move(tx.connection, active.retired(act.now, max_token_lifetime))
    store.move(tx.connection, now_active)
    detail = {"retired": active.kid}
    audit.record_act(tx, act, EventKind.KEY_ROTATED, subject=_named(now_active), kid=now_active.kid, detail=detail)
    _prepare(tx, act, new)
    return now_active


def _too_young(prepared: SigningKey, now: datetime) -> Conflict:
    wait = activation_wait(prepared, now)
    return Conflict(
        "The prepared key was published recently, so some verifiers may not know it yet.",
        f"Rotate in {seconds_text(wait.total_seconds())}, or force the rotation: authsec keys rotate --force. Until "
        "then, some verifiers may refuse the new key's tokens.",
    )


def _named(key: SigningKey) -> Named:
    return Named(id=key.kid, name=key.kid)
