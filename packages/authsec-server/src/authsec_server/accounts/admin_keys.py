"""Create, revoke and find admin keys; load the bootstrap key.

Automation administers a new authority with the bootstrap key.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import chain, count
from pathlib import Path
from types import MappingProxyType
from typing import Final

from authsec_server import naming
from authsec_server.accounts import admin_key_store
from authsec_server.accounts.model.admin_keys import (
    AdminKey,
    KeyRefusal,
    expiry,
    is_admin_key,
    key_name,
    looks_random,
    new_admin_key,
)
from authsec_server.accounts.model.secret import hashed
from authsec_server.audit import service as audit
from authsec_server.audit.model import Decision, Event, EventKind, Named, Refusal, Tally, repeat_detail
from authsec_server.db import Database, Tx
from authsec_server.failures import Conflict, NotFound, StartupRefused
from authsec_server.principal import Act, Role
from authsec_server.private_files import read_private
from authsec_server.settings import Settings
from authsec_server.suggest import told_nearest
from authsec_server.web.request_context import limit_key

LAST_USE_EVERY = timedelta(minutes=1)


def create(tx: Tx, act: Act, *, name: str, role: Role, life: timedelta | None = None) -> tuple[AdminKey, str]:
    """Create an admin key. Return the key and its text, which is shown only once.

    Call only inside a `change`. Raises `Invalid`, or `Conflict` when the name is taken.
    """
    act.principal.require(Role.ADMIN)
    act.principal.require(role)  # nobody may give a higher role than their own
    named = key_name(name)
    if admin_key_store.admin_key_by_name(tx.connection, named):
        raise Conflict(
            f"An admin key {naming.quoted(named)} already exists, perhaps as a revoked key.",
            "Choose another name: in the audit log, two keys must not have the same name.",
            field="name",
        )
    text = new_admin_key(act.token_bytes)
    return _add(tx, act, text, name=named, role=role, life=life), text


def adopt(tx: Tx, act: Act, text: str, *, name: str, life: timedelta) -> AdminKey:
    """Return the admin key with this text; add the key if it is unknown.

    A known key does not change: the bootstrap key file must not undo a revocation or an expiry. If another key
    has the name, a number is added to the new key's name. Call only inside a `change`.
    """
    act.principal.require(Role.ADMIN)
    if known := find(tx, text):
        return known
    names = chain([name], (f"{name}-{number}" for number in count(2)))
    free = next(each for each in names if admin_key_store.admin_key_by_name(tx.connection, each) is None)
    return _add(tx, act, text, name=free, role=Role.ADMIN, life=life, detail={"from": "bootstrap key file"})


def revoke(tx: Tx, act: Act, reference: str) -> AdminKey:
    """Revoke the admin key, and record that, whatever the row says. Call only inside a `change`.

    A repeat keeps the time of the first act, as in `delegations.service.revoke`.
    """
    act.principal.require(Role.ADMIN)
    key = get(tx, act, reference)
    at = key.revoked_at or act.now
    admin_key_store.set_admin_key_revoked(tx.connection, key.id, at)
    detail = repeat_detail(is_repeat=key.revoked_at is not None)
    audit.record_act(tx, act, EventKind.ADMIN_KEY_REVOKED, subject=_named(key), detail=detail)
    return key.revoked(at)


def get(tx: Tx, act: Act, reference: str) -> AdminKey:
    """Return the admin key with this id or name, even if expired or revoked. Raises `NotFound`."""
    act.principal.require(Role.VIEWER)
    if is_admin_key(reference):
        raise NotFound(  # the message must not repeat the key
            "This is an admin key, not the name of an admin key.",
            "The address of the request contains the key, and addresses may be logged. Revoke the key. To find the "
            "key's name: authsec admin list-keys",
        )
    key = by_id(tx, reference) or (
        admin_key_store.admin_key_by_name(tx.connection, reference) if naming.is_name(reference) else None
    )
    if key is None:
        known = admin_key_store.admin_key_names_near(tx.connection, reference) if naming.is_name(reference) else []
        listed = told_nearest(reference, known, "See the list: authsec admin list-keys")
        raise NotFound(f"There is no admin key {naming.quoted(reference)}.", listed)
    return key


def page(tx: Tx, act: Act, *, after: str = "", limit: int = 50) -> tuple[list[AdminKey], str | None]:
    """Return one page of admin keys in name order, from the first name after `after`, and the next page's cursor."""
    act.principal.require(Role.VIEWER)
    found = admin_key_store.page_of_admin_keys(tx.connection, after=after, limit=limit + 1)
    return found[:limit], found[limit - 1].name if len(found) > limit else None


