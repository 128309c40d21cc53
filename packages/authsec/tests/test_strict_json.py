from __future__ import annotations

import json
from typing import Any

import pytest
from authsec.strict_json import MAX_INTEGER, StrictJsonError, dumps, loads
from hypothesis import given
from hypothesis import strategies as st

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
numbers = st.integers(-MAX_INTEGER, MAX_INTEGER) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_what_is_written_is_read_back(value: Any) -> None:
    assert loads(dumps(value), max_bytes=10**6, max_depth=64) == value


@given(st.dictionaries(text, st.integers(0, 9)))
def test_equal_objects_have_one_text(value: dict[str, int]) -> None:
    assert dumps(dict(reversed(value.items()))) == dumps(value)


@given(st.binary() | values.map(lambda value: json.dumps(value).encode()) | st.text().map(json.dumps).map(str.encode))
def test_anything_is_either_read_like_everybody_does_or_refused(data: bytes) -> None:
    try:
        value = loads(data)
    except StrictJsonError:  # refused: the other of the two
        return
    assert value == json.loads(data)
    assert loads(dumps(value)) == value


@given(text, values, values)
def test_a_name_never_occurs_twice(name: str, first: Any, second: Any) -> None:
    plain, escaped = json.dumps(name, ensure_ascii=False), "".join(f"\\u{unit:04x}" for unit in _utf16(name))
    for other in (plain, f'"{escaped}"'):
        data = f"{{{plain}: {json.dumps(first)}, {other}: {json.dumps(second)}}}".encode()
        with pytest.raises(StrictJsonError, match="twice"):
            loads(data, max_bytes=10**6, max_depth=64)


def _utf16(string: str) -> list[int]:
    octets = string.encode("utf-16-be")
    return [int.from_bytes(octets[i : i + 2], "big") for i in range(0, len(octets), 2)]


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "not JSON"),
        (b"1 2", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b"[1,]", "not JSON"),
        (b'"\x01"', "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b'"\xff"', "not UTF-8"),
        (b'"\xc0\x80"', "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        (b'{"a": {"b": 1, "b": 2}}', "twice"),
        (b"NaN", "NaN"),
        (b"[-Infinity]", "-Infinity"),
        (b"1e999", "too large"),
        (b"-1e999", "too large"),
        (b"9007199254740992", "integer"),
        (b"-9007199254740992", "integer"),
        (b"1" * 5000, "integer"),
        (b'"\\ud800"', "surrogate"),
        (b'{"\\udfff": 1}', "surrogate"),
        (b'["\\udc00\\ud800"]', "surrogate"),
        (b'"\\u0000"', "NUL"),
        (b'{"\\u0000": 1}', "NUL"),
        (b"[" * 9 + b"]" * 9, "too deep"),
        (b'{"a":' * 9 + b"1" + b"}" * 9, "too deep"),
        (b"[" * 16_000, "deeper"),
        (b" " * 16_385, "longer"),
    ],
)
def test_refused(data: bytes, rule: str) -> None:
    with pytest.raises(StrictJsonError, match=rule):
        loads(data)


def test_no_message_quotes_the_text() -> None:
    for data in (b'{"secret": 1, "secret": 2}', b'"secret', b'"secret\xff"', b'"secret\\ud800"'):
        with pytest.raises(StrictJsonError) as caught:
            loads(data)
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"9007199254740991", MAX_INTEGER),
        (b"[" * 8 + b"]" * 8, [[[[[[[[]]]]]]]]),
        (b'"[[[[[[[[[[[["', "[" * 12),
        (b'"\\ud83d\\ude00"', "😀"),
        (b' {"b": [1.5, true, null]} ', {"b": [1.5, True, None]}),
    ],
)
def test_accepted(data: bytes, value: Any) -> None:
    assert loads(data) == value


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), {1: 1}, {None: 1}, {"a": b""}, "\ud800", "\0", 2**53, {"a", "b"}]
)
def test_not_written(value: Any) -> None:
    with pytest.raises(StrictJsonError):
        dumps(value)


def test_the_largest_integers_are_written() -> None:
    assert dumps([MAX_INTEGER, -MAX_INTEGER]) == b"[9007199254740991,-9007199254740991]"


def test_a_circle_is_not_written() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(StrictJsonError):
        dumps(circle)


def test_the_text_is_compact_sorted_and_unescaped() -> None:
    assert dumps({"b": [1, 2], "a": "é"}) == '{"a":"é","b":[1,2]}'.encode()
