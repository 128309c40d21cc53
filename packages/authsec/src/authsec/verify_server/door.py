"""The decision about one request, whichever way the proxy asks for it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from authsec.answers import ANSWERED, Answer
from authsec.gate import Gate, Let
from authsec.verifier import VerifiedToken
from authsec.verify_server.requirement import Misconfigured, Requirement

_log = logging.getLogger("authsec.verify_server")

# The path of no request that a gate lets in without a token.
_PATH: Final = ""


class Door:
    """The gates of one or several APIs, by their audience."""

    def __init__(self, gates: Mapping[str, Gate]) -> None:
        self.gates = gates

    async def ask(self, query: str, authorizations: Sequence[str]) -> VerifiedToken | Answer:
        """Who calls, if the caller may do what the proxy asks for by `query`; else the answer that refuses it."""
        try:
            requirement = Requirement.read(query)
            gate = self.gate_of(requirement.audience)
        except Misconfigured as error:
            return misconfigured(error)
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
            raise Misconfigured("its audience is none of those that this server was started with (--audience)")
        return self.gates[audience]


def misconfigured(error: Misconfigured) -> Answer:
    """Why is for the operator's log; callers learn whose mistake it is."""
    _log.error("the proxy's configuration cannot be followed: %s", error)
    body = {
        "error": "The proxy before this API asks for something that has no meaning.",
        "reason": "proxy_misconfigured",
        "details": "What is wrong with its configuration is in the log of authsec verify-server.",
        "retryable": False,
    }
    return told_in_header(Answer(status=500, body=body))  # in any case: how it is to be told may be what is wrong


def _admit(entered: VerifiedToken | Let, requirement: Requirement, gate: Gate) -> VerifiedToken | Answer:
    if isinstance(entered, Let):
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
    told = ("authsec-refusal", answer.content.decode("ascii"))
    return Answer(status=answer.status, body=answer.body, headers=(*answer.headers, told))
