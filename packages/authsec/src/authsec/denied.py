"""A denial, the authority's or an API's, as a tool's result: what the model is told, and what goes to the log."""

from __future__ import annotations

import logging
from collections.abc import Collection

from authsec.errors import AuthenticationError, DelegationDenied
from authsec.outgoing.api_denials import api_denial, forget_denied
from authsec.withheld import withheld

_log = logging.getLogger("authsec")


def told_of_denial(error: Exception, held: Collection[str]) -> str | None:
    """What a model is told of a denial; None for any other error, which is to be raised. `held` are the call's tokens.

    The denial is the error, or its cause (`raise … from`), or each member of an exception group. An error raised while
    a denial was handled is no denial.

    What only the operator of the agent can mend goes to the log: a model is not told of files and settings.
    """
    forget_denied(error, held)
    texts = _denials(error, held)
    return "\n".join(dict.fromkeys(texts)) or None


def _denials(error: BaseException | None, held: Collection[str]) -> list[str]:
    """The text of each denial; none if anything else failed as well."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        text = _denial(error, held)
        if text is not None:
            return [text]
        if isinstance(error, BaseExceptionGroup):
            members = [_denials(member, held) for member in error.exceptions]
            return [text for texts in members for text in texts] if all(members) else []
        error = error.__cause__
    return []


def _denial(error: BaseException, held: Collection[str]) -> str | None:
    if isinstance(error, AuthenticationError | DelegationDenied):
        if error.is_of_the_setup:
            _log.warning("a tool gets no token (%s): %s", error.reason, withheld(held, str(error)))
        return str(withheld(held, error.for_model))
    refusal = api_denial(error, held)
    return None if refusal is None else str(withheld(held, refusal.text))
