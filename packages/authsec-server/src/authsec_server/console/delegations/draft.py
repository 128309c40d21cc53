"""A trust delegation that is not created yet: the chosen values and their problems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from authsec_server.clients import service as clients
from authsec_server.console.formatting import duration
from authsec_server.console.forms import Form, in_order, placed, typed_instant, typed_seconds
from authsec_server.db import Tx
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import DESCRIBED, Proposal, TargetType, Terms
from authsec_server.delegations.validation import granted_fields
from authsec_server.failures import Conflict, FailureList, Invalid
from authsec_server.principal import Act
from authsec_server.revisions import checked
from authsec_server.roles.model import RoleDefinition

PAGE = "/console/delegations/new"
ALL = "all"
"""In a URL, this value means all actions of the role, because many proxies refuse a URL with 200 names. No action
has this form."""
_SENT = (
    *("role", "target_type", "client", "actions", "amount", "unit", "ends_at", "audiences", "excluded_proofs"),
    "require_dpop",
    *DESCRIBED,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """The chosen values as typed, not yet checked. The defaults are the form's initial values.

    `lacking` are chosen actions that the chosen role does not have, or all chosen actions if no role is chosen.
    `whole` is true if all actions of the role are chosen. `apis_are_own` is true if the person has chosen the
    audiences; otherwise the page suggests them.
    """

    role: str = ""
    target_type: str = TargetType.AUTOGEN
    client: str = ""
    actions: tuple[str, ...] = ()
    lacking: tuple[str, ...] = ()
    amount: str = "1"
    unit: str = "hours"
    ends_at: str = ""
    audiences: tuple[str, ...] = ()
    apis_are_own: bool = False
    excluded_proofs: tuple[str, ...] = ()
    require_dpop: bool = False
    described: Mapping[str, str] = field(default_factory=lambda: dict.fromkeys(DESCRIBED, ""), hash=False)
    whole: bool = False

    def address(self, **besides: str) -> str:
        """Return the address of the page with the values that differ from the defaults, and `besides`, in its query."""
        brief = replace(self, actions=(ALL,) if self.whole else self.actions)
        brief = brief if self.apis_are_own else replace(brief, audiences=())
        pairs = []
        for name in _SENT:
            value = brief._value(name)
            if value != OFFERED._value(name):
                pairs += [(name, each) for each in ((value,) if isinstance(value, str) else value)]
        own = [("apis_are_own", "1")] if self.apis_are_own and not self.audiences else []
        query = urlencode([*pairs, *own, *((name, value) for name, value in besides.items() if value)])
        return f"{PAGE}?{query}" if query else PAGE

    def _value(self, name: str) -> str | tuple[str, ...]:
        if name == "require_dpop":
            return "yes" if self.require_dpop else ""
        value: str | tuple[str, ...] = self.described[name] if name in DESCRIBED else getattr(self, name)
        return value

    def values(self) -> dict[str, Any]:
        """Return the unverified values of the fields that both creating and editing a delegation have.

        Raises `Invalid` if values cannot be parsed.
        """
        problems = FailureList()
        with problems.collect():
            max_duration = typed_seconds(self.amount, self.unit)
        with problems.collect():
            ends_at = typed_instant("ends_at", self.ends_at)
        problems.raise_all()
        return {
            "target_type": self.target_type,
            "max_duration": max_duration,
            "actions": self.actions,
            "audiences": self.audiences,
            "excluded_proofs": self.excluded_proofs,
            "require_dpop": self.require_dpop,
            "ends_at": ends_at,
            **self.described,
        }

    def parsable(self, problems: FailureList) -> Draft:
        """Return the draft with the default of each value that cannot be parsed. `problems` gets their problems."""
        with problems.collect():
            self.values()
        amount = (OFFERED.amount, OFFERED.unit) if "amount" in problems.fields else (self.amount, self.unit)
        ends_at = "" if "ends_at" in problems.fields else self.ends_at
        return replace(self, amount=amount[0], unit=amount[1], ends_at=ends_at)

    def proposal(self) -> Proposal:
        """Return the request to create the delegation. Raises `Invalid` if a value cannot be parsed."""
        values = self.values()
        return Proposal(role=self.role, client=self.client, **{**values, "owner": values["owner"] or None})


OFFERED = Draft()


def typed_draft(form: Form) -> Draft:
    """Read the draft from the query or the form of the page.

    Raises `Invalid` if a field that can have only one value is sent twice.
    """
    audiences, suggested = _several(form, "audiences"), _several(form, "suggested_api")
    return Draft(
        role=form.text("role"),
        target_type=form.text("target_type", OFFERED.target_type),
        client=form.text("client"),
        actions=_several(form, "actions"),
        amount=form.text("amount", OFFERED.amount),
        unit=form.text("unit", OFFERED.unit),
        ends_at=form.text("ends_at"),
        audiences=audiences,
        apis_are_own=form.ticked("apis_are_own") or audiences != suggested,
        excluded_proofs=_several(form, "excluded_proofs"),
        require_dpop=form.ticked("require_dpop"),
        described={name: form.text(name) for name in DESCRIBED},
    )


def _several(form: Form, name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.strip() for text in form.all(name) if text.strip()))


NOT_YET = "(set when the delegation is created)"
"""A placeholder for the delegation's id."""


