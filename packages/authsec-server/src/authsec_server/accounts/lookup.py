"""Find an administrator, the principal that an audit filter names, and the creator of an enrolment code."""

from __future__ import annotations

from datetime import datetime

from authsec_server import naming
from authsec_server.accounts import admin_key_store, store
from authsec_server.accounts.model.administrators import Administrator, read_email
from authsec_server.db import Tx
from authsec_server.failures import Invalid, NotFound
from authsec_server.principal import LOCAL_OPERATOR, Principal, PrincipalKind
from authsec_server.suggest import nearest, told_nearest


def find_administrator(tx: Tx, reference: str, *, suggests: bool = True) -> Administrator:
    """Return the administrator with this id or e-mail address. Raises `NotFound`.

    Without `suggests`, the error suggests no similar address. The caller locks a person out, and a suggestion
    could lead to the wrong person.
    """
    found = None
    if naming.is_uuid(reference):
        found = store.administrator_by_id(tx.connection, reference)
    elif address := read_email(reference):
        found = store.administrator_by_email(tx.connection, address)
    if found is None:
        address = read_email(reference) or ""
        known = _alike(tx, address) if address and suggests else []
        listed = told_nearest(address, known, "See the list: authsec admin list")
        raise NotFound(f"There is no administrator {naming.quoted(reference)}.", listed)
    return found


def _alike(tx: Tx, address: str) -> list[str]:
    """Return known addresses with a similar part before the @. All addresses of a company share the other part."""
    name = address.partition("@")[0]
    return [each for each in store.emails_near(tx.connection, address) if nearest(name, [each.partition("@")[0]])]


def find_principal(tx: Tx, text: str) -> tuple[PrincipalKind, str] | None:
    """Return the administrator with this email or id, or the admin key with this name or id.

    Return None if neither exists. Raises `Invalid` if both exist: somebody may have inserted one of them to
    hide the acts of the other. This function reads only ids, so that an unreadable value in another column
    cannot hide anybody's acts. It checks no permission.
    """
    if naming.is_uuid(text):
        administrator = store.id_of_administrator(tx.connection, id_=text)
        key = admin_key_store.id_of_admin_key(tx.connection, id_=text)
    else:
        administrator = store.id_of_administrator(tx.connection, email=text.lower())
        key = admin_key_store.id_of_admin_key(tx.connection, name=text)
    if administrator and key:
        raise Invalid(
            "by",
            f"{naming.quoted(text)} is the name of an administrator ({administrator}) and of an admin key ({key}).",
            "Give the id instead.",
        )
    if administrator:
        return PrincipalKind.ADMINISTRATOR, administrator
    return (PrincipalKind.ADMIN_KEY, key) if key else None


def current_principal(tx: Tx, kind: PrincipalKind, principal_id: str, now: datetime) -> Principal | None:
    """Return the principal of an earlier act, with the role that the principal has now.

    Call this before another caller completes the act, such as an enrolment. Return None if the principal is
    disabled, revoked, expired or deleted.
    """
    if kind is PrincipalKind.LOCAL_OPERATOR:
        return LOCAL_OPERATOR
    if kind is PrincipalKind.ADMIN_KEY:
        key = admin_key_store.admin_key_by_id(tx.connection, principal_id) if naming.is_uuid(principal_id) else None
        return key.principal() if key and key.refusal(now) is None else None
    if kind is PrincipalKind.ADMINISTRATOR and naming.is_uuid(principal_id):
        administrator = store.administrator_by_id(tx.connection, principal_id)
        return administrator.principal("") if administrator and administrator.enabled else None
    return None
