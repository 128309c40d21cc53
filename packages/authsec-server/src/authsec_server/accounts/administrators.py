"""The verbs of administrators. How one comes in is in `entering.py`, what a link is in `links.py`."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from authsec_server import naming
from authsec_server.accounts import links, sessions
from authsec_server.accounts.found import administrator as find
from authsec_server.accounts.model import administrators as model
from authsec_server.accounts.model.administrators import Administrator
from authsec_server.accounts.model.links import FROM_THE_MACHINE, TO_SOMEBODY, LinkPurpose, NewLink
from authsec_server.accounts.store import administrators as store
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named
from authsec_server.db import Tx
from authsec_server.db.matching import unheard_of
from authsec_server.failures import Conflict, Invalid, NotPermitted
from authsec_server.principal import Act, PrincipalKind, Role
from authsec_server.revisions import require_current


def page(tx: Tx, act: Act, *, after: str = "", limit: int = 50) -> tuple[list[Administrator], str | None]:
    """Administrators by e-mail address, from the first behind the address `after`; where the next page begins."""
    act.principal.require(Role.VIEWER)
    if after and model.read_email(after) != after:
        raise Invalid("cursor", "This cursor is not one that a list gave out.", "Begin at the first page.")
    found = store.page(tx.connection, after=after, limit=limit + 1)
    return found[:limit], found[limit - 1].email if len(found) > limit else None


def search(tx: Tx, act: Act, text: str, *, limit: int = 8) -> list[Administrator]:
    """Administrators whose name or address contains the text, or whose id begins with it."""
    act.principal.require(Role.VIEWER)
    return store.search(tx.connection, text, limit=limit) if text and not unheard_of(text) else []


def get(tx: Tx, act: Act, reference: str) -> Administrator:
    """The administrator with this id or e-mail address. Raises `NotFound`."""
    act.principal.require(Role.VIEWER)
    return find(tx, reference)


def any_yet(tx: Tx) -> bool:
    """Whether there is any administrator. Where there is none, the next thing is a set-up URL."""
    return store.any_yet(tx.connection)


def invite(tx: Tx, act: Act, *, email: str, name: str, role: Role) -> tuple[Administrator, NewLink]:
    """A new administrator, and the link by which they choose a password. Only inside a `change`.

    Raises `Invalid`, and `Conflict` where the address is taken.
    """
    act.principal.require(Role.ADMIN)
    act.principal.require(role)  # nobody gives more than they hold
    administrator = add(tx, model.new(act.new_id(), act.now, email=email, name=name, role=role))
    link = links.make(tx, act, LinkPurpose.SET_PASSWORD, administrator, TO_SOMEBODY)
    _record(
        tx,
        act,
        EventKind.ADMINISTRATOR_INVITED,
        administrator,
        email=administrator.email,
        role=_role(administrator),
        until=link.link.expires_at,
    )
    return administrator, link


def add(tx: Tx, administrator: Administrator) -> Administrator:
    """Keep somebody new. Who may, and the journal, are for the verbs that call this. Raises `Conflict`."""
    _refuse_taken(tx, administrator.email)
    store.add(tx.connection, administrator)
    return administrator


def change_role(tx: Tx, act: Act, reference: str, role: Role, *, revision: int) -> Administrator:
    """Give an administrator another role; with a lower one their sessions end. Only inside a `change`.

    Raises `Conflict` for the last admin, and where an OpenID provider says what the role is; `Outdated`.
    """
    act.principal.require(Role.ADMIN)
    act.principal.require(role)
    found = _current(get(tx, act, reference), revision)
    if found.has_identity:
        raise Conflict(
            f"The role of {found.email} comes from the OpenID provider {found.issuer} at every sign-in.",
            "Change it there; to keep them out at once, disable them.",
        )
    if role is found.role:
        return found
    if role < found.role:
        _leave_a_way_in(tx, found)
    return _apply_role(tx, act, found, role)


def follow_role(tx: Tx, act: Act, found: Administrator, role: Role) -> Administrator:
    """The role that the OpenID provider says, also where that leaves no admin: it vouches for no more than that."""
    return found if role is found.role else _apply_role(tx, act, found, role)


def rename(tx: Tx, act: Act, reference: str, name: str, *, revision: int) -> Administrator:
    """Call an administrator otherwise. Only inside a `change`. Raises `Invalid`, `Outdated`."""
    act.principal.require(Role.ADMIN)
    found = _current(get(tx, act, reference), revision)
    renamed = naming.name("name", name)
    if renamed == found.name:
        return found
    changed = _change(tx, act, found, name=renamed)
    _record_change(tx, act, changed, before={"name": found.name}, after={"name": renamed})
    return changed


def change_email(tx: Tx, act: Act, reference: str, email: str, *, revision: int) -> Administrator:
    """Give an administrator another address to sign in with; links to the old one are void. Only inside a `change`.

    Raises `Invalid`, `Conflict` where another has it, `Outdated`.
    """
    act.principal.require(Role.ADMIN)
    found = _current(get(tx, act, reference), revision)
    address = model.checked_email("email", email)
    if address == found.email:
        return found
    _refuse_taken(tx, address)
    changed = _change(tx, act, found, email=address)
    links.void_all_of(tx, act.now, found)
    _record_change(tx, act, changed, before={"email": found.email}, after={"email": address})
    return changed


def disable(tx: Tx, act: Act, reference: str) -> Administrator:
    """Let somebody in no more, and end their sessions and links. Only inside a `change`. Raises `Conflict`."""
    act.principal.require(Role.ADMIN)
    found = get(tx, act, reference)
    if not found.enabled:
        return found
    _leave_a_way_in(tx, found)
    disabled = _change(tx, act, found, disabled_at=act.now)
    ended = _shut_out(tx, act, found, because="disabled")
    _record(tx, act, EventKind.ADMINISTRATOR_DISABLED, disabled, sessions_ended=ended)
    return disabled


def enable(tx: Tx, act: Act, reference: str) -> Administrator:
    """Let somebody in again; no session or link comes back. Only inside a `change`."""
    act.principal.require(Role.ADMIN)
    found = get(tx, act, reference)
    act.principal.require(found.role)
    if found.enabled:
        return found
    enabled = _change(tx, act, found, disabled_at=None)
    _record(tx, act, EventKind.ADMINISTRATOR_ENABLED, enabled)
    return enabled


def reset(tx: Tx, act: Act, reference: str) -> tuple[Administrator, NewLink]:
    """Take somebody's password and sessions away, and make a link by which they choose a new password.

    A person may do that, or the operator at the machine, whose link is for the next minutes. An admin key may not: the
    link is a way in as somebody else. Only inside a `change`. Raises `Conflict`, `NotPermitted`.
    """
    act.principal.require(Role.ADMIN)
    here = act.principal.kind is PrincipalKind.LOCAL_OPERATOR
    if not here and act.principal.kind is not PrincipalKind.ADMINISTRATOR:
        raise NotPermitted(
            "An admin key cannot reset people: the link would let it in as one of them.",
            "Do it in the console, or on the server's machine: authsec admin setup-url --email ADDRESS",
        )
    found = get(tx, act, reference)
    found.require_password_account()
    found.require_enabled()
    if not here:  # the operator at the machine can always make another link
        _leave_a_way_in(tx, found)
    ended = _shut_out(tx, act, found, because="reset")
    store.set_password_hash(tx.connection, found.id, None)
    link = links.make(tx, act, LinkPurpose.SET_PASSWORD, found, FROM_THE_MACHINE if here else TO_SOMEBODY)
    _record(
        tx,
        act,
        EventKind.ADMINISTRATOR_RESET,
        found,
        sessions_ended=ended,
        until=link.link.expires_at,
    )
    return replace(found, has_password=False), link


def _refuse_taken(tx: Tx, email: str) -> None:
    if store.by_email(tx.connection, email):
        raise Conflict(
            f"There is an administrator {email} already.",
            "One who is disabled can be enabled again; one who lost the password can be reset.",
            field="email",
        )


def _current(found: Administrator, revision: int) -> Administrator:
    require_current(found, revision, found.email)
    return found


def _leave_a_way_in(tx: Tx, found: Administrator) -> None:
    """Raise `Conflict` if this is the last admin who can sign in. Under the lock, or two would lock each other out."""
    last = found.role is Role.ADMIN and found.enabled and found.has_way_in
    if last and not store.admins_with_way_in(tx.connection, beside=found.id):
        raise Conflict(
            f"{found.email} is the last administrator with the role admin who can sign in.",
            "Make somebody else admin first, and let them sign in once.",
        )


def _apply_role(tx: Tx, act: Act, found: Administrator, role: Role) -> Administrator:
    changed = _change(tx, act, found, role=role)
    if role < found.role:
        sessions.end_all_of(tx, act, found, because="role lowered")
    _record_change(tx, act, changed, before={"role": _role(found)}, after={"role": _role(changed)})
    return changed


def _shut_out(tx: Tx, act: Act, found: Administrator, *, because: str) -> int:
    links.void_all_of(tx, act.now, found)
    return sessions.end_all_of(tx, act, found, because=because)


def _change(tx: Tx, act: Act, found: Administrator, **changes: Any) -> Administrator:
    changes |= {"revision": found.revision + 1, "changed_at": act.now, "changed_by": act.principal.name}
    changed = replace(found, **changes)
    store.change(tx.connection, changed)
    return changed


def _record_change(tx: Tx, act: Act, changed: Administrator, *, before: dict[str, str], after: dict[str, str]) -> None:
    _record(tx, act, EventKind.ADMINISTRATOR_CHANGED, changed, revision=changed.revision, before=before, after=after)


def _record(
    tx: Tx, act: Act, kind: EventKind, administrator: Administrator, *, until: datetime | None = None, **detail: Any
) -> None:
    """`until`: when the link that was made with it expires."""
    audit.record_act(tx, act, kind, subject=named(administrator), expires_at=until, detail=detail)


def named(administrator: Administrator) -> Named:
    """The administrator as the journal names them."""
    return Named(id=administrator.id, name=administrator.name)


def _role(administrator: Administrator) -> str:
    return administrator.role.name.lower()
