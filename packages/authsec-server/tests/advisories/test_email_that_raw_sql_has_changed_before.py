"""Raw SQL changes an administrator's address just before an admin changes it, and puts the old address back.

The admin takes an address away that somebody else reads, because a sign-in and each new link go there. The edit finds
the address as it should become, and so was not recorded. An edit of a role, a delegation or an administrator's role was
recorded in this case.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.accounts import administrators
from authsec_server.principal import Role
from sealed_estate import sealed_estate
from sqlalchemy import text


@pytest.mark.sqlite_suffices
def test_the_address_is_changed_or_its_undoing_is_found(estate: Any) -> None:
    sealed = sealed_estate(estate)
    before, after = "eve@old.example", "eve@example.com"
    estate.do(lambda tx, act: administrators.invite(tx, act, email=before, name="Eve", role=Role.ADMIN))
    sealed.seal()

    def write(old: str, new: str) -> None:
        statement = text("UPDATE administrators SET email = :new WHERE email = :old").bindparams(old=old, new=new)
        estate.database.append(lambda tx: tx.connection.execute(statement) and None)

    write(before, after)
    changed = estate.do(lambda tx, act: administrators.change_email(tx, act, after, after, revision=1))
    assert changed.email == after
    write(after, before)
    sealed.seal()
    assert sealed.findings() != ()
