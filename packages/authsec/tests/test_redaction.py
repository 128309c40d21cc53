"""What a tool returns and raises without its token: never in there, and never touched where it was not."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
from unittest.mock import MagicMock

import pydantic
import pytest
import requests
from authsec import ToolError, issued_tokens
from authsec.clock import Clock
from authsec.issued_tokens import record
from authsec.redaction import redacted, safe_error
from hypothesis import given
from hypothesis import strategies as st

from .fake_api import serving_api

TOKEN = "eyJoZWFkZXIi.eyJwYXlsb2Fk.c2lnbmF0dXJl"
REMOVED = "[delegation token removed]"


@dataclass(frozen=True)
class Held:
    """Hashable, and shows nothing."""

    value: Any = field(repr=False)


keys = st.one_of(st.text(max_size=3), st.integers(), st.just(TOKEN), st.just(f"Bearer {TOKEN}"))
leaves = st.one_of(keys, st.none(), st.floats(allow_nan=False), st.binary(max_size=3), st.just(TOKEN.encode()))
structures = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
        st.frozensets(keys, max_size=4),
        st.builds(Held, inner),
    ),
    max_leaves=25,
)


def parts(value: Any) -> list[Any]:
    """All that is in it, itself included."""
    match value:
        case dict():
            return [value, *(part for pair in value.items() for one in pair for part in parts(one))]
        case list() | tuple() | frozenset():
            return [value, *(part for one in value for part in parts(one))]
        case Held():
            return [value, *parts(value.value)]
    return [value]


def holds(value: Any) -> bool:
    return any(TOKEN in one if isinstance(one, str) else TOKEN.encode() in one for one in parts(value) if is_text(one))


def is_text(value: Any) -> bool:
    return isinstance(value, str | bytes)


@given(structures)
def test_the_token_never_comes_out_and_what_holds_none_stays_as_it_is(value: Any) -> None:
    got = redacted([TOKEN], value)
    assert not holds(got)
    assert type(got) is type(value)
    if not holds(value):
        assert got is value
        assert got == value


@given(structures)
def test_the_token_is_in_no_argument_of_an_error(value: Any) -> None:
    error = LookupError("no customer", value)
    safe = safe_error([TOKEN], error)
    assert (safe is error) is not holds(value)
    assert TOKEN not in f"{safe!r} {safe}"


def test_several_tokens_are_withheld() -> None:
    assert redacted(["a.b.c", "d.e.f"], {"x": "a.b.c d.e.f"}) == {"x": f"{REMOVED} {REMOVED}"}


def test_what_is_too_short_to_be_a_token_changes_no_text() -> None:
    """As tests of other people's have for one."""
    record("t1", 60, Clock())
    assert redacted(["x"], {"note": "t1"}) == {"note": "t1"}


def test_what_goes_round_or_is_shared_ends() -> None:
    round_and_round: list[Any] = [TOKEN]
    round_and_round.append(round_and_round)
    assert TOKEN not in repr(redacted([TOKEN], round_and_round))

    shared: Any = [TOKEN]
    for _ in range(60):
        shared = [shared, shared]
    left = right = redacted([TOKEN], shared)
    for _ in range(60):
        left, right = left[0], right[1]
    assert left is right
    assert left == [REMOVED]


def test_what_is_deep_is_left_out_from_there_on() -> None:
    deep: Any = TOKEN
    for _ in range(5000):
        deep = [deep]
    got, depth = redacted([TOKEN], deep), 0
    while isinstance(got, list):
        (got,) = got
        depth += 1
    assert "removed" in got
    assert depth == 100


