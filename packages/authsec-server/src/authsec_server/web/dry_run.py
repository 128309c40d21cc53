"""The dry run (`?dry_run=1`): make the change in a normal transaction, report its impact and undo it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.requests import Request
from typing_extensions import TypedDict  # required by pydantic before Python 3.12

from authsec_server.failures import Invalid
from authsec_server.web.bodies import query_value

NAME = "dry_run"


class Stopping(TypedDict):
    """An agent whose tokens the change would revoke. `goes_on`: the agent could still get new tokens."""

    client_id: str
    name: str
    goes_on: bool


class StoppingDelegation(TypedDict):
    """A trust delegation whose tokens the change would revoke."""

    id: str
    name: str


class AtApi(TypedDict):
    """An API that accepts the affected tokens.

    - `following`: the API reads the revocation feed, so it learns that the tokens are revoked.
    - `proved`: the API authenticates with its own credential when it reads the feed.
    - `until`: when the last of the tokens expires. An API that does not read the feed accepts tokens until then.
    """

    audience: str
    name: str
    api: str | None
    following: bool
    proved: bool
    seen_at: str | None
    until: str | None


class WouldStop(TypedDict):
    """The agents, delegations and tokens that the change would stop.

    With `more`, the real numbers may be higher. `until` is the time when the last of the tokens expires.
    """

    agents: list[Stopping]
    delegations: list[StoppingDelegation]
    live_tokens: int
    until: str | None
    apis: list[AtApi]
    more: bool
    as_of: str


class DryRun(TypedDict):
    """The effects that the same request would have without `dry_run`. Nothing has changed.

    `would_change` are the events that the audit log would record. `would_answer` is the response, with null for
    secrets. `would_stop` is the impact on tokens, or null if no token would end.
    """

    dry_run: Literal[True]
    would_change: list[dict[str, Any]]
    would_stop: WouldStop | None
    would_answer: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """The impact of one change, from a dry run that made the change and rolled it back.

    `would_change` has the events that the audit log would get, as the API shows them. `would_stop` has the tokens
    that would end, or is None.
    """

    would_change: Sequence[dict[str, Any]]
    would_stop: WouldStop | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedDryRun:
    """The dry run of one request. `foreseen` collects the impact of each change."""

    foreseen: list[Foreseen] = field(default_factory=list)

    def answer(self, result: Any, *, secrets: Sequence[str]) -> DryRun:
        """Return the response to a dry run, with null for secrets: the undone change makes the secrets invalid."""
        stops = [each.would_stop for each in self.foreseen if each.would_stop is not None]
        return {
            "dry_run": True,
            "would_change": [event for each in self.foreseen for event in each.would_change],
            "would_stop": stops[0] if stops else None,
            "would_answer": without(result, secrets),
        }


def asked_for(request: Request, *, changes: bool) -> RequestedDryRun | None:
    """Return a `RequestedDryRun` if the request asks for a dry run, else None.

    GET and HEAD change nothing, so the result is None. Raises `Invalid` for a value other than 1. Also raises
    `Invalid` for an operation without a dry run (`changes` is false).
    """
    value = query_value(request, NAME)
    if value is None or request.method in {"GET", "HEAD"}:
        return None
    if not changes:
        raise Invalid(NAME, "This request has no dry run. Nothing was done.", f"To make the change, leave out {NAME}.")
    if value != "1":
        raise Invalid(NAME, f"{NAME} must be 1.", f"To make the change, leave out {NAME}.")
    return RequestedDryRun()


def without(result: Any, secrets: Sequence[str]) -> Any:
    """Return the answer with null for its secrets. The name `a.b` means the member b of the member a."""
    if not secrets or not isinstance(result, Mapping):
        return result
    shown = dict(result)
    for each in secrets:
        name, _, rest = each.partition(".")
        if name in shown:
            shown[name] = without(shown[name], [rest]) if rest else None
    return shown
