"""Strict JSON (RFC 8259, with the interoperability rules of I-JSON, RFC 7493) for text from untrusted senders.

If two parsers read the same text differently, they can disagree about permissions. So this module refuses the
known causes: repeated names, NaN and infinities, integers that a double cannot represent, lone surrogates,
NUL, and a byte order mark. Limits on size and depth stop texts that would cost much time or memory.

The caller checks which members the text has; this module does not.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final, NoReturn

MAX_INTEGER: Final = 2**53 - 1  # RFC 7493 §2.2: JavaScript rounds larger integers.
_SPACE: Final = " \t\n\r"  # RFC 8259 §2: white space


class StrictJsonError(ValueError):
    """The text is not strict JSON. The message names the rule and never quotes the text."""


def loads(data: bytes, *, max_bytes: int = 16_384, max_depth: int = 8) -> Any:
    """Parse `data`. Raises `StrictJsonError`. A single number or string has depth 0; `[]` and `{}` have depth 1."""
    if len(data) > max_bytes:
        raise StrictJsonError(f"longer than {max_bytes} bytes")
    try:
        text = data.decode("utf-8").strip(_SPACE)  # strict: refuses surrogates and overlong forms
        value, end = _DECODER.raw_decode(text)
    except UnicodeDecodeError:
        raise StrictJsonError("not UTF-8") from None
    except RecursionError:
        raise StrictJsonError(f"nested deeper than {max_depth}") from None
    except json.JSONDecodeError:  # The exception itself contains the whole document.
        raise StrictJsonError("not JSON") from None
    if end != len(text):
        raise StrictJsonError("not JSON")
    # A count of brackets is fast and never too low. A surrogate or NUL can pass the decoder only as an escape. So most
    # documents need no full check.
    if text.count("[") + text.count("{") > max_depth or "\\" in text:
        _check(value, max_depth)
    return value


def dumps(value: Any) -> bytes:
    """Return the canonical compact text of `value`: names sorted, no spaces, UTF-8.

    Raises `StrictJsonError` for every value that `loads` would refuse.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        raise StrictJsonError("not a JSON value") from None
    _check(value, max_depth=64)
    return text.encode("utf-8")


def _check(value: Any, max_depth: int) -> None:
    """Refuse a value that is nested too deep, or has strings or numbers that strict JSON does not allow."""
    if isinstance(value, str):
        _check_string(value)
    elif isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise StrictJsonError("an integer beyond 2^53 - 1")
    elif isinstance(value, dict | list | tuple):
        if max_depth == 0:
            raise StrictJsonError("nested too deep")
        if isinstance(value, dict):
            for name in value:
                if not isinstance(name, str):  # json.dumps would write 1 and "1" as the same name.
                    raise StrictJsonError("a name that is not a string")
                _check_string(name)
            value = value.values()
        for item in value:
            _check(item, max_depth - 1)


def _check_string(text: str) -> None:
    if "\0" in text:
        # C libraries end a string at NUL, and PostgreSQL refuses NUL.
        raise StrictJsonError("a string with NUL")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise StrictJsonError("a string with a lone surrogate")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):  # RFC 7493 §2.3: some parsers take the first value, others the last.
        raise StrictJsonError("a name occurs twice in one object")
    return members


def _integer(digits: str) -> int:
    if len(digits) < 16:  # the usual case: such a number cannot be too large
        return int(digits)
    if len(digits) > 17 or abs(number := int(digits)) > MAX_INTEGER:
        raise StrictJsonError("an integer beyond 2^53 - 1")
    return number


def _float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise StrictJsonError("a number too large for a double")
    return number


def _constant(name: str) -> NoReturn:
    raise StrictJsonError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
)
