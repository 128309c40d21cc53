"""The columns of `administrators` that hold a second factor, and their queries.

The columns that a sign-in writes have no digest: a sign-in is no change of authority.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, and_, case, not_, or_, select, update

from authsec_server.accounts.model.second_factor import MAX_WRONG, WRONG_WITHIN, SecondFactor
from authsec_server.accounts.store import administrators

_ITS = administrators.c
_COLUMNS = (
    *(_ITS.id, _ITS.second_factor_id, _ITS.second_factor_since, _ITS.second_factor_sealed),
    *(_ITS.second_factor_step, _ITS.recovery_codes),
)


def find(connection: Connection, administrator_id: str) -> SecondFactor | None:
    """Return the administrator's second factor."""
    row = connection.execute(select(*_COLUMNS).where(_ITS.id == administrator_id)).first()
    if row is None or row.second_factor_id is None:
        return None
    return SecondFactor(
        administrator_id=row.id,
        id=row.second_factor_id,
        since=row.second_factor_since,
        sealed=row.second_factor_sealed or b"",
        recovery_codes=_hashes(row.recovery_codes),
        step=row.second_factor_step,
    )


def all_sealed(connection: Connection) -> dict[str, bytes]:
    """Return all encrypted secrets, by the names that they are bound to (`SecondFactor.sealed_name`)."""
    found = connection.execute(
        select(_ITS.id, _ITS.second_factor_id, _ITS.second_factor_sealed).where(
            _ITS.second_factor_id.is_not(None), _ITS.second_factor_sealed.is_not(None)
        )
    )
    return {f"{row.id} {row.second_factor_id}": row.second_factor_sealed for row in found}


def set_sealed(connection: Connection, name: str, sealed: bytes) -> None:
    """Replace the encrypted secret that is bound to this name. Call only inside a `change`."""
    administrator_id, _, factor_id = name.partition(" ")
    its = and_(_ITS.id == administrator_id, _ITS.second_factor_id == factor_id)
    connection.execute(update(administrators).where(its).values(second_factor_sealed=sealed))


def save(connection: Connection, factor: SecondFactor) -> None:
    """Save a new second factor in place of an earlier one."""
    statement = update(administrators).where(_ITS.id == factor.administrator_id)
    connection.execute(
        statement.values(
            second_factor_id=factor.id,
            second_factor_since=factor.since,
            second_factor_sealed=factor.sealed,
            second_factor_step=factor.step,
            recovery_codes=json.dumps(factor.recovery_codes),
            wrong_codes=None,
            wrong_codes_since=None,
        )
    )


def remove(connection: Connection, administrator_id: str) -> None:
    """Remove the administrator's second factor."""
    statement = update(administrators).where(_ITS.id == administrator_id)
    connection.execute(
        statement.values(
            second_factor_id=None,
            second_factor_since=None,
            second_factor_sealed=None,
            second_factor_step=None,
            recovery_codes=None,
            wrong_codes=None,
            wrong_codes_since=None,
        )
    )


def use_step(connection: Connection, factor: SecondFactor, step: int) -> bool:
    """Save the time step of an accepted code. Return False if a code of this step, or a later one, was accepted.

    One statement, because two servers may get the same code at the same time (RFC 6238 section 5.2).
    """
    is_new = or_(_ITS.second_factor_step.is_(None), _ITS.second_factor_step < step)
    statement = update(administrators).where(*_same(factor), is_new)
    used = statement.values(second_factor_step=step, wrong_codes=None, wrong_codes_since=None)
    return connection.execute(used).rowcount == 1


def keep_recovery_codes(connection: Connection, factor: SecondFactor, hashes: tuple[str, ...]) -> None:
    """Save the hashes of the recovery codes that are left. Call only inside a `change`."""
    statement = update(administrators).where(*_same(factor))
    connection.execute(statement.values(recovery_codes=json.dumps(hashes), wrong_codes=None, wrong_codes_since=None))


def charge_code(connection: Connection, factor: SecondFactor, now: datetime) -> float:
    """Count one attempt of a code before its check. Return 0.0 if the attempt is allowed, else the seconds to wait.

    The database counts, so that several servers have one limit. A right code sets the count back.
    """
    recent = and_(_ITS.wrong_codes_since.is_not(None), _ITS.wrong_codes_since > now - WRONG_WITHIN)
    statement = update(administrators).where(*_same(factor), or_(not_(recent), _ITS.wrong_codes < MAX_WRONG))
    charged = statement.values(
        wrong_codes=case((recent, _ITS.wrong_codes + 1), else_=1),
        wrong_codes_since=case((recent, _ITS.wrong_codes_since), else_=now),
    )
    if connection.execute(charged).rowcount == 1:
        return 0.0
    since = connection.execute(select(_ITS.wrong_codes_since).where(*_same(factor))).scalar_one_or_none()
    return max((since + WRONG_WITHIN - now) / timedelta(seconds=1), 1.0) if since else 1.0


def _same(factor: SecondFactor) -> tuple[ColumnElement[bool], ...]:
    return _ITS.id == factor.administrator_id, _ITS.second_factor_id == factor.id


def _hashes(text: str | None) -> tuple[str, ...]:
    """Read the hashes. A text that no server wrote has none: raw SQL must not end each sign-in."""
    try:
        read = json.loads(text or "[]")
    except ValueError:
        return ()
    return tuple(map(str, read)) if isinstance(read, list) else ()
