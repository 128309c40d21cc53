"""A trust delegation that is not created yet: the chosen values and the first problem."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from authsec_server.clients import service as clients
from authsec_server.console.formatting import duration
from authsec_server.console.forms import Form, typed_instant, typed_seconds
from authsec_server.db import Tx
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import DESCRIBED, Proposal, TargetType, Terms
from authsec_server.failures import Conflict, Failure, Invalid
from authsec_server.principal import Act

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

        Raises `Invalid` if a value cannot be parsed.
        """
        return {
            "target_type": self.target_type,
            "max_duration": typed_seconds(self.amount, self.unit),
            "actions": self.actions,
            "audiences": self.audiences,
            "excluded_proofs": self.excluded_proofs,
            "require_dpop": self.require_dpop,
            "ends_at": typed_instant("ends_at", self.ends_at),
            **self.described,
        }

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


def fault(tx: Tx, act: Act, draft: Draft, terms: Terms) -> Failure | None:
    """Return the first problem, in the order of the page, or None if the delegation can be created."""
    try:
        # First with the values of one section, then of two. A malformed duration must not hide an unknown role.
        for proposal in _growing(draft):
            _propose(tx, act, proposal, terms)
    except (Invalid, Conflict) as problem:
        return problem
    return None


def client_fault(tx: Tx, draft: Draft) -> Invalid | None:
    """Return the problem of the chosen client, or None.

    The page checks the client before it creates the role that the administrator typed in.
    """
    if not draft.client:
        return _no_client()
    return None if clients.find(tx, draft.client) else _gone("client")


def _growing(draft: Draft) -> Iterator[Proposal]:
    if not draft.role:
        raise Invalid("role", "No role is chosen.", "Choose a role, or create one here.")
    if not draft.client:
        raise _no_client()
    context = Draft(role=draft.role, target_type=draft.target_type, client=draft.client)
    yield replace(context.proposal(), all_actions=True)
    if not draft.actions:
        raise Invalid(
            "actions", "No action is chosen, so the delegation would grant nothing.", "Choose at least one action."
        )
    yield replace(context, actions=draft.actions).proposal()
    yield draft.proposal()


def _propose(tx: Tx, act: Act, proposal: Proposal, terms: Terms) -> None:
    try:
        delegations.propose(tx, act, proposal, terms, delegation_id=NOT_YET)
    except Invalid as invalid:
        raise reworded(invalid, terms) from None


def reworded(invalid: Invalid, terms: Terms) -> Invalid:
    """Change the field and the words of the problem for this form. The original words suit the admin API."""
    field = invalid.field.partition(".")[0]
    if field in {"role", "client"}:
        return _gone(field)
    if field == "max_duration":
        return Invalid(
            "amount",
            f"Maximum Duration must be from 1 minute to {duration(terms.max_token_lifetime)}.",
            invalid.remedy,
        )
    if field == "ends_at":
        return Invalid(
            "ends_at",
            "The end must be a future date and time in UTC.",
            "For example 2027-01-31T18:00. Leave the field empty for no end date.",
        )
    return Invalid(field, invalid.message, invalid.remedy)


def _no_client() -> Invalid:
    return Invalid("client", "No client is chosen.", "Choose the agent that gets this authority.")


def _gone(noun: str) -> Invalid:
    return Invalid(noun, f"This {noun} does not exist or was deleted.", f"Choose a {noun} from the list.")
