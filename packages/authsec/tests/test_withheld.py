"""What a tool returns and raises without its token: never in there, and never touched where it was not."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from authsec import ToolError
from authsec.withheld import safe_error, withheld
from hypothesis import given
from hypothesis import strategies as st

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
    got = withheld([TOKEN], value)
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
    assert withheld(["a.b.c", "d.e.f"], {"x": "a.b.c d.e.f"}) == {"x": f"{REMOVED} {REMOVED}"}


def test_what_goes_round_or_is_shared_ends() -> None:
    round_and_round: list[Any] = [TOKEN]
    round_and_round.append(round_and_round)
    assert TOKEN not in repr(withheld([TOKEN], round_and_round))

    shared: Any = [TOKEN]
    for _ in range(60):
        shared = [shared, shared]
    left = right = withheld([TOKEN], shared)
    for _ in range(60):
        left, right = left[0], right[1]
    assert left is right
    assert left == [REMOVED]


def test_what_is_deep_is_left_out_from_there_on() -> None:
    deep: Any = TOKEN
    for _ in range(5000):
        deep = [deep]
    got, depth = withheld([TOKEN], deep), 0
    while isinstance(got, list):
        (got,) = got
        depth += 1
    assert "left out" in got
    assert depth == 100


@pytest.mark.parametrize("token", ["", TOKEN])
def test_a_huge_result_takes_bounded_work(token: str) -> None:
    """Rows are searched, and made anew, all; objects up to a number, and then their text is what counts."""
    rows = [{"id": number, "note": token} for number in range(50_000)]
    objects = [Held(token) for _ in range(50_000)]
    began = time.process_time()
    got, shown = withheld([TOKEN], rows), withheld([TOKEN], objects)
    assert time.process_time() - began < 10
    assert got == [{"id": number, "note": token and REMOVED} for number in range(50_000)]
    assert len(shown) == 50_000
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

    assert withheld([TOKEN], Named([TOKEN])) == [REMOVED]
    assert withheld([TOKEN], Broken()) == "[Broken]"
    harmless = object()
    assert withheld([TOKEN], harmless) is harmless


def test_an_apis_refusal_is_told_by_what_it_asks_for() -> None:
    class Refused(Exception):
        status = 403
        headers: ClassVar = {"WWW-Authenticate": f'Bearer error="insufficient_scope", error_description="{TOKEN}"'}

    safe = safe_error([TOKEN], Refused({"Authorization": TOKEN}))
    assert isinstance(safe, ToolError)
    assert str(safe).startswith("Refused: The API answered 403 (insufficient_scope).")
    assert TOKEN not in str(safe)
    assert safe.__cause__ is None