@pytest.mark.soak
@pytest.mark.parametrize("token", ["", TOKEN])
def test_a_huge_result_takes_bounded_work(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are searched, and made anew, all; objects up to a number, and then their text is what counts."""
    for name in ("_tokens", "_beginnings"):  # those that other tests were given are looked for as well
        monkeypatch.setattr(issued_tokens, name, ())
    shows, many = 0, 20_000

    class Shown(Held):
        def __repr__(self) -> str:
            nonlocal shows
            shows += 1
            return "shown"

    rows = [{"id": number, "note": token} for number in range(many)]
    objects = [Shown(token) for _ in range(many)]
    got, shown = redacted([TOKEN], rows), redacted([TOKEN], objects)
    assert shows < 4 * many
    assert got == [{"id": number, "note": token and REMOVED} for number in range(many)]
    assert len(shown) == many
    assert isinstance(shown[-1], str)
    assert not any(holds(one) for one in shown)


def test_classes_that_forbid_it_become_text() -> None:
    class Named(list[str]):
        """Made of nothing but what it is given."""

    class Broken:
        def __init__(self) -> None:
            self.token = TOKEN

        def __repr__(self) -> str:
            raise ValueError(TOKEN)

    assert redacted([TOKEN], Named([TOKEN])) == [REMOVED]
    assert redacted([TOKEN], Broken()) == "[Broken]"
    harmless = object()
    assert redacted([TOKEN], harmless) is harmless


@given(st.binary(max_size=7), st.binary(max_size=7))
def test_base64_hides_it_nowhere(before: bytes, after: bytes) -> None:
    """What is left of it are two bytes at either end."""
    text = before + TOKEN.encode() + after
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        encoded = encode(text)
        for got in (redacted([TOKEN], encoded).decode(), redacted([TOKEN], encoded.decode())):
            assert REMOVED in got
            assert len(got) - len(REMOVED) <= 4 * (len(before + after) / 3 + 4)


def rows() -> Iterator[Any]:
    yield {"sent": TOKEN}
    yield {"id": 42}
    raise LookupError(TOKEN)


def test_what_comes_later_is_searched_when_it_comes() -> None:
    (got,) = redacted([TOKEN], [rows()])
    assert [next(got), next(got)] == [{"sent": REMOVED}, {"id": 42}]
    with pytest.raises(ToolError, match="removed") as caught:
        next(got)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert list(redacted([TOKEN], map(str.upper, ["a", "b"]))) == ["A", "B"]


def test_what_comes_later_to_coroutines_is_searched_when_it_comes() -> None:
    async def rows_async() -> AsyncIterator[Any]:
        for row in rows():
            yield row

    async def read() -> None:
        got = redacted([TOKEN], rows_async())
        assert [await anext(got), await anext(got)] == [{"sent": REMOVED}, {"id": 42}]
        with pytest.raises(ToolError, match="removed") as caught:
            await anext(got)
        assert caught.value.__cause__ is caught.value.__context__ is None

    asyncio.run(read())


def test_an_error_of_what_comes_later_is_the_very_same_where_it_holds_none() -> None:
    error = LookupError("no customer")

    def failing() -> Iterator[Any]:
        yield 1
        raise error

    async def failing_async() -> AsyncIterator[Any]:
        yield 1
        raise error

    async def read() -> None:
        async for _ in redacted([TOKEN], failing_async()):
            pass

    for run in (lambda: list(redacted([TOKEN], failing())), lambda: asyncio.run(read())):
        with pytest.raises(LookupError) as caught:
            run()
        assert caught.value is error


def test_a_field_may_come_later() -> None:
    class Page(pydantic.BaseModel):
        rows: Any

    for made in (redacted([TOKEN], Page(rows=rows())), redacted([TOKEN], Held(rows()))):
        assert next(made.rows if isinstance(made, Page) else made.value) == {"sent": REMOVED}


def test_what_an_object_keeps_to_itself_nobody_runs() -> None:
    class Cursor:
        def __init__(self) -> None:
            self._rows = rows()

    harmless = Cursor()
    assert redacted([TOKEN], harmless) is harmless


def test_the_mock_of_somebodys_test_stays_as_it_is() -> None:
    """It says that it is an iterator, and makes another mock at each look."""
    mock = MagicMock()
    assert redacted([TOKEN], mock) is mock
    assert redacted([TOKEN], [mock, TOKEN]) == [mock, REMOVED]


def test_a_response_becomes_text_with_all_that_hangs_on_it() -> None:
    """Such as the pools of urllib3: a mapping that does not say what is in it."""
    with serving_api() as api:
        answer = requests.get(api.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=5)
    assert redacted([TOKEN], answer) == str(answer)
    assert redacted([TOKEN], {"raw": answer, "sent": TOKEN}) == {"raw": str(answer), "sent": REMOVED}


def test_a_mapping_that_does_not_say_what_is_in_it_is_looked_at_all_the_same() -> None:
    class Pools(Mapping[str, Any]):
        def __init__(self, held: Any) -> None:
            self.held = held

        def __getitem__(self, name: str) -> Any:
            return self.held

        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Iterator[str]:
            raise NotImplementedError  # as the pools of urllib3 do

    harmless, holding = Pools("x"), Pools(TOKEN)
    assert redacted([TOKEN], [harmless])[0] is harmless
    assert redacted([TOKEN], [holding]) == [str(holding)]


class Proxy:
    """As web frameworks have them, for what is there during a request only; and ORMs, for what has no name yet."""

    __slots__ = ("empty", "held")

    def __init__(self, held: Any) -> None:
        self.held = held

    @property  # type: ignore[misc] # that is the point
    def __class__(self) -> Any:
        raise RuntimeError("there is no request")

    def __getattr__(self, name: str) -> Any:
        raise NameError(name)


def test_an_object_that_can_be_asked_nothing_is_searched_all_the_same() -> None:
    harmless, holding = Proxy("x"), Proxy([TOKEN])
    assert redacted([TOKEN], [harmless])[0] is harmless
    (got,) = redacted([TOKEN], [holding])
    assert type(got) is str
    assert TOKEN not in got


def test_an_error_is_searched_for_what_is_printed_of_it() -> None:
    """The class of a library's error counts, and the request that it has shows nothing."""

    class Failed(Exception):
        def __init__(self, request: Any) -> None:
            super().__init__("no customer")
            self.request = request

    quiet, loud = Failed(Held(TOKEN)), Failed({"headers": {"Authorization": TOKEN}})
    assert safe_error([TOKEN], quiet) is quiet
    assert str(safe_error([TOKEN], loud)) == "Failed: no customer"
    caused = LookupError("no customer")
    caused.__cause__ = loud
    assert isinstance(safe_error([TOKEN], caused), ToolError)
    unread = Failed(rows())
    assert safe_error([TOKEN], unread) is unread


def test_an_apis_refusal_is_told_by_what_it_asks_for() -> None:
    class Refused(Exception):
        status = 403
        headers: ClassVar = {"WWW-Authenticate": f'Bearer error="insufficient_scope", error_description="{TOKEN}"'}

    safe = safe_error([TOKEN], Refused({"Authorization": TOKEN}))
    assert isinstance(safe, ToolError)
    assert str(safe).startswith("Refused: The API answered 403 (insufficient_scope).")
    assert TOKEN not in str(safe)
    assert safe.__cause__ is None
