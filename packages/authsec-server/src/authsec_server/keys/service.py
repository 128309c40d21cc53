"""The operations on signing keys. Each operation decides under the authority lock.

`make` returns a new key of an algorithm. Making an RSA key takes long, so the caller makes these keys before the
transaction (`key_ring.FreshKeys`). `wanted` are the algorithms that need keys: RS256 and the algorithms of the APIs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta

from authsec_server import naming
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named, repeat_detail
from authsec_server.db import Tx
from authsec_server.failures import Conflict, Failure, NotFound, Unavailable, seconds_text
from authsec_server.keys import store
from authsec_server.keys.model import (
    PUBLISHED,
    Algorithm,
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

Make = Callable[[Algorithm], NewKey]
ALWAYS_WANTED = frozenset({Algorithm.RS256})
_KID = re.compile(r"[A-Za-z0-9_-]{43}")  # an RFC 7638 thumbprint with SHA-256


def active_kids(tx: Tx) -> Mapping[Algorithm, str]:
    """Return the name of the active key of each algorithm that has one.

    This function checks no permission, because requests for tokens use it.
    """
    return {key.algorithm: key.kid for key in store.in_states(tx.connection, (KeyState.ACTIVE,))}


def of_algorithm(kids: Mapping[Algorithm, str], algorithm: Algorithm) -> str:
    """Return the name of the key of this algorithm. Raises `Unavailable`."""
    if algorithm not in kids:
        raise Unavailable(f"There is no active signing key for {algorithm}.")
    return kids[algorithm]


def published(tx: Tx) -> list[SigningKey]:
    """List the keys that verifiers need, newest first. The keys are public, so no permission is checked."""
    return store.in_states(tx.connection, PUBLISHED)


def signing_kids(tx: Tx) -> list[str]:
    """Return the names of the active and the prepared keys. The checkpoints of the audit log contain these names."""
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


def ensure(tx: Tx, act: Act, make: Make, wanted: Collection[Algorithm] = ALWAYS_WANTED) -> None:
    """Make sure that each wanted algorithm has one active and one prepared key. Call only inside a `change`.

    The first key of an algorithm signs at once, although verifiers have not fetched the key. They fetch the key set
    again when a token has an unknown `kid`.
    """
    act.principal.require(Role.ADMIN)
    published_keys = published(tx)
    for algorithm in sorted(wanted):
        active = key_in(published_keys, KeyState.ACTIVE, algorithm)
        prepared = key_in(published_keys, KeyState.PREPARED, algorithm)
        if active is None:  # no key signs: do not wait until all verifiers have fetched the prepared key
            active = prepared or _prepare(tx, act, make(algorithm))
            store.move(tx.connection, active.activated(act.now))
            prepared = None
        if prepared is None:
            _prepare(tx, act, make(algorithm))


def rotate(
    tx: Tx,
    act: Act,
    make: Make,
    *,
    max_token_lifetime: timedelta,
    algorithm: Algorithm = Algorithm.RS256,
    force: bool = False,
) -> SigningKey:
    """Retire the algorithm's active key, activate its prepared key, and return it. Call only inside a `change`.

    Raises `Conflict` if no key of the algorithm was ever needed. Without `force`, also raises `Conflict` if some
    verifiers may not have fetched the prepared key yet. Raises `Unavailable` if the prepared key is missing.
    """
    act.principal.require(Role.ADMIN)
    found = _active_and_prepared(tx, algorithm)
    if found is None:
        raise _nothing_prepared(tx, algorithm)
    active, prepared = found
    if not may_activate(prepared, act.now, force=force):
        raise _too_young(prepared, act.now)
    return _rotate(tx, act, active, prepared, make(algorithm), max_token_lifetime)


def rotate_now(
    tx: Tx, act: Act, make: Make, *, max_token_lifetime: timedelta, algorithm: Algorithm = Algorithm.RS256
) -> SigningKey:
    """Retire the algorithm's active key, and let a new key sign at once. Return the new key.

    The attack: somebody copied the private keys. The copy has the prepared key, too, so that key never signs. The
    prepared key has signed no token, so this change revokes it. Two keys of `make` are needed. Call only inside a
    `change`. Raises the errors of `rotate`, except for the wait.
    """
    act.principal.require(Role.ADMIN)
    found = _active_and_prepared(tx, algorithm)
    if found is None:
        raise _nothing_prepared(tx, algorithm)
    active, prepared = found
    fresh = _prepare(tx, act, make(algorithm))
    store.move(tx.connection, prepared.revoked(act.now))
    revocations.end(tx, SubjectKind.KEY, prepared.kid, act.now)
    now_active = _rotate(tx, act, active, fresh, make(algorithm), max_token_lifetime)
    detail = {**_revocation(prepared, {algorithm: now_active.kid}), "because": "A new key was to sign at once."}
    audit.record_act(tx, act, EventKind.KEY_REVOKED, subject=_named(prepared), kid=prepared.kid, detail=detail)
    return now_active


def rotate_if_due(tx: Tx, act: Act, make: Make, *, max_age: timedelta, max_token_lifetime: timedelta) -> None:
    """Rotate each algorithm whose active key is too old, once verifiers have fetched its prepared key.

    Call only inside a `change`.
    """
    act.principal.require(Role.ADMIN)
    for algorithm in Algorithm:
        active, prepared = _active_and_prepared(tx, algorithm) or (None, None)
        if active is None or prepared is None:
            continue
        if rotation_due(active, act.now, max_age) and may_activate(prepared, act.now):
            _rotate(tx, act, active, prepared, make(algorithm), max_token_lifetime)


def expire(tx: Tx, act: Act) -> None:
    """Delete the private parts of retired keys whose last token has expired. Call only inside a `change`."""
    act.principal.require(Role.ADMIN)
    for key in published(tx):
        if may_be_forgotten(key, act.now):
            store.move(tx.connection, key.gone())
            audit.record_act(tx, act, EventKind.KEY_GONE, subject=_named(key), kid=key.kid)


def revoke(
    tx: Tx,
    act: Act,
    kid: str,
    make: Make,
    *,
    wanted: Collection[Algorithm] = ALWAYS_WANTED,
    because: str = "",
) -> SigningKey:
    """Revoke the key and every token that it signed. The key is no longer published. Call only inside a `change`.

    Use this if another person may have the private key. If the key is active or prepared, and its algorithm is still
    wanted, the same change replaces it, even if verifiers have not fetched the new key. The act is recorded whatever
    the row says, as in `accounts.admin_keys.revoke`. Raises `NotFound` or `Invalid`.
    """
    act.principal.require(Role.ADMIN)
    key, because = get(tx, act, kid), naming.text("reason", because)
    is_repeat = key.state is KeyState.REVOKED
    revoked = key if is_repeat else key.revoked(act.now)
    store.move(tx.connection, revoked)
    revocations.end(tx, SubjectKind.KEY, kid, act.now)
    ensure(tx, act, make, wanted)
    detail = _revocation(key, active_kids(tx)) | ({"because": because} if because else {})
    detail |= repeat_detail(is_repeat=is_repeat)
    audit.record_act(tx, act, EventKind.KEY_REVOKED, subject=_named(key), kid=kid, detail=detail)
    return revoked


def revoke_all(
    tx: Tx,
    act: Act,
    make: Make,
    *,
    wanted: Collection[Algorithm] = ALWAYS_WANTED,
    also: Collection[str] = (),
    because: str,
) -> tuple[list[str], list[str]]:
    """Revoke every published key, after a restore. Call only inside a `change`.

    `also` are the names of keys that were made after the backup. The restored database lacks these keys.
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
    ensure(tx, act, make, wanted)
    signing = active_kids(tx)
    for key in published_keys:
        detail = {**_revocation(key, signing), "because": because}
        audit.record_act(tx, act, EventKind.KEY_REVOKED, subject=_named(key), kid=key.kid, detail=detail)
    return [key.kid for key in published_keys], unknown