PAGE_ORDER = (
    *("role", "target_type", "client", "actions", "audiences", "amount", "ends_at", "excluded_proofs"),
    *DESCRIBED,
)
"""The fields of the page, in its order."""


def fault(tx: Tx, act: Act, draft: Draft, terms: Terms) -> Invalid | Conflict | None:
    """Return the problems, in the order of the page, or None if the delegation can be created."""
    problems = FailureList()
    if not draft.role:
        problems.add(Invalid("role", "No role is chosen.", "Choose a role, or create one here."))
    if not draft.client:
        problems.add(_no_client())
    if draft.role and not draft.actions:
        message = "No action is chosen, so the delegation would grant nothing."
        problems.add(Invalid("actions", message, "Choose at least one action."))
    sound = draft.parsable(problems)
    refused = FailureList()
    with refused.collect():
        _check_terms(sound.values(), terms, act)
    if draft.role and draft.client:
        with refused.collect():
            delegations.propose(tx, act, sound.proposal(), terms, delegation_id=NOT_YET)
    for failure in refused.failures:
        problems.add(_reworded(failure, terms))
    return in_order(problems, PAGE_ORDER) if problems.failures else None


def _check_terms(values: Mapping[str, Any], terms: Terms, act: Act) -> None:
    """Raise `Invalid` for the values that depend neither on the role nor on the client."""
    any_role = RoleDefinition(id=NOT_YET, slug="", name="", actions=(), created_at=act.now)
    fields = {**granted_fields(any_role, terms, act.now), **DESCRIBED}
    own = {name: values[name] for name in fields if name != "actions" and values[name] != ""}
    checked(fields, own)


def client_fault(tx: Tx, draft: Draft) -> Invalid | None:
    """Return the problem of the chosen client, or None.

    The page checks the client before it creates the role that the administrator typed in.
    """
    if not draft.client:
        return _no_client()
    return None if clients.find(tx, draft.client) else _gone("client")


def reworded(problem: Invalid | Conflict, terms: Terms) -> Invalid | Conflict:
    """Change the fields and the words of the problem and its others for this form.

    The original words suit the admin API.
    """
    return placed(problem, lambda each: _reworded(each, terms), PAGE_ORDER)


def _reworded(problem: Invalid | Conflict, terms: Terms) -> Invalid | Conflict:
    if isinstance(problem, Conflict):
        return problem
    field = problem.field.partition(".")[0]
    if field in {"role", "client"}:
        return _gone(field)
    if field == "max_duration":
        return Invalid(
            "amount",
            f"Maximum Duration must be from 1 minute to {duration(terms.max_token_lifetime)}.",
            problem.remedy,
        )
    if field == "ends_at":
        return Invalid(
            "ends_at",
            "The end must be a future date and time in UTC.",
            "For example 2027-01-31T18:00. Leave the field empty for no end date.",
        )
    return Invalid(field, problem.message, problem.remedy)


def _no_client() -> Invalid:
    return Invalid("client", "No client is chosen.", "Choose the agent that gets this authority.")


def _gone(noun: str) -> Invalid:
    return Invalid(noun, f"This {noun} does not exist or was deleted.", f"Choose a {noun} from the list.")
