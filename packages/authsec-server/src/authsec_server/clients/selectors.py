"""Parse selectors that people type: check their keys and values for each platform, and explain errors. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from authsec_server.clients.model import Platform, Selector
from authsec_server.clients.selector_keys import DOCKER, ISSUERS, KUBERNETES, SPIFFE, UNIX, SelectorKey
from authsec_server.failures import Invalid
from authsec_server.naming import quoted
from authsec_server.suggest import nearest

MAX_SELECTORS = 32
MAX_VALUE = 255

KEYS: dict[Platform, tuple[SelectorKey, ...]] = {
    Platform.KUBERNETES: KUBERNETES,
    Platform.DOCKER: DOCKER,
    Platform.UNIX: UNIX,
    Platform.SPIFFE: SPIFFE,
    Platform.OIDC: ISSUERS,
}
"""The platforms that have selectors, with the keys of each platform."""


def parse_selectors(platform: Platform, pairs: Sequence[tuple[str, str]]) -> tuple[Selector, ...]:
    """Parse the selectors that identify a workload on `platform`, in the order given.

    A workload must match all of them. A platform with selectors needs at least one selector: without selectors,
    nothing identifies the workload. Raises `Invalid`; its field is `selectors`, or the position of the wrong
    selector.
    """
    require_fitting_number(platform, len(pairs))
    selectors = tuple(parse_selector(f"selectors.{index}", platform, *pair) for index, pair in enumerate(pairs))
    for index, selector in enumerate(selectors):
        require_new(f"selectors.{index}", selector, selectors[:index])
    return selectors


def require_fitting_number(platform: Platform, number: int) -> None:
    """Raise `Invalid` if the platform does not allow this number of selectors."""
    known = KEYS.get(platform, ())
    if not known and number:
        raise Invalid(
            "selectors", f"{platform.shown} takes no selectors.", "Leave out the selectors, or choose another platform."
        )
    if known and not number:
        raise Invalid(
            "selectors",
            f"{platform.shown} needs at least one selector. Without a selector, nothing would identify the workload.",
            f"Known keys: {', '.join(key.shown for key in known)}",
        )
    if number > MAX_SELECTORS:
        raise Invalid("selectors", f"There are more than {MAX_SELECTORS} selectors.")


def parse_selector(field: str, platform: Platform, key: str, value: str) -> Selector:
    """Parse one selector. Raises `Invalid` with `field` as the wrong field."""
    known = known_key(platform, key)
    if known is None:
        raise _unknown(field, platform, key)
    if not 1 <= len(value) <= MAX_VALUE or not value.isprintable() or value != value.strip():
        raise Invalid(
            field,
            f"The value of {key} must have 1 to {MAX_VALUE} visible characters, without spaces at either end.",
            f"Give {known.value_is}.",
        )
    if value.startswith(f"{key}="):
        raise Invalid(field, f"{quoted(value)} contains the key {key} again.", "Give the value alone, without the key.")
    if not re.fullmatch(known.value, value):
        raise Invalid(
            field, f"{quoted(value)} is not a valid value of {key} ({known.identifies}).", f"Give {known.value_is}."
        )
    return Selector(key=key, value=value)


def require_new(field: str, selector: Selector, before: Iterable[Selector]) -> None:
    """Raise `Invalid` if an earlier selector has the same key. `field` is the wrong field."""
    if any(selector.key == other.key for other in before):
        raise Invalid(field, f"{selector.key} is given twice.", "All selectors must match: give each key once.")


def known_key(platform: Platform, key: str) -> SelectorKey | None:
    """Return the platform's definition of the key; None if the platform does not have the key."""
    return next((each for each in KEYS.get(platform, ()) if each.fits(key)), None)


def nearest_key(platform: Platform, key: str) -> SelectorKey:
    """Return the platform's key that is most similar to `key`. The platform must have selectors."""
    by_text = {spelling: each for each in KEYS[platform] for spelling in (each.key, *each.meant_by)}
    return by_text[nearest(key.lower(), by_text, likeness=0)]


