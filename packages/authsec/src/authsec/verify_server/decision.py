"""The decision on one request of a proxy, over HTTP or FastCGI.

The proxy's configuration says which actions a request needs, as a query such as
`require=customers:read&require=tickets:write`. A mistake in the query must not admit a caller. So a query
with an unknown or invalid part is refused.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import parse_qsl

from authsec.clock import Clock
from authsec.gate import ANSWERED, Gate, PassThrough, Response
from authsec.safe_text import plain
from authsec.verifier import VerifiedToken
from authsec.verifier.refusal_log import LineLimit
from authsec.verifier.token import ACTION

if TYPE_CHECKING:
    from authsec.verifier import DpopRequest

REFUSAL: Final = "authsec-refusal"
"""The header with the body of a refusal, for a proxy that reads no bodies."""

_log = logging.getLogger("authsec.verify_server")

_AUTHORITY: Final = re.compile(r"^https?://[^/]*", re.IGNORECASE)  # of a target in the absolute form

_MOST_OF_A_TARGET: Final = 200  # the most characters of a path in the log

# No public path of a gate is empty, so the gate always requires a token.
_PATH: Final = ""

REQUEST_HEADERS: Final[Mapping[str, tuple[str, str]]] = {
    "original": ("x-original-method", "x-original-uri"),
    "forwarded": ("x-forwarded-method", "x-forwarded-uri"),
}
"""The headers in which a proxy sends method and URL of the caller's request, by the value of the parameter `dpop`."""

ANY_AGENT: Final = "any_agent"
"""The value of `require` that admits every agent with a valid token. It is never an action, which has a colon."""
_MOST_PARAMETERS: Final = 100
_MOST_OF_A_VALUE: Final = 80  # the most characters of an invalid value in the log
_KNOWN: Final = ("require", "require_any", "audience", "refusal", "dpop")

Described = Callable[[str | None], "DpopRequest"]
"""Takes the value of the parameter `dpop`; returns the caller's request. Raises `Misconfigured`."""


class Misconfigured(Exception):
    """The proxy's request is not valid, so no decision is safe.

    The text is for the operator's log, without any token. `told` is the text for the caller.
    """

    def __init__(self, text: str, *, told: str = "The proxy in front of this API sent an invalid request.") -> None:
        super().__init__(text)
        self.told = told


class Gates:
    """The gates of one or more APIs, by audience."""

    def __init__(self, gates: Mapping[str, Gate], clock: Clock | None = None) -> None:
        self.gates = gates
        self._log_limit = LineLimit(clock or Clock())

    async def decide(
        self, query: str, authorizations: Sequence[str], described: Described, target: str = ""
    ) -> VerifiedToken | Response:
        """Return the caller if it has the actions that `query` requires; otherwise return the response that refuses it.

        `target` is the path that the caller requested, if the proxy sends it. The path appears only in the log and
        does not affect the decision. `described` returns the caller's request, for a token that is bound to a key.
        """
        try:
            requirement = Requirement.read(query)
            gate = self.gate_of(requirement.audience)
            entered = await gate.aenter(_PATH, authorizations, lambda: described(requirement.dpop))
        except Misconfigured as error:
            return self.misconfigured(error, target)
        decided = entered if isinstance(entered, Response) else _admit(entered, requirement, gate)
        return (
            with_refusal_header(decided) if requirement.refusal_in_header and isinstance(decided, Response) else decided
        )

    def gate_of(self, audience: str | None) -> Gate:
        """Return the gate of the API with this audience.

        Without `audience`, return the only gate. Raises `Misconfigured`.
        """
        if audience is None:
            if len(self.gates) > 1:  # Without `audience=`, a token for one API could admit a caller to another API.
                raise Misconfigured("several APIs are protected here: add audience= with the identifier of one API")
            (only,) = self.gates.values()
            return only
        if audience not in self.gates:
            raise Misconfigured(
                f"the audience {plain(audience, _MOST_OF_A_TARGET)!r} is not an --audience of this server: "
                f"{', '.join(self.gates)}"
            )
        return self.gates[audience]

    def misconfigured(self, error: Misconfigured, target: str = "", *, key: str = "") -> Response:
        """Return a 500 response that names the proxy as the cause. Log the mistake with the requested path.

        Strangers can send requests without end, so each mistake has one log line a minute. If the caller can change
        the text of the mistake, pass `key` as its name.
        """
        more = self._log_limit.events_since_line(key or str(error))
        if more is not None:
            path = plain(target.partition("?")[0], _MOST_OF_A_TARGET)  # A query may contain secrets.
            _log.error(
                "the proxy's configuration%s is not valid: %s%s",
                f" for {path}" if path else "",
                error,
                f" (and {more} more requests since the last such line)" if more else "",
            )
        body = {
            "error": error.told,
            "reason": "proxy_misconfigured",
            "details": "The log of authsec verify-server says what is wrong with the proxy's configuration.",
            "retryable": False,
        }
        # Always with the header, because the parameter `refusal` itself may be invalid.
        return with_refusal_header(Response(status=500, body=body))


