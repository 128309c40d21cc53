"""A denial, the authority's or an API's, as a tool's result: what the model is told, and what goes to the log."""

from __future__ import annotations

import logging
from collections.abc import Collection

from authsec.errors import AuthenticationError, DelegationDenied
from authsec.outgoing.api_denials import api_denial
from authsec.withheld import withheld

_log = logging.getLogger("authsec")


def told_of_denial(error: Exception, held: Collection[str]) -> str | None:
    """What a model is told; None for an error that is no denial, which is to be raised. `held` are the call's tokens.

    What only whoever runs the agent can mend goes to the log: a model is not told of files and settings.
    """
    if isinstance(error, AuthenticationError | DelegationDenied):
        if error.is_of_the_setup:
            _log.warning("a tool gets no token (%s): %s", error.reason, withheld(held, str(error)))
        text = error.for_model
    else:
        refusal = api_denial(error, held)
        if refusal is None:
            return None
        text = refusal.text
    return str(withheld(held, text))
