"""Response bodies without tokens: a server that echoes the request's headers would show the token to a model."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from authsec.withheld import withheld

_LONGEST_LINE: Final = 64 * 1024  # an endless line must not fill the memory
_LONGEST_TOKEN: Final = 24 * 1024  # also in base64: servers accept no header of this length


async def without_tokens(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes with each token replaced, also where a token spans pieces.

    Whole lines are yielded at once: a server-sent event ends with a line break, and a token has none.
    """
    rest = b""
    async for piece in pieces:
        rest += piece
        end = max(rest.rfind(b"\n"), rest.rfind(b"\r")) + 1
        if end:
            yield withheld((), rest[:end])
            rest = rest[end:]
        if len(rest) > _LONGEST_LINE:
            rest = withheld((), rest)
            yield rest[:-_LONGEST_TOKEN]
            rest = rest[-_LONGEST_TOKEN:]
    if rest:
        yield withheld((), rest)


class SafeBody:
    """The safe pieces of a response, as a stream of the HTTP library."""

    def __init__(self, received: Any, pieces: AsyncIterator[bytes]) -> None:
        self._received = received
        self._pieces = pieces

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces

    async def aclose(self) -> None:
        await self._received.aclose()
