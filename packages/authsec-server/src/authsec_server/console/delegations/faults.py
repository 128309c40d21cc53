"""What is wrong with a draft: found by the room's own checks, told in the words of the page where it can be mended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from authsec_server.clients import service as clients
from authsec_server.console.delegations.draft import ACTIONS, CONTEXT, STEPS, Draft, Step
from authsec_server.console.words import duration
from authsec_server.db import Tx
from authsec_server.delegations import service as delegations
from authsec_server.delegations.model import Proposal, Terms
from authsec_server.failures import Invalid
from authsec_server.principal import Act

NOT_YET = "(given when it is created)"
"""Stands where the delegation's id will be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A problem, and the step at which its field stands."""

    step: Step
    problem: Invalid


def fault(tx: Tx, act: Act, draft: Draft, terms: Terms) -> Fault | None:
    """The first thing that is wrong, in the order of the steps; None where the draft could be made real."""
    try:
        # Step by step, each without what comes later: that a duration cannot be read must not hide that there is no
        # such role.
        for proposal in _growing(draft):
            _propose(tx, act, proposal, terms)
    except Invalid as problem:
        return Fault(step=next(step for step in STEPS if problem.field in step.fields), problem=problem)
    return None


def client_fault(tx: Tx, draft: Draft) -> Invalid | None:
    """What is wrong with the client alone: for whoever is about to make the role, too."""
    if not draft.client:
        return _no_client()
    return None if clients.find(tx, draft.client) else _gone("client")


def _growing(draft: Draft) -> Iterator[Proposal]:
    if not draft.role:
        raise Invalid("role", "No role is chosen.", "Choose one, or make a new one here.")
    if not draft.client:
        raise _no_client()
    yield replace(draft.until(CONTEXT).proposal(), all_actions=True)
    if not draft.actions:
        raise Invalid("actions", "No action is chosen: this would grant nothing.", "Choose at least one.")
    yield draft.until(ACTIONS).proposal()
    yield draft.proposal()


def _propose(tx: Tx, act: Act, proposal: Proposal, terms: Terms) -> None:
    try:
        delegations.propose(tx, act, proposal, terms, delegation_id=NOT_YET)
    except Invalid as invalid:
        raise reworded(invalid, terms) from None


def reworded(invalid: Invalid, terms: Terms) -> Invalid:
    """The problem at the field of the form, for somebody who sees the form and not the admin API."""
    field = invalid.field.partition(".")[0]
    if field in {"role", "client"}:
        return _gone(field)
    if field == "max_duration":
        return Invalid(
            "amount",
            f"Maximum Duration must be 1 minute to {duration(terms.max_token_lifetime)}.",
            invalid.remedy,
        )
    if field == "ends_at":
        return Invalid(
            "ends_at",
            "The end must be a date and time that lies ahead, in UTC.",
            "Such as 2027-01-31T18:00; or leave it empty: then it does not end by itself.",
        )
    return Invalid(field, invalid.message, invalid.remedy)


def _no_client() -> Invalid:
    return Invalid("client", "No client is chosen.", "Choose the agent that is to have this authority.")


def _gone(noun: str) -> Invalid:
    return Invalid(noun, f"There is no such {noun} (any more).", "Choose one of those offered.")
