"""Read requests strictly: JSON bodies without unknown members, forms, and query parameters without repetition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from types import NoneType
from typing import Any, Final, TypeVar, get_args, get_type_hints
from urllib.parse import parse_qsl

import anyio
import anyio.to_thread
from authsec import strict_json
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, model_validator
from starlette.exceptions import HTTPException
from starlette.requests import Request

from authsec_server.failures import Invalid, Unavailable
from authsec_server.web.validation import misfits


class Places:
    """A concurrency limit: at most `at_once` requests in total, and `of_one` for each network or principal.

    A request above the limit is refused at once and never waits. Use one object only in one event loop.
    """

    def __init__(self, *, at_once: int, of_one: int) -> None:
        self._at_once = at_once
        self._of_one = of_one
        self._taken: Counter[str] = Counter()

    @contextmanager
    def one(self, whose: str) -> Iterator[None]:
        """Count one running request for `whose` until the `with` block ends. Raises `Unavailable` at the limit.

        `whose` is the network or the principal of the request.
        """
        if self._taken.total() >= self._at_once or self._taken[whose] >= self._of_one:
            raise Unavailable("Too many requests of this kind are running.")
        self._taken[whose] += 1
        try:
            yield
        finally:
            self._taken -= Counter({whose: 1})  # removes `whose` at 0


MAX_BODY = 64 * 1024
BODY_SECONDS = 10  # a slower body would block the concurrency limit
MAX_FIELDS = 2000
# Limits the values in a body. A wrong value costs ten times more time than a right one, and delays token requests.
BYTES_OF_A_VALUE = 8  # minimum on average; `"ai:use",` in a list of actions has nine
MOST_MISFITS = 1000
_FORM_IS_TOLD = "The format is described in: GET /authsec/api/v1/openapi.json"
FORM = "application/x-www-form-urlencoded"


class Body(BaseModel):
    """The base class of request bodies, which refuses unknown members and never converts a value to another type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _may_be_interrupted(cls, given: Any) -> Any:
        """Return the input unchanged, so that other threads can run during the validation of a large body.

        Python switches threads only while it runs Python code. Pydantic's own code would block all other threads.
        """
        return given


def _without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


LEFT_OUT: Any = Field(None, json_schema_extra=_without_default)
"""The default of a member of `Changes`: the member is left out. None is a value only if the type allows None."""


class Changes(Body):
    """The base class of request bodies that edit an object. A member that the request omits stays unchanged."""

    def given(self) -> dict[str, Any]:
        """Return the names and values of the members that the request contains."""
        return {name: getattr(self, name) for name in type(self).model_fields if name in self.model_fields_set}


C = TypeVar("C", bound=Changes)


def changes_of(
    described: type[Any], *, without: Collection[str] = (), sent: Mapping[str, Any] | None = None
) -> Callable[[type[C]], type[C]]:
    """Return a class decorator that adds the members of `described` to a class of edits, all of them optional.

    `described` is a `TypedDict` or a `Body`. If a member of a `Body` may be None, an edit may omit it but not
    send null.

    - `without`: names of members that no edit changes.
    - `sent`: the types of members whose form in a request differs from their form in the answer.
    """
    if issubclass(described, Body):
        its = {name: _not_none(member.annotation) for name, member in described.model_fields.items()}
    else:
        its = get_type_hints(described)
    its |= sent or {}
    members: dict[str, Any] = {name: (hint, LEFT_OUT) for name, hint in its.items() if name not in without}

    def add(kind: type[C]) -> type[C]:
        return create_model(kind.__name__, __base__=kind, __doc__=kind.__doc__, __module__=kind.__module__, **members)

    return add


def _not_none(hint: Any) -> Any:
    others = [each for each in get_args(hint) if each is not NoneType]
    return others[0] if len(others) == 1 and NoneType in get_args(hint) else hint


B = TypeVar("B", bound=Body)


async def read_body(request: Request, shape: type[B]) -> B:
    """Read the request's JSON body as `shape`.

    Raises `Invalid` with the name of the wrong member. Raises `HTTPException` for a body that is too large or too
    slow.
    """
    return parsed(await read_bytes(request), shape)


