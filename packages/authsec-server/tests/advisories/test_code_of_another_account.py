"""An administrator finishes the sign-in of another one with a code of the own phone, or with the own secret.

Raw SQL may copy the encrypted secret of one account to another one. The secret is encrypted for its account.
"""

from __future__ import annotations

from typing import Any

import pytest
from authsec_server.accounts.store import administrators
from authsec_server.failures import Invalid
from sqlalchemy import select, update

pytestmark = pytest.mark.sqlite_suffices
Entrance = Any


def test_a_code_of_the_own_phone_opens_no_other_account(entrance: Entrance) -> None:
    entrance.turn_on(entrance.first())
    phone, codes = entrance.turn_on(entrance.another("bob@example.com"))
    for code in (phone.at(entrance.clock.now()), codes[0]):
        with pytest.raises(Invalid, match="not right"):
            entrance.second_steps.by_code(entrance.step("ann@example.com"), code, entrance.caller())


def test_a_copied_secret_does_not_work(entrance: Entrance) -> None:
    ann = entrance.first()
    entrance.turn_on(ann)
    bob = entrance.another("bob@example.com")
    phone, _ = entrance.turn_on(bob)
    its = administrators.c

    def copy(tx: Any) -> None:
        copied = its.second_factor_id, its.second_factor_sealed
        row = tx.connection.execute(select(*copied).where(its.id == bob.administrator.id)).one()
        tx.connection.execute(update(administrators).where(its.id == ann.administrator.id).values(**row._mapping))

    entrance.database.append(copy)
    with pytest.raises(Invalid, match="cannot read the secret"):
        entrance.second_steps.by_code(entrance.step(), phone.at(entrance.clock.now()), entrance.caller())


def test_a_secret_that_is_away_lets_nobody_in(entrance: Entrance) -> None:
    phone, _ = entrance.turn_on(entrance.first())
    away = update(administrators).values(second_factor_sealed=None)
    entrance.database.append(lambda tx: tx.connection.execute(away))
    with pytest.raises(Invalid, match="cannot read the secret"):
        entrance.second_steps.by_code(entrance.step(), phone.at(entrance.clock.now()), entrance.caller())
