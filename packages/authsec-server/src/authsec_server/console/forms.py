"""What a browser sends with a form: `application/x-www-form-urlencoded`, read strictly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from starlette.requests import Request

from authsec_server.failures import Invalid
from authsec_server.web.bodies import read_fields


class Form:
    """The fields of a form, or of a query: each name with its values, in the order given. Its repr shows no value."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def text(self, name: str, default: str = "") -> str:
        """The field without spaces around it. Raises `Invalid` when it comes twice."""
        return self.exact(name, default).strip()

    def exact(self, name: str, default: str = "") -> str:
        """The field exactly as typed: for passwords. Raises `Invalid` when it comes twice."""
        values = self._values.get(name, [])
        if len(values) > 1:
            raise Invalid(name, f"{name} is given {len(values)} times.", "Give it once.")
        return values[0] if values else default

    def optional(self, name: str) -> str | None:
        """The field, or None where it is missing or empty."""
        return self.text(name) or None

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a field that may come more than once, such as ticked boxes."""
        return tuple(self._values.get(name, ()))

    def ticked(self, name: str) -> bool:
        """Whether a box is ticked, or a button of that name was pressed."""
        return name in self._values

    def number(self, name: str, default: int = 0) -> int:
        """A whole number not below 0; `default` where nothing was typed. Raises `Invalid`."""
        text = self.text(name)
        if not text:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 15):
            raise Invalid(name, f"{name.replace('_', ' ').capitalize()} must be a whole number.")
        return int(text)

    def rows(self, *names: str) -> list[tuple[str, ...]]:
        """Fields that repeat together, row by row, without spaces around; rows that are empty are left out."""
        columns: list[Sequence[str]] = [self._values.get(name, ()) for name in names]
        if len({len(column) for column in columns}) > 1:
            raise Invalid(names[0], "The rows are incomplete.", "Send the form again.")
        rows = [tuple(value.strip() for value in row) for row in zip(*columns, strict=True)]
        return [row for row in rows if any(row)]

    def pairs(self) -> list[tuple[str, str]]:
        """All fields, as they came."""
        return [(name, value) for name, values in self._values.items() for value in values]


def query_of(request: Request) -> Form:
    """The query as a form: what GET forms send."""
    return Form(request.query_params.multi_items())


async def read_form(request: Request) -> Form:
    """The body as a form. Raises `Invalid`, or `HTTPException` where it is too large, too slow or of another kind."""
    return Form(await read_fields(request))
