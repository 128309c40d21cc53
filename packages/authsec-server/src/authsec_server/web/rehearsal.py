"""`?dry_run=1`: the change itself, in the same kind of transaction, undone again; and what it would bring about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request

from authsec_server.failures import Invalid
from authsec_server.web.bodies import query_value

NAME = "dry_run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    """What one undone change did: the journal's events, as they are shown; and what stopped, if anything ended."""

    would_change: Sequence[Mapping[str, Any]]
    would_stop: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """One request's: what each change in it would bring about."""

    foreseen: list[Foreseen] = field(default_factory=list)

    def answer(self, result: Any, *, secrets: Sequence[str]) -> dict[str, Any]:
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