def _unknown(field: str, platform: Platform, key: str) -> Invalid:
    if platform not in KEYS:
        return Invalid(field, f"{platform.shown} takes no selectors.", "Leave it out.")
    for other, keys in KEYS.items():
        if other is not platform and any(each.fits(key) for each in keys):
            return Invalid(field, f"{quoted(key)} is a selector of {other.shown}, not of {platform.shown}.")
    if key and not key.strip(":"):
        return Invalid(field, "The key is empty.", f"Write {KEYS[platform][-1].shown}.")
    if known := _key_without_parameter(platform, key):
        return Invalid(field, f"{quoted(key)} lacks the {known.parameter}.", f"Write {known.shown}.")
    for known in (each for each in KEYS[platform] if each.parameter and each.key):
        if key.startswith(known.key):
            return Invalid(field, f"{quoted(key)} has no valid {known.parameter} after {known.key}")
    return Invalid(
        field,
        f"{quoted(key)} is not a selector of {platform.shown}; the nearest is {nearest_key(platform, key).shown}.",
        f"Known keys: {', '.join(each.shown for each in KEYS[platform])}",
    )


class RowState(StrEnum):
    """The state of a selector row in a form while a person is typing."""

    BLANK = "blank"
    INCOMPLETE = "incomplete"  # only the key or only the value is given
    OK = "ok"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCheck:
    """The result of checking one selector row. For a known key, `identifies` and `value_is` explain key and value.

    If the platform does not have the key, `nearest` is a similar key that the platform has.
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
    """The result of checking each selector row, in the order typed.

    `problem` is about all rows together. `problem` is empty if the rows have no common problem.
    """

    rows: tuple[RowCheck, ...]
    problem: str = ""
    remedy: str = ""

    @property
    def ok(self) -> bool:
        """Return whether every row is valid or blank, and the rows together have no problem."""
        return not self.problem and all(row.state in {RowState.OK, RowState.BLANK} for row in self.rows)


def check_selectors(platform: Platform, rows: Sequence[tuple[str, str]]) -> SelectorCheck:
    """Check these rows of key and value. Spaces around keys and values are ignored.

    Rows above the maximum number get no suggestion. A form can send a thousand rows, and the search for each
    suggestion takes long.
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
    """Return the rows that are not blank, without the spaces around keys and values."""
    stripped = ((key.strip(), value.strip()) for key, value in rows)
    return tuple(row for row in stripped if any(row))


def _row(platform: Platform, key: str, value: str, before: Sequence[Selector]) -> RowCheck:
    if not key and not value:
        return RowCheck(key=key, value=value, state=RowState.BLANK)
    if not key:
        problem, remedy = "Choose a key for this value.", "Or clear the value."
        return RowCheck(key=key, value=value, state=RowState.INCOMPLETE, problem=problem, remedy=remedy)
    known = known_key(platform, key)
    described = known or _key_without_parameter(platform, key)
    meaning = {"identifies": described.identifies, "value_is": described.value_is} if described else {}
    if known and not value:
        problem, remedy = f"Give the value of {key}.", f"Give {known.value_is}."
        return RowCheck(key=key, value=value, state=RowState.INCOMPLETE, problem=problem, remedy=remedy, **meaning)
    try:
        require_new("", parse_selector("", platform, key, value), before)
    except Invalid as invalid:
        problem, remedy, nearest = invalid.message, invalid.remedy, _nearest(platform, key)
        return RowCheck(
            key=key, value=value, state=RowState.WRONG, problem=problem, remedy=remedy, nearest=nearest, **meaning
        )
    return RowCheck(key=key, value=value, state=RowState.OK, **meaning)


def _key_without_parameter(platform: Platform, key: str) -> SelectorKey | None:
    """Return the key of the platform that lacks only its parameter, as `k8s:pod-label:` does."""
    parametrised = (each for each in KEYS.get(platform, ()) if each.parameter and each.key)
    return next((each for each in parametrised if key.rstrip(":") == each.key.rstrip(":")), None)


def _too_many(_platform: Platform, key: str, value: str, _before: Sequence[Selector]) -> RowCheck:
    if not key and not value:
        return RowCheck(key=key, value=value, state=RowState.BLANK)
    return RowCheck(
        key=key, value=value, state=RowState.WRONG, problem=f"There are more than {MAX_SELECTORS} selectors."
    )


def _nearest(platform: Platform, key: str) -> str:
    """Suggest the key of the platform that is most like `key`.

    Return "" if any platform has `key`, or if `key` lacks only its parameter.
    """
    if platform not in KEYS or not key.strip(":") or any(known_key(each, key) for each in KEYS):
        return ""
    if _key_without_parameter(platform, key):
        return ""
    return nearest_key(platform, key).key
