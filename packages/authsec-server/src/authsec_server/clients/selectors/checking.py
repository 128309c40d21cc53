"""Selectors as they are being typed: what is right about each row, what is wrong, what is still missing. Pure.

The rules are those of `parse_selectors`, which has the last word; but nothing is raised, and a blank row is no mistake.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from authsec_server.clients.model import Platform, Selector
from authsec_server.clients.selectors.parsing import (
    KEYS,
    MAX_SELECTORS,
    known_key,
    nearest_key,
    parse_selector,
    require_fitting_number,
    require_new,
)
from authsec_server.failures import Invalid


class RowState(StrEnum):
    """How far a row has come."""

    BLANK = "blank"
    INCOMPLETE = "incomplete"  # one half is given
    OK = "ok"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCheck:
    """One row. What its key means is said once that is known: `identifies`, and what a value looks like, `value_is`.

    `nearest` is the key that may have been meant by one that the platform does not know, as it is to be typed.
    """

    key: str
    value: str
    state: RowState
    identifies: str = ""
    value_is: str = ""
    problem: str = ""
    remedy: str = ""
    nearest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectorCheck:
    """The rows, in the order typed, and what is wrong with them as a set; `ok` if they can be stored so."""

    rows: tuple[RowCheck, ...]
    problem: str = ""
    remedy: str = ""

    @property
    def ok(self) -> bool:
        """Whether every row is right or blank, and the set as well."""
        return not self.problem and all(row.state in {RowState.OK, RowState.BLANK} for row in self.rows)


def check_selectors(platform: Platform, rows: Sequence[tuple[str, str]]) -> SelectorCheck:
    """What to say about these rows of key and value. Space around either is not taken for a part of it.

    Of rows beyond the most that there can be, nothing is said but that: to find what may have been meant takes long,
    and a form has room for a thousand.
    """
    checked: list[RowCheck] = []
    held: list[Selector] = []
    filled = 0
    for key, value in rows:
        look = _row if filled < MAX_SELECTORS else _too_many
        row = look(platform, key.strip(), value.strip(), held)
        checked.append(row)
        filled += row.state is not RowState.BLANK
        if row.state is RowState.OK:
            held.append(Selector(key=row.key, value=row.value))
    try:
        require_fitting_number(platform, filled)
    except Invalid as invalid:
        return SelectorCheck(rows=tuple(checked), problem=invalid.message, remedy=invalid.remedy)
    return SelectorCheck(rows=tuple(checked))


def given(rows: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The rows that are not blank, without the space around them: what to onboard with."""
    stripped = ((key.strip(), value.strip()) for key, value in rows)
    return tuple(row for row in stripped if any(row))


def _row(platform: Platform, key: str, value: str, before: Sequence[Selector]) -> RowCheck:
    if not key and not value:
        return RowCheck(key=key, value=value, state=RowState.BLANK)
    if not key:
        problem, remedy = "Choose a key for this value.", "What stands there in grey is only an example."
        return RowCheck(key=key, value=value, state=RowState.INCOMPLETE, problem=problem, remedy=remedy)
    known = known_key(platform, key)
    meaning = {"identifies": known.identifies, "value_is": known.value_is} if known else {}
    if known and not value:
        problem, remedy = f"Give the value of {key}.", f"It is {known.value_is}."
        return RowCheck(key=key, value=value, state=RowState.INCOMPLETE, problem=problem, remedy=remedy, **meaning)
    try:
        require_new("", parse_selector("", platform, key, value), before)
    except Invalid as invalid:
        problem, remedy, nearest = invalid.message, invalid.remedy, _nearest(platform, key)
        return RowCheck(
            key=key, value=value, state=RowState.WRONG, problem=problem, remedy=remedy, nearest=nearest, **meaning
        )
    return RowCheck(key=key, value=value, state=RowState.OK, **meaning)


def _too_many(_platform: Platform, key: str, value: str, _before: Sequence[Selector]) -> RowCheck:
    if not key and not value:
        return RowCheck(key=key, value=value, state=RowState.BLANK)
    return RowCheck(
        key=key, value=value, state=RowState.WRONG, problem=f"There are more than {MAX_SELECTORS} selectors."
    )


def _nearest(platform: Platform, key: str) -> str:
    """What may have been meant; nothing where the key is another platform's, or only half of one."""
    if platform not in KEYS or any(known_key(each, key) for each in KEYS):
        return ""
    if any(known.parameter and known.key and key.rstrip(":") == known.key.rstrip(":") for known in KEYS[platform]):
        return ""
    return nearest_key(platform, key).key
