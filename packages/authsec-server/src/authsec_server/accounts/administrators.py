"""Invite, edit, disable, enable and reset administrators; make sign-in links at the server's machine.

The operator at that machine can read the data folder and therefore already controls the authority. An admin key may not
make such a link: the holder of the key must not sign in as a person. `sign_in.py` has the sign-in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from authsec_server import naming, revisions
from authsec_server.accounts import links, sessions, store
from authsec_server.accounts.lookup import find_administrator
from authsec_server.accounts.model import administrators as model
from authsec_server.accounts.model.administrators import (
    Administrator,
    LinkPurpose,
    NewLink,
)
from authsec_server.audit import service as audit
from authsec_server.audit.model import EventKind, Named, repeat_detail
from authsec_server.db import Tx
from authsec_server.db.matching import unheard_of
from authsec_server.failures import Conflict, Invalid, NotPermitted
from authsec_server.principal import Act, PrincipalKind, Role
from authsec_server.revisions import edit_detail, require_current

FROM_THE_MACHINE = timedelta(minutes=15)  # lifetimes of links
TO_SOMEBODY = timedelta(hours=24)


def page(tx: Tx, act: Act, *, after: str = "", limit: int = 50) -> tuple[list[Administrator], str | None]:
    """Return one page of administrators in address order, starting after `after`, and the cursor of the next page."""
    act.principal.require(Role.VIEWER)
    if after and model.read_email(after) != after:
        raise Invalid("cursor", "This cursor does not come from a list.", "Start at the first page.")
    found = store.page_of_administrators(tx.connection, after=after, limit=limit + 1)
    return found[:limit], found[limit - 1].email if len(found) > limit else None


def search(tx: Tx, act: Act, text: str, *, limit: int = 8) -> list[Administrator]:
    """Return the administrators with the text in the name or address, or at the beginning of the id."""
    act.principal.require(Role.VIEWER)
    return store.search_administrators(tx.connection, text, limit=limit) if text and not unheard_of(text) else []


def get(tx: Tx, act: Act, reference: str) -> Administrator:
    """Return the administrator with this id or e-mail address. Raises `NotFound`."""
    act.principal.require(Role.VIEWER)
    return find_administrator(tx, reference)


def has_any(tx: Tx) -> bool:
    """Return whether any administrator exists.

    If none exists, the operator makes a set-up URL, which creates the first administrator.
    """
    return store.has_administrators(tx.connection)


def invite(tx: Tx, act: Act, *, email: str, name: str, role: Role) -> tuple[Administrator, NewLink]:
    """Create an administrator, and a link by which the person chooses a password. Call only inside a `change`.

    Raises `Invalid`, or `Conflict` when the address is taken.
    """
    act.principal.require(Role.ADMIN)
    act.principal.require(role)  # nobody may give a higher role than their own
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
    """Save a new administrator. Raises `Conflict` when the address is taken.

    The caller checks the principal's role and records the event.
    """
    _refuse_taken(tx, administrator.email)
    store.add_administrator(tx.connection, administrator)
    return administrator


def change_role(tx: Tx, act: Act, reference: str, role: Role, *, revision: int) -> Administrator:
    """Change an administrator's role. A lower role ends the administrator's sessions. Call only inside a `change`.

    The act is recorded even if the row has the role already, as in `revisions.edit_detail`.
    Raises `Outdated` if the administrator has changed since `revision`. Raises `Conflict` for a lower role of
    the last admin who can sign in. Also raises `Conflict` if an OpenID provider sets the administrator's role.
    """
    act.principal.require(Role.ADMIN)
    act.principal.require(role)
    found = _current(get(tx, act, reference), revision)
    if found.has_identity:
        raise Conflict(
            f"The role of {found.email} comes from the OpenID provider {found.issuer} at every sign-in.",
            "Change the role at the provider. To lock this administrator out at once, disable the administrator here.",
        )
    if role < found.role:
        _require_another_admin(tx, found)
    return _apply_role(tx, act, found, role)


def follow_role(tx: Tx, act: Act, found: Administrator, role: Role) -> Administrator:
    """Give the administrator the role that the OpenID provider grants, even if no admin remains.

    The administrator must not keep a higher role than the provider confirms. Each sign-in calls this function, so a
    role that the row has already is not recorded.
    """
    return found if role is found.role else _apply_role(tx, act, found, role)


def rename(tx: Tx, act: Act, reference: str, name: str, *, revision: int) -> Administrator:
    """Change an administrator's name. Call only inside a `change`. Raises `Invalid`, `Outdated`."""
    act.principal.require(Role.ADMIN)
    found = _current(get(tx, act, reference), revision)
    renamed = naming.name("name", name)
    if renamed == found.name:
        return found
    changed = _change(tx, act, found, name=renamed)
    _record_change(tx, act, changed, edit_detail(changed.revision, {"name": found.name}, {"name": renamed}))
    return changed


