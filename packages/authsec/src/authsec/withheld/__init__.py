"""What a tool returns or raises, with its tokens withheld: whatever it is, frameworks hand it to the model.

An API that echoes the request's headers, or a library whose exception quotes them, would take a token there: the one
that the call was given, or another that the tool's HTTP client has got by itself. So all are looked for that clients of
this process have (`authsec.issued_tokens`), besides those that the caller names. What holds none stays the very same
object. `needles` are the tokens as they are looked for, `search` looks (by `kinds`), `remaking` makes what holds one
anew, and `errors` is for what is raised.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from authsec.withheld import errors
from authsec.withheld.errors import ToolError
from authsec.withheld.needles import Needles
from authsec.withheld.remaking import remade

__all__ = ["ToolError", "safe_error", "told", "withheld"]


def withheld(tokens: Collection[str], value: Any) -> Any:
    """`value`, or if it holds one of the tokens, the same with each replaced.

    Containers, dataclasses and pydantic models are made anew. Objects of other kinds that hold one (an HTTP response
    with the request that it answers, say), and what is too large to be searched, become text. An iterator becomes a
    generator, which does the same with each thing that it yields.
    """
    return remade(Needles(tokens), value)


def safe_error(tokens: Collection[str], error: Exception, kind: type[Exception] = ToolError) -> Exception:
    """The error itself, unless it or what stands behind it holds one of the tokens; then one of `kind`, to be raised
    where the other is no longer being handled, or that would be its context.
    """
    return errors.safe(Needles(tokens), error, kind)


def told(tokens: Collection[str], error: Exception) -> str:
    """What a model may read of an error."""
    return errors.told(Needles(tokens), error)
