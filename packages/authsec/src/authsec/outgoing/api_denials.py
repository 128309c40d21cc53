"""An API that denies a token of ours: what that is to a tool whose framework would hear of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from authsec.cache import forget
from authsec.error_chain import behind
from authsec.errors import AuthSecError
from authsec.handed_out import living
from authsec.outgoing.api_errors import ApiRefusal, api_refusal

_UNAUTHORIZED: Final = 401
_DENIED: Final = {_UNAUTHORIZED, 403}


def api_denial(thing: object, held: Collection[str]) -> ApiRefusal | None:
    """The API's 401 or 403 to a token of this process, if that is what `thing`, raised or returned by a tool, is.

    After a 401 the token is forgotten: the next call gets another, or is told why there is none. Where nobody has kept
    the request, it was one of `held` that it carried. What others refuse, to whom no token of ours went, is not ours.
    """
    refusal = None if isinstance(thing, AuthSecError) else api_refusal(thing)
    if refusal is None or refusal.status not in _DENIED:
        return None
    sent = held if refusal.sent is None else {refusal.sent} & {*held, *living()}
    if refusal.status == _UNAUTHORIZED:
        forget(sent)
    return refusal if sent else None


def forget_denied(error: Exception, held: Collection[str]) -> None:
    """Forget each token to which an API answered 401, wherever the error tells of it: groups, causes and contexts."""
    for one in behind(error):
        api_denial(one, held)