def change_email(tx: Tx, act: Act, reference: str, email: str, *, revision: int) -> Administrator:
    """Change the address that an administrator signs in with, and void the person's unused links.

    The act is recorded even if the row has the address already, as in `revisions.edit_detail`. Links then stay valid.
    Call only inside a `change`. Raises `Invalid`, `Outdated`, or `Conflict` when another administrator has the
    address.
    """
    act.principal.require(Role.ADMIN)
    found = _current(get(tx, act, reference), revision)
    address = model.checked_email("email", email)
    is_new = address != found.email
    if is_new:
        _refuse_taken(tx, address)
    changed = _change(tx, act, found, email=address)
    if is_new:
        links.void_all_of(tx, act.now, found)
    detail = edit_detail(changed.revision, {"email": found.email}, {"email": address}, asked=["email"])
    _record_change(tx, act, changed, detail)
    return changed


def disable(tx: Tx, act: Act, reference: str) -> Administrator:
    """Disable an administrator, and end the person's sessions and links. Call only inside a `change`.

    The attack: raw SQL inserts very many sessions, so that the change takes too long. No session of a disabled
    administrator is valid, so maintenance may end the others later.

    Do so whatever the row says, as in `clients.service.disable`. An administrator who is already disabled keeps the
    time of the first act. Raises `Conflict` for the last admin who can sign in.
    """
    act.principal.require(Role.ADMIN)
    found = get(tx, act, reference)
    _require_another_admin(tx, found)
    disabled = _change(tx, act, found, is_repeat=not found.enabled, disabled_at=found.disabled_at or act.now)
    links.void_all_of(tx, act.now, found)
    ended = sessions.end_all_of(tx, act, found, because="disabled", limit=sessions.AT_ONCE)
    detail: dict[str, Any] = {"sessions_ended": ended, **repeat_detail(is_repeat=not found.enabled)}
    _record(tx, act, EventKind.ADMINISTRATOR_DISABLED, disabled, **detail)
    return disabled


def enable(tx: Tx, act: Act, reference: str) -> Administrator:
    """Enable a disabled administrator. Ended sessions and links stay ended. Call only inside a `change`.

    Raises `Conflict` while very many sessions have not ended.
    """
    act.principal.require(Role.ADMIN)
    found = get(tx, act, reference)
    act.principal.require(found.role)
    if found.enabled:
        return found
    sessions.end_left(tx, act, found)
    enabled = _change(tx, act, found, disabled_at=None)
    _record(tx, act, EventKind.ADMINISTRATOR_ENABLED, enabled)
    return enabled


def reset(tx: Tx, act: Act, reference: str) -> tuple[Administrator, NewLink]:
    """Remove an administrator's password, end the sessions, and make a link to choose a new password.

    An administrator or the operator at the server's machine may call this. The operator's link expires after 15
    minutes, and other links expire after 24 hours. An admin key must not call this: the holder of the key could
    sign in as the person with the link. Call only inside a `change`. Raises `NotPermitted`, `Conflict`.
    """
    act.principal.require(Role.ADMIN)
    here = act.principal.kind is PrincipalKind.LOCAL_OPERATOR
    if not here and act.principal.kind is not PrincipalKind.ADMINISTRATOR:
        raise NotPermitted(
            "An admin key cannot reset the sign-in of a person: the link would let the key's holder sign in as that "
            "person.",
            "Reset the sign-in in the console, or on the server's machine: authsec admin setup-url --email ADDRESS",
        )
    found = find_administrator(tx, reference, suggests=False)
    found.require_password_account()
    found.require_enabled()
    if not here:  # the operator can always make another link, so no lock-out is possible
        _require_another_admin(tx, found)
    ended = _end_access(tx, act, found, because="reset")
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
    if store.administrator_by_email(tx.connection, email):
        raise Conflict(
            f"An administrator {email} already exists.",
            "You can enable a disabled administrator again, or reset a lost password.",
            field="email",
        )


def _current(found: Administrator, revision: int) -> Administrator:
    require_current(found, revision, found.email)
    return found


