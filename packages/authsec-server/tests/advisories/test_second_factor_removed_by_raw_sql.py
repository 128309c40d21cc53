"""Raw SQL removes the second factor of an administrator whose password somebody has, or plants a recovery code.

The rows of administrators have a digest, so `verify` finds the write. It does so also after an operator has changed the
same row, and after raw SQL has put a used recovery code back.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from authsec_server.accounts import administrators, second_factor
from authsec_server.accounts.model.second_factor import SecondFactor, hashed_recovery_code, recovery_code_of
from authsec_server.db import Tx
from authsec_server.principal import Act, Role
from sealed_estate import sealed_estate
from sqlalchemy import text

pytestmark = pytest.mark.sqlite_suffices
CODE = recovery_code_of(bytes(10))


def turn_on(tx: Tx, act: Act) -> Any:
    """Turn on the second factor of a new administrator. Return the administrator."""
    eve, _ = administrators.invite(tx, act, email="eve@example.com", name="Eve", role=Role.ADMIN)
    id_ = act.new_id()
    factor = SecondFactor(
        administrator_id=eve.id,
        id=id_,
        since=act.now,
        sealed=b"sealed",
        recovery_codes=(hashed_recovery_code(id_, CODE),),
        step=1,
    )
    second_factor.turn_on(tx, replace(act, principal=eve.principal("")), factor)
    return eve


def write(estate: Any, values: str) -> None:
    statement = text(f"UPDATE administrators SET {values} WHERE email = 'eve@example.com'")
    estate.database.append(lambda tx: tx.connection.execute(statement) and None)


@pytest.mark.parametrize(
    "values",
    [
        "second_factor_id = NULL",
        "second_factor_id = NULL, second_factor_since = NULL, second_factor_sealed = NULL, recovery_codes = NULL",
        "recovery_codes = '[\"planted\"]'",
    ],
)
def test_a_second_factor_that_raw_sql_changed_is_found(estate: Any, values: str) -> None:
    sealed = sealed_estate(estate)
    eve = estate.do(turn_on)
    sealed.seal()
    assert sealed.findings() == ()
    write(estate, values)
    assert any("administrators" in str(each) for each in sealed.findings())
    estate.do(lambda tx, act: administrators.rename(tx, act, eve.id, "Eva", revision=1))
    sealed.seal()
    assert any("administrators" in str(each) for each in sealed.findings())


def test_a_used_recovery_code_that_comes_back_is_found(estate: Any) -> None:
    sealed = sealed_estate(estate)
    eve = estate.do(turn_on)
    hashes = estate.database.read(
        lambda tx: tx.connection.execute(text("SELECT recovery_codes FROM administrators WHERE name = 'Eve'")).scalar()
    )
    estate.do(lambda tx, act: second_factor.use_recovery_code(tx, act, eve, CODE))
    sealed.seal()
    assert sealed.findings() == ()
    write(estate, f"recovery_codes = '{hashes}'")
    assert any("administrators" in str(each) for each in sealed.findings())


def test_what_a_sign_in_writes_is_no_finding(estate: Any) -> None:
    sealed = sealed_estate(estate)
    estate.do(turn_on)
    sealed.seal()
    write(estate, "second_factor_step = 2, wrong_codes = 3")
    assert sealed.findings() == ()
