"""Add the client of a token request to its line in the log, if the client is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.types import Scope

from authsec_server.tokens.refusal import Denied, Reason
from authsec_server.tokens.request import TokenRequest
from authsec_server.web.request_log import note, note_granted

if TYPE_CHECKING:
    from authsec_server.tokens.issue import Issued


def note_outcome(scope: Scope, asked: TokenRequest | Denied, outcome: Issued | Denied) -> None:
    """Add the client. A client_id that belongs to no client is a stranger's text, and is left out."""
    if isinstance(asked, Denied):
        return
    if not isinstance(outcome, Denied):
        note_granted(scope, asked.client_id)
    elif asked.is_stand_in or outcome.of_address or outcome.reason is Reason.CLIENT_NOT_FOUND:
        note(scope, reason=outcome.reason)
    else:
        note(scope, client_id=asked.client_id, reason=outcome.reason)
