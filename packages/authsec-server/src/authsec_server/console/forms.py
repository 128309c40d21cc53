"""Read HTML forms (`application/x-www-form-urlencoded`), query strings, and typed durations and instants, strictly.

A pasted id may have punctuation around the id.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request

from authsec_server.failures import Conflict, Failure, FailureList, Invalid, Outdated, SlugTaken
from authsec_server.web.bodies import read_fields


class Form:
    """The fields of a form or query string: names with their values, in the order sent.

    The repr of a form shows no values.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def text(self, name: str, default: str = "") -> str:
        """Return the field's text without surrounding spaces. Raises `Invalid` if the field is sent twice."""
        return self.exact(name, default).strip()

    def exact(self, name: str, default: str = "") -> str:
        """Return the field's text exactly as typed. Passwords need this.

        Raises `Invalid` if the field is sent twice.
        """
        values = self._values.get(name, [])
        if len(values) > 1:
            raise Invalid(name, f"{name} was sent {len(values)} times.", f"Send {name} once.")
        return values[0] if values else default

    def optional(self, name: str) -> str | None:
        """Return the field's text, or None if the field is missing or empty."""
        return self.text(name) or None

    def all(self, name: str) -> tuple[str, ...]:
        """Return every value of a field that can be sent more than once, such as checkboxes."""
        return tuple(self._values.get(name, ()))

    def ticked(self, name: str) -> bool:
        """Whether the checkbox is ticked, or the button with this name was pressed."""
        return name in self._values

    def number(self, name: str, default: int = 0) -> int:
        """Return a whole number of at least 0. An empty field gives `default`. Raises `Invalid`."""
        text = self.text(name)
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 15):
            raise Invalid(name, f"{name.replace('_', ' ').capitalize()} must be a whole number.")
        return int(text)

    def rows(self, *names: str) -> list[tuple[str, ...]]:
        """Return the values of repeated fields as rows, with one value of each field.

        Surrounding spaces and empty rows are removed. Raises `Invalid` if one field is sent more often than
        another.
        """
        columns: list[Sequence[str]] = [self._values.get(name, ()) for name in names]
        if len({len(column) for column in columns}) > 1:
            raise Invalid(names[0], "Some rows of the form are missing.", "Send the form again.")
        rows = [tuple(value.strip() for value in row) for row in zip(*columns, strict=True)]
        return [row for row in rows if any(row)]

    def pairs(self) -> list[tuple[str, str]]:
        """Return all fields as pairs of name and value."""
        return [(name, value) for name, values in self._values.items() for value in values]


def query_of(request: Request) -> Form:
    """Return the query string as a form."""
    return Form(request.query_params.multi_items())


async def read_form(request: Request) -> Form:
    """Read the body as a form.

    Raises `Invalid`, or `HTTPException` for a body that is too large, too slow or of another media type.
    """
    return Form(await read_fields(request))


async def raise_all(problems: FailureList, propose: Callable[[], Awaitable[object]]) -> None:
    """Raise the problems of values that cannot be parsed, with the problems of the other values.

    `propose` checks the other values and stores nothing. Without problems, do nothing.
    """
    if problems.fields:
        with problems.collect():
            await propose()
        problems.raise_all()


def placed(
    problem: Invalid | Conflict, place: Callable[[Invalid | Conflict], Invalid | Conflict], order: Sequence[str]
) -> Invalid | Conflict:
    """Return the problem and its others at the fields to which `place` moves them, at most one for each field.

    The first one is that of the field that comes first in `order`.
    """
    found = FailureList()
    for each in (problem, *problem.others):
        if isinstance(each, Invalid | Conflict):
            found.add(_alone(place(each)))
    return in_order(found, order)


def in_order(problems: FailureList, order: Sequence[str]) -> Invalid | Conflict:
    """Return the problem of the field that comes first in `order`, with the others. There must be a problem."""
    return problems.first(lambda each: _position(each.field, order))


def by_field(problem: Failure | None) -> dict[str, Any]:
    """Return the context of a template about the problem: `problems` has all, and `wrong` has those of fields."""
    problems = (problem, *problem.others) if problem else ()
    return {"problems": problems, "wrong": {field: each for each in problems if (field := getattr(each, "field", ""))}}


def _alone(problem: Invalid | Conflict) -> Invalid | Conflict:
    problem.others = ()
    return problem