def find(tx: Tx, text: str) -> AdminKey | None:
    """Return the admin key with this text, even if the key is expired or revoked.

    The caller checks the state of the key.
    """
    return admin_key_store.admin_key_by_hash(tx.connection, hashed(text))


def by_id(tx: Tx, key_id: str) -> AdminKey | None:
    """Return the admin key with this id, even if the key is expired or revoked.

    The caller checks the state of the key.
    """
    return admin_key_store.admin_key_by_id(tx.connection, key_id) if naming.is_uuid(key_id) else None


def signed_in(tx: Tx, key: AdminKey, now: datetime, request_id: str, address: str) -> None:
    """Record a sign-in with this key, and the time of its last use."""
    admin_key_store.set_admin_key_used(tx.connection, key.id, now, at_most_every=LAST_USE_EVERY)
    audit.record(
        tx,
        Event(
            at=now,
            kind=EventKind.ADMIN_SIGN_IN,
            request_id=request_id,
            principal=key.principal(),
            decision=Decision.GRANTED,
            address=address,
        ),
    )


def refused(
    tx: Tx, why: KeyRefusal, now: datetime, request_id: str, address: str, *, key: AdminKey | None = None
) -> None:
    """Count a refused sign-in in the audit log; `key` is the key that was sent, if it is known."""
    refusal = Refusal(
        kind=EventKind.ADMIN_SIGN_IN_REFUSED,
        address=limit_key(address),
        subject=_named(key) if key else None,
        reason=why,
    )
    audit.count_refusals(tx, {refusal: Tally(count=1, request_id=request_id)}, now)


def _add(
    tx: Tx,
    act: Act,
    text: str,
    *,
    name: str,
    role: Role,
    life: timedelta | None,
    detail: Mapping[str, str] = MappingProxyType({}),
) -> AdminKey:
    key = AdminKey(id=act.new_id(), name=name, role=role, created_at=act.now, expires_at=expiry(life, act.now))
    admin_key_store.add_admin_key(tx.connection, key, hashed(text))
    audit.record_act(
        tx,
        act,
        EventKind.ADMIN_KEY_CREATED,
        subject=_named(key),
        expires_at=key.expires_at,
        detail={"role": role.name.lower(), **detail},
    )
    return key


def _named(key: AdminKey) -> Named:
    return Named(id=key.id, name=key.name)


NAME: Final = "bootstrap"
_CALLED: Final = "bootstrap key file"


def bootstrap_key(settings: Settings, database: Database, act: Act) -> AdminKey | None:
    """Return the key in the bootstrap key file; add the key if it is unknown.

    Return None if the settings name no file. If several servers start at the same time, only one of them adds the key.
    Raises `StartupRefused` if the file is missing or readable by other users, or if the key is not random.
    """
    if settings.bootstrap_key_file is None:
        return None
    text = _text_in(settings.bootstrap_key_file)
    life = timedelta(seconds=settings.bootstrap_key_lifetime)
    return database.read(lambda tx: find(tx, text)) or database.change(
        lambda tx: adopt(tx, act, text, name=NAME, life=life)
    )


def _text_in(path: Path) -> str:
    command = f"authsec admin bootstrap-key --to-file {path}"
    text = read_private(path, _CALLED, if_missing=f"Create the file, or remove the setting: {command}").strip()
    key = text.decode("ascii", "replace")
    if not is_admin_key(key):
        raise StartupRefused(
            f"The {_CALLED} {path} must contain one admin key and nothing else. An admin key is authsec_ and 43 "
            "characters.",
            f"Remove the file and create a new one: {command}",
        )
    if not looks_random(key):
        raise StartupRefused(
            f"The key in the {_CALLED} {path} is not random, so anybody might guess the key.",
            f"Remove the file and create a new one: {command}",
        )
    return key
