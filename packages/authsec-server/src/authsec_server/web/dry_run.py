"""`?dry_run=1`: the change itself, in the same kind of transaction, undone again; and what it would bring about."""

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
    """An agent whose tokens would end; `goes_on`: it would get others."""

    client_id: str
    name: str
    goes_on: bool


class StoppingDelegation(TypedDict):
    """A trust delegation whose tokens would end."""

    id: str
    name: str


class AtApi(TypedDict):
    """An API that takes such tokens: whether it follows revocations, and until when it could take them otherwise."""

    audience: str
    name: str
    api: str | None
    following: bool
    proved: bool
    seen_at: str | None
    until: str | None


class WouldStop(TypedDict):
    """What would end. With `more` the numbers are the least that it may be."""

    agents: list[Stopping]
    delegations: list[StoppingDelegation]
    live_tokens: int
    until: str | None
    apis: list[AtApi]
    more: bool
    as_of: str


class DryRun(TypedDict):
    """What the same request without dry_run would bring about; nothing has changed.

    `would_change` are the events that the journal would hold, `would_answer` is the answer, with null for its secrets.
    """

    dry_run: Literal[True]
    would_change: list[dict[str, Any]]
    would_stop: WouldStop | None
    would_answer: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What one undone change did: the journal's events, as they are shown; and what stopped, if anything ended."""

    would_change: Sequence[dict[str, Any]]
    would_stop: WouldStop | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """One request's: what each change in it would bring about."""

    foreseen: list[Foreseen] = field(default_factory=list)

    def answer(self, result: Any, *, secrets: Sequence[str]) -> DryRun:
        """The answer to a dry run. A secret in it would be one that nothing accepts: it is null."""
        stops = [each.would_stop for each in self.foreseen if each.would_stop is not None]
        return {
            "dry_run": True,
            "would_change": [event for each in self.foreseen for event in each.would_change],
            "would_stop": stops[0] if stops else None,
            "would_answer": without(result, secrets),
        }


def asked_for(request: Request, *, changes: bool) -> Rehearsal | None:
    """The rehearsal, if one is asked for. Raises `Invalid` where that is not clear, or there is none."""
    value = query_value(request, NAME)
    if value is None or request.method in {"GET", "HEAD"}:
        return None
    if not changes:
        raise Invalid(NAME, "There is no dry run of this. Nothing was done.", f"Leave out {NAME} to do it.")
    if value != "1":
        raise Invalid(NAME, f"{NAME} must be 1.", "Leave it out to do it.")
    return Rehearsal()


def without(result: Any, secrets: Sequence[str]) -> Any:
    """The answer with null for its secrets; `a.b` is the member b of the member a."""
    if not secrets or not isinstance(result, Mapping):
        return result
    shown = dict(result)
    for each in secrets:
        name, _, rest = each.partition(".")
        if name in shown:
            shown[name] = without(shown[name], [rest]) if rest else None
    return shown