def path_of(target: str) -> str:
    """Return the path of a request target, without the query (RFC 9112 §3.2.1, §3.2.2)."""
    return _AUTHORITY.sub("", target.partition("?")[0])


def _admit(entered: VerifiedToken | PassThrough, requirement: Requirement, gate: Gate) -> VerifiedToken | Response:
    if isinstance(entered, PassThrough):
        raise TypeError("a gate of this server admits nobody without a token")
    try:
        if requirement.all_of:
            entered.require(*requirement.all_of)
        if requirement.any_of:
            entered.require_any(*requirement.any_of)
    except ANSWERED as error:
        return gate.refuse(error)
    return entered


def with_refusal_header(answer: Response) -> Response:
    """Add the body of the refusal as a header.

    The body is safe in a header, because `json.dumps` escapes line breaks and non-ASCII characters.
    """
    told = (REFUSAL, answer.content.decode("ascii"))
    return Response(status=answer.status, body=answer.body, headers=(*answer.headers, told))


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """The requirements of one request: a token for `audience` with all actions of `all_of` and one action of `any_of`.

    `audience` may be None if the server protects only one API. `refusal_in_header` adds the body of a refusal as
    a header, for a proxy that does not read bodies (nginx). `dpop` says where the proxy puts the method and the URL of
    the caller's request.
    """

    audience: str | None
    all_of: tuple[str, ...]
    any_of: tuple[str, ...]
    refusal_in_header: bool = False
    dpop: str | None = None

    @classmethod
    def read(cls, query: str) -> Self:
        """Parse the query of a proxy. Raises `Misconfigured` for an invalid query.

        A query that requires no action is invalid too, because it may be a mistake.
        """
        given = _parameters(query)
        all_of, any_of = _actions("require", given["require"]), _actions("require_any", given["require_any"])
        if not all_of and not any_of:
            raise Misconfigured(
                "the request does not say which actions are needed. Add require=customers:read, or "
                f"require={ANY_AGENT} to allow any agent with a token for this API"
            )
        if ANY_AGENT in any_of:
            raise Misconfigured(
                f"use {ANY_AGENT} only in require: in require_any, it would allow every agent, whatever the other "
                "actions"
            )
        return cls(
            audience=_one("audience", given["audience"]),
            all_of=tuple(action for action in all_of if action != ANY_AGENT),
            any_of=any_of,
            refusal_in_header=_one("refusal", given["refusal"], ("header",)) is not None,
            dpop=_one("dpop", given["dpop"], tuple(REQUEST_HEADERS)),
        )


def _parameters(query: str) -> dict[str, list[str]]:
    given: dict[str, list[str]] = {name: [] for name in _KNOWN}
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=True, max_num_fields=_MOST_PARAMETERS, errors="strict"
        )
    except ValueError:  # also for an empty query
        raise Misconfigured(
            f"the request must have name=value pairs joined by &, with the names {', '.join(_KNOWN)}"
        ) from None
    for name, value in pairs:
        if name not in given:
            raise Misconfigured(f"{plain(name, 40)!r} is not a parameter; the parameters are {', '.join(_KNOWN)}")
        given[name].append(value)
    return given


def _actions(name: str, values: Iterable[str]) -> tuple[str, ...]:
    """Split each value at its commas into actions. Raises `Misconfigured` for a text that is not an action.

    Some proxies can send only one value for each name.
    """
    found = tuple(action for value in values for action in value.split(","))
    wrong = [action for action in found if not ACTION.fullmatch(action) and action != ANY_AGENT]
    if wrong:
        what = (
            f"has {plain(wrong[0], _MOST_OF_A_VALUE)!r}, which is not an action" if wrong[0] else "has an empty entry"
        )
        raise Misconfigured(f"{name} {what}; write actions like customers:read, separated by commas")
    return found


def _one(name: str, values: list[str], allowed: tuple[str, ...] = ()) -> str | None:
    if not values:
        return None
    if len(values) > 1 or not values[0]:
        raise Misconfigured(f"{name} must occur once, and must not be empty")
    if allowed and values[0] not in allowed:
        raise Misconfigured(f"{name} must be {', '.join(allowed)}, not {plain(values[0], _MOST_OF_A_VALUE)!r}")
    return values[0]