def parsed(data: bytes, shape: type[B]) -> B:
    """Parse the JSON as `shape`. Raises `Invalid` with the name of the wrong member."""
    if data.count(b",") > max(len(data), MAX_BODY) // BYTES_OF_A_VALUE:  # each value except the first follows a comma
        raise Invalid("body", "The body has too many values.", _FORM_IS_TOLD)
    try:
        value = strict_json.loads(data or b"{}", max_bytes=max(len(data), MAX_BODY))
    except strict_json.StrictJsonError as error:
        raise Invalid("body", f"The body is not valid JSON: {error}.") from None
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        raise _misfit(error, shape) from None


def _misfit(error: ValidationError, shape: type[Body]) -> Invalid:
    if error.error_count() > MOST_MISFITS:
        return Invalid("body", f"{error.error_count():,} values in the body are not valid.", _FORM_IS_TOLD)
    first = next(misfits(error, shape))
    return Invalid(first.field or "body", first.message, first.remedy)


async def read_fields(request: Request) -> list[tuple[str, str]]:
    """Read the fields of a form, in their order. Raises `Invalid` for a form that cannot be read.

    Raises `HTTPException` for another media type, or for a body that is too large or too slow.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise HTTPException(415, "This address accepts only forms.")
    data = await read_bytes(request)
    try:
        return parse_qsl(data.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise Invalid("form", "The form could not be read.", "Send it again.") from None


async def read_bytes(request: Request, *, at_most: int = MAX_BODY) -> bytes:
    """Read the request's body of at most `at_most` bytes.

    Raises `HTTPException` for a larger body (413), or after `BODY_SECONDS` (408).
    """
    try:
        with anyio.fail_after(BODY_SECONDS):
            return await _read(request, at_most)
    except TimeoutError:
        raise HTTPException(408) from None


async def _read(request: Request, at_most: int) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > at_most:
            raise HTTPException(413)
    return bytes(data)


def query_value(request: Request, name: str) -> str | None:
    """Return the value of the query parameter, or None if the parameter is missing.

    Raises `Invalid` for a repeated parameter, because different programs would read different values.
    """
    values = request.query_params.getlist(name)
    if len(values) > 1:
        raise Invalid(name, f"{name} was given {len(values)} times.", f"Send {name} once.")
    return values[0] if values else None


def query_int(request: Request, name: str, *, default: int | None = None) -> int | None:
    """Return the query parameter as a whole number, or `default` if the parameter is missing.

    Raises `Invalid` for a value that is not a whole number of 0 or more.
    """
    value = query_value(request, name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and len(value) <= 18):
        raise Invalid(name, f"{name} must be a whole number.")
    return int(value)


AT_ONCE: Final = 8  # large requests that are read, parsed or waiting
OF_ONE: Final = 3  # of one principal, so that others are not blocked


class LargeBodies:
    """A reader of bodies that may be larger than `MAX_BODY`, with a concurrency limit.

    One thread parses all bodies above `MAX_BODY`. Use one object only in one event loop.
    """

    def __init__(self) -> None:
        self._places = Places(at_once=AT_ONCE, of_one=OF_ONE)
        # A separate thread: a large body must not block the threads of token requests.
        self._thread = anyio.CapacityLimiter(1)

    async def read(self, request: Request, shape: type[B], *, at_most: int, whose: str) -> B:
        """Read the request's JSON body of at most `at_most` bytes as `shape`.

        Raises `Invalid` with the name of the wrong member. If `at_most` exceeds `MAX_BODY`, the concurrency limit
        applies. Raises `Unavailable` if too many such requests are running, in total or for the principal `whose`.
        """
        if at_most <= MAX_BODY:
            return await read_body(request, shape)
        with self._places.one(whose):
            data = await read_bytes(request, at_most=at_most)
            if len(data) <= MAX_BODY:
                return parsed(data, shape)
            return await anyio.to_thread.run_sync(parsed, data, shape, limiter=self._thread)
