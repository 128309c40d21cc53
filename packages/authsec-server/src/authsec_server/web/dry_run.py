"""The dry run (`?dry_run=1`): make the change in the same kind of transaction, report its impact and undo it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.requests import Request
from typing_extensions import TypedDict  # as in `paging`

from authsec_server.failures import Invalid
from authsec_server.web.bodies import query_value

NAME = "dry_run"


class Stopping(TypedDict):
    """An agent. The change would revoke its tokens. `goes_on`: the agent could still get new tokens."""

    client_id: str
    name: str
    goes_on: bool


class StoppingDelegation(TypedDict):
    """A trust delegation. The change would revoke its tokens."""

    id: str
    name: str


class AtApi(TypedDict):
    """An API that accepts the affected tokens.

    `following`: the API follows revocations. `until`: the time until which the API could otherwise accept the
    tokens.
    """

    audience: str
    name: str
    api: str | None
    following: bool
    proved: bool
    seen_at: str | None
    until: str | None


class WouldStop(TypedDict):
    """The agents, delegations and tokens that would end. With `more`, the real numbers may be higher."""

    agents: list[Stopping]
    delegations: list[StoppingDelegation]
    live_tokens: int
    until: str | None
    apis: list[AtApi]
    more: bool
    as_of: str


class DryRun(TypedDict):
    """The result that the same request without dry_run would have. Nothing has changed.

    `would_change` are the events that the audit log would record. `would_answer` is the response, with null for
    secrets.
    """

    dry_run: Literal[True]
    would_change: list[dict[str, Any]]
    would_stop: WouldStop | None
    would_answer: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """The impact of one undone change: the audit log's events as the API shows them, and the ended tokens, if any."""

    would_change: Sequence[dict[str, Any]]
    would_stop: WouldStop | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """The dry run of one request: it collects the impact of each change."""

    foreseen: list[Foreseen] = field(default_factory=list)

    def answer(self, result: Any, *, secrets: Sequence[str]) -> DryRun:
        """Return the answer to a dry run. Secrets are null, because no server would accept them."""
        stops = [each.would_stop for each in self.foreseen if each.would_stop is not None]
        return {
            "dry_run": True,
            "would_change": [event for each in self.foreseen for event in each.would_change],
            "would_stop": stops[0] if stops else None,
            "would_answer": without(result, secrets),
        }


def asked_for(request: Request, *, changes: bool) -> Rehearsal | None:
    """Return a rehearsal if the request asks for a dry run, else None.

    Raises `Invalid` for another value than 1, and for an operation without a dry run.
    """
    value = query_value(request, NAME)
    if value is None or request.method in {"GET", "HEAD"}:
        return None
    if not changes:
        raise Invalid(NAME, "This request has no dry run. Nothing was done.", f"To make the change, leave out {NAME}.")
    if value != "1":
        raise Invalid(NAME, f"{NAME} must be 1.", "To make the change, leave it out.")
    return Rehearsal()


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