def _revocation(key: SigningKey, signing: Mapping[Algorithm, str]) -> dict[str, object]:
    """Return the event detail of a revocation: the earlier state of the key, and the key that now signs, if any."""
    return {"was": key.state, **({"signs": signing[key.algorithm]} if key.algorithm in signing else {})}


def _active_and_prepared(tx: Tx, algorithm: Algorithm) -> tuple[SigningKey, SigningKey] | None:
    published_keys = published(tx)
    active = key_in(published_keys, KeyState.ACTIVE, algorithm)
    prepared = key_in(published_keys, KeyState.PREPARED, algorithm)
    return None if active is None or prepared is None else (active, prepared)


def _nothing_prepared(tx: Tx, algorithm: Algorithm) -> Failure:
    if algorithm in ALWAYS_WANTED | {key.algorithm for key in published(tx)}:
        return Unavailable("There is no prepared signing key.")
    return Conflict(
        f"There is no signing key for {algorithm}, because no API is registered for {algorithm}.",
        f"The first such API makes the keys: authsec apis edit API --signing-algorithm {algorithm}",
    )


def _prepare(tx: Tx, act: Act, new: NewKey) -> SigningKey:
    key = new.prepared(act.now)
    store.add(tx.connection, key, new.sealed)
    detail = {"algorithm": key.algorithm}
    audit.record_act(tx, act, EventKind.KEY_CREATED, subject=_named(key), kid=key.kid, detail=detail)
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
