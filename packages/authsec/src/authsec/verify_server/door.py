"""The decision about one request, whichever way the proxy asks for it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from authsec.gate import ANSWERED, Answer, Gate, PassThrough
from authsec.safe_text import plain
from authsec.verifier import VerifiedToken
from authsec.verify_server.requirement import Misconfigured, Requirement

REFUSAL: Final = "authsec-refusal"
"""The header in which a proxy that reads no bodies finds that of a refusal."""

_log = logging.getLogger("authsec.verify_server")

_MOST_OF_A_TARGET: Final = 200  # characters in the log

# The path of no request that a gate lets in without a token.
_PATH: Final = ""


class Door:
    """The gates of one or several APIs, by their audience."""

    def __init__(self, gates: Mapping[str, Gate]) -> None:
        self.gates = gates

    async def ask(self, query: str, authorizations: Sequence[str], target: str = "") -> VerifiedToken | Answer:
        """Who calls, if the caller may do what the proxy asks for by `query`; else the answer that refuses it.

        `target` is what was requested of the API, if the proxy says so; it is for the log and decides nothing.
        """
        try:
            requirement = Requirement.read(query)
            gate = self.gate_of(requirement.audience)
        except Misconfigured as error:
            return misconfigured(error, target)
        entered = await gate.aenter(_PATH, authorizations)
        decided = entered if isinstance(entered, Answer) else _admit(entered, requirement, gate)
        return told_in_header(decided) if requirement.refusal_in_header and isinstance(decided, Answer) else decided

    def gate_of(self, audience: str | None) -> Gate:
        """The gate of that API; of the only one if none is named. Raises `Misconfigured`."""
        if audience is None:
            if len(self.gates) > 1:  # a token for one API must not open another because somebody forgot to say which
                raise Misconfigured("several APIs are protected here: add audience=, the identifier of the one")
            (only,) = self.gates.values()
            return only
        if audience not in self.gates:
            raise Misconfigured(
                f"its audience {plain(audience, _MOST_OF_A_TARGET)!r} is none of those that this server was started "
                f"with (--audience): {', '.join(self.gates)}"
            )
        return self.gates[audience]


def misconfigured(error: Misconfigured, target: str = "") -> Answer:
    """Why is for the operator's log, with the path that was requested; callers learn whose mistake it is."""
    path = plain(target.partition("?")[0], _MOST_OF_A_TARGET)  # a query may hold what no log should
    _log.error("the proxy's configuration%s cannot be followed: %s", f" for {path}" if path else "", error)
    body = {
        "error": "The proxy before this API asks for something that has no meaning.",
        "reason": "proxy_misconfigured",
        "details": "What is wrong with its configuration is in the log of authsec verify-server.",
        "retryable": False,
    }
    return told_in_header(Answer(status=500, body=body))  # in any case: how it is to be told may be what is wrong


def _admit(entered: VerifiedToken | PassThrough, requirement: Requirement, gate: Gate) -> VerifiedToken | Answer:
    if isinstance(entered, PassThrough):
        raise TypeError("a gate of this server lets nobody in without a token")
    try:
        if requirement.all_of:
            entered.require(*requirement.all_of)
        if requirement.any_of:
            entered.require_any(*requirement.any_of)
    except ANSWERED as error:
        return gate.refuse(error)
    return entered


def told_in_header(answer: Answer) -> Answer:
    """JSON without a byte that a header could not hold: `json.dumps` escapes all but ASCII, and line breaks."""
    told = (REFUSAL, answer.content.decode("ascii"))
    return Answer(status=answer.status, body=answer.body, headers=(*answer.headers, told))