def _position(field: str, order: Sequence[str]) -> int:
    return next((at for at, name in enumerate(order) if f"{field}.".startswith(f"{name}.")), len(order))


class LinkedConflict(Conflict):
    """A conflict with another object. `link` is the path of the object's page, and `linked` its name."""

    def __init__(self, message: str, remedy: str, *, field: str, link: str, linked: str) -> None:
        super().__init__(message, remedy, field=field)
        self.link = link
        self.linked = linked


def at_typed_slug(
    problem: Invalid | Conflict, typed: str, *, kind: str, pages: str, prefix: str = ""
) -> Invalid | Conflict:
    """Return the problem of a taken slug at the field that the person typed: the slug, or else the name.

    `pages` is the path above the pages of all objects of this kind. `prefix` begins the field names of a form
    without a field for the slug. Another problem stays as it is.
    """
    if not isinstance(problem, SlugTaken):
        return problem
    field, message, remedy = "slug", problem.message, problem.remedy
    if not typed:
        field = "name"
        message = f"This name makes the slug {problem.slug}. The {kind} {problem.holder!r} already has that slug."
        remedy = "Choose another name." if prefix else "Choose another name, or enter a slug."
    link = f"{pages}/{problem.holder_slug}"
    return LinkedConflict(message, remedy, field=f"{prefix}{field}", link=link, linked=problem.holder)


UNITS = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400}
LONGEST_AMOUNT = 9  # maximum number of digits


def typed_seconds(amount: str, unit: str) -> int:
    """Convert the typed duration to seconds. Raises `Invalid` for the amount or the unit."""
    if unit not in UNITS:
        raise Invalid("amount", "The unit is unknown.", "Choose minutes, hours or days.")
    if not (amount.isascii() and amount.isdigit() and len(amount) <= LONGEST_AMOUNT):
        raise Invalid("amount", "Maximum Duration must be a whole number.", "Start with 1 Hour.")
    return int(amount) * UNITS[unit]


def amount_and_unit(length: int) -> tuple[str, str]:
    """Convert seconds to an amount in the largest unit that needs no fraction: 5400 is 90 minutes."""
    unit = next(unit for unit in ("days", "hours", "minutes", "seconds") if length % UNITS[unit] == 0)
    return str(length // UNITS[unit]), unit


def units_offered(chosen: str) -> list[tuple[str, str]]:
    """Return the units that a person can choose. Seconds are offered only if the delegation already uses seconds."""
    return [(unit, unit.capitalize()) for unit in UNITS if unit != "seconds" or chosen == unit]


def typed_instant(field: str, text: str) -> datetime | None:
    """Parse the typed instant as UTC. Return None for an empty text. Raises `Invalid` for the field."""
    if not text:
        return None
    try:
        typed = datetime.fromisoformat(text)
        return typed.replace(tzinfo=UTC) if typed.tzinfo is None else typed.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Invalid(field, "This is not a date and time.", "Enter a time such as 2027-01-31T18:00.") from None


def shown_instant(end: datetime | None) -> str:
    """Format the instant for its form field, in UTC and to the second."""
    return "" if end is None else f"{end.astimezone(UTC):%Y-%m-%dT%H:%M:%S}".removesuffix(":00")


def stored_meanwhile(problem: Failure | None, stored: Mapping[str, str], typed: Mapping[str, str]) -> Mapping[str, str]:
    """After `Outdated`, return the stored values that differ from the typed values.

    The form shows each of them at its field. Without `Outdated`, return nothing.
    """
    if not isinstance(problem, Outdated):
        return {}
    return {name: value or "empty" for name, value in stored.items() if value != typed[name]}


_AROUND = " \t\r\n.,;:!?()[]{}<>\"'`“”‘’«»…|*="  # noqa: RUF001 - people paste typographic quotes
_REQUEST_ID = re.compile(r"\breq_[A-Za-z0-9_-]+")
_JTI = re.compile(r"jti[^A-Za-z0-9_-]+", re.IGNORECASE)


def pasted_id(text: str) -> str:
    """Return the `request_id` in the text. Without one, return the `jti` without its name and the punctuation around.

    People paste ids from logs and error messages: `request_id=req_…,` or `(request req_…).`.
    """
    if found := _REQUEST_ID.search(text):
        return found[0]
    bare = text.strip(_AROUND)
    named = _JTI.match(bare)
    return bare[named.end() :].strip(_AROUND) if named else bare
