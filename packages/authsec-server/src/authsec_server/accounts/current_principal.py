"""Check whether the principal of an earlier act may still act, before another caller completes the act."""

from __future__ import annotations

from datetime import datetime

from authsec_server.accounts import admin_keys
from authsec_server.accounts.store import administrators as people
from authsec_server.db import Tx
from authsec_server.naming import is_uuid
from authsec_server.principal import LOCAL_OPERATOR, Principal, PrincipalKind


def current_principal(tx: Tx, kind: PrincipalKind, principal_id: str, now: datetime) -> Principal | None:
    """Return the principal with its current role.

    Return None if the principal is disabled, revoked, expired or deleted.
    """
    if kind is PrincipalKind.LOCAL_OPERATOR:
        return LOCAL_OPERATOR
    if kind is PrincipalKind.ADMIN_KEY:
        key = admin_keys.by_id(tx, principal_id)
        return key.principal() if key and key.refusal(now) is None else None
    if kind is PrincipalKind.ADMINISTRATOR and is_uuid(principal_id):
        administrator = people.by_id(tx.connection, principal_id)
        return administrator.principal("") if administrator and administrator.enabled else None
    return None