def is_last_admin(tx: Tx, found: Administrator) -> bool:
    """Whether nobody else with the role admin can sign in."""
    last = found.role is Role.ADMIN and found.enabled and found.can_sign_in
    return last and not store.admins_who_can_sign_in(tx.connection, beside=found.id)


def _require_another_admin(tx: Tx, found: Administrator) -> None:
    """Raise `Conflict` if this is the last admin who can sign in.

    Call under the exclusive lock. Without the lock, two admins could disable each other at the same time.
    """
    if is_last_admin(tx, found):
        raise Conflict(
            f"{found.email} is the last administrator with the role admin who can sign in.",
            "First give another administrator the role admin. That administrator must then sign in once.",
        )


def _apply_role(tx: Tx, act: Act, found: Administrator, role: Role) -> Administrator:
    changed = _change(tx, act, found, role=role)
    if role < found.role:  # a session that is left has the new role
        sessions.end_all_of(tx, act, found, because="role lowered", limit=sessions.MOST_ENDED)
    detail = edit_detail(changed.revision, {"role": _role(found)}, {"role": _role(changed)}, asked=["role"])
    _record_change(tx, act, changed, detail)
    return changed


def _end_access(tx: Tx, act: Act, found: Administrator, *, because: str) -> int:
    links.void_all_of(tx, act.now, found)
    return sessions.end_every_one_of(tx, act, found, because=because)


def _change(tx: Tx, act: Act, found: Administrator, *, is_repeat: bool = False, **changes: Any) -> Administrator:
    """Save the next revision of the administrator, as `revisions.changed` makes it."""
    changed = revisions.changed(found, act, is_repeat=is_repeat, **changes)
    store.change_administrator(tx.connection, changed)
    return changed


def _record_change(tx: Tx, act: Act, changed: Administrator, detail: Mapping[str, object]) -> None:
    audit.record_act(tx, act, EventKind.ADMINISTRATOR_CHANGED, subject=named(changed), detail=detail)


def _record(
    tx: Tx, act: Act, kind: EventKind, administrator: Administrator, *, until: datetime | None = None, **detail: Any
) -> None:
    """Record a change of an administrator. `until` is the expiry of a link that the change made."""
    audit.record_act(tx, act, kind, subject=named(administrator), expires_at=until, detail=detail)


def named(administrator: Administrator) -> Named:
    """Return the administrator's id and name for the audit log."""
    return Named(id=administrator.id, name=administrator.name)


def _role(administrator: Administrator) -> str:
    return administrator.role.name.lower()


def for_the_first(tx: Tx, act: Act) -> NewLink:
    """Make the link that creates the first administrator. Call only inside a `change`.

    Raises `Conflict` if an administrator exists.
    """
    _require_operator(act)
    if has_any(tx):
        raise Conflict(
            "An administrator already exists, and this link is only for the first administrator.",
            "To set a new password for an administrator: authsec admin setup-url --email ADDRESS. To see all "
            "administrators: authsec admin list. To add an administrator: authsec admin invite ADDRESS --name NAME "
            "--role admin",
        )
    return _make_local_link(tx, act, LinkPurpose.FIRST_ADMINISTRATOR, None)


def for_a_password(tx: Tx, act: Act, reference: str) -> NewLink:
    """Make a link to choose a new password. The old password stops working at once. Call only inside a `change`."""
    _require_operator(act)
    return reset(tx, act, reference)[1]


def for_a_sign_in(tx: Tx, act: Act, reference: str) -> NewLink:
    """Make a link by which one administrator signs in once. Call only inside a `change`."""
    _require_operator(act)
    whose = find_administrator(tx, reference, suggests=False)
    whose.require_enabled()
    return _make_local_link(tx, act, LinkPurpose.SIGN_IN, whose)


def _require_operator(act: Act) -> None:
    if act.principal.kind is not PrincipalKind.LOCAL_OPERATOR:
        raise NotPermitted(
            "This kind of link can only be created on the server's machine.",
            "On that machine, run: authsec admin setup-url --data DIR",
        )


def _make_local_link(tx: Tx, act: Act, purpose: LinkPurpose, whose: Administrator | None) -> NewLink:
    made = links.make(tx, act, purpose, whose, FROM_THE_MACHINE)
    subject = named(whose) if whose else None
    until = made.link.expires_at
    audit.record_act(tx, act, EventKind.LINK_MADE, subject=subject, expires_at=until, detail={"purpose": purpose})
    return made
