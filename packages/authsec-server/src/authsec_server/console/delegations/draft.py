"""A trust delegation that is being made: four steps, and what has been chosen so far. All of it is in the address.

So each step survives reload and Back, and can be sent to a colleague. A step sends its form to its own address, and is
answered with the address of the step that was asked for. Nothing is stored before the last button.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from authsec_server.console.delegations.typed import instant, seconds
from authsec_server.console.forms import Form
from authsec_server.delegations.model import Proposal, TargetType


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: its page under `/console`, and the fields that are chosen there."""

    key: str
    title: str
    path: str
    fields: tuple[str, ...]

    @property
    def number(self) -> int:
        """Its place, from 1."""
        return STEPS.index(self) + 1


CONTEXT = Step(key="context", title="Define context", path="/delegations/new", fields=("role", "target_type", "client"))
ACTIONS = Step(key="actions", title="Assign permissions", path="/delegations/new/actions", fields=("actions",))
DURATION = Step(
    key="duration",
    title="Set duration",
    path="/delegations/new/duration",
    fields=("amount", "unit", "ends_at", "audiences", "excluded_proofs", "owner", "description"),
)
REVIEW = Step(key="review", title="Review", path="/delegations/new/review", fields=())
STEPS = (CONTEXT, ACTIONS, DURATION, REVIEW)
ALL = "all"
"""Stands in an address for all actions of the role: proxies take no address of 200 names. No action reads so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What has been chosen, as it was typed; nothing of it has been checked. The defaults are what is offered.

    `whole`: the actions are all that the role holds at this moment.
    """

    role: str = ""
    target_type: str = TargetType.AUTOGEN
    client: str = ""
    actions: tuple[str, ...] = ()
    amount: str = "1"
    unit: str = "hours"
    ends_at: str = ""
    audiences: tuple[str, ...] = ()
    excluded_proofs: tuple[str, ...] = ()
    owner: str = ""
    description: str = ""
    whole: bool = False

    def pairs(self, leaving: Step | None = None) -> list[tuple[str, str]]:
        """What differs from the defaults, written out as a form sends it, without the fields of the step `leaving`."""
        found = []
        for step in STEPS:
            for name in step.fields if step is not leaving else ():
                value = getattr(self, name)
                if value != getattr(OFFERED, name):
                    found += [(name, each) for each in ((value,) if isinstance(value, str) else value)]
        return found

    def at(self, step: Step, **besides: str) -> str:
        """The address of the step with all of this; `check="1"` besides has it show what is wrong there."""
        brief = replace(self, actions=(ALL,)) if self.whole else self
        query = urlencode(brief.pairs() + [(name, value) for name, value in besides.items() if value])
        return f"/console{step.path}?{query}" if query else f"/console{step.path}"

    def until(self, step: Step) -> Draft:
        """Only what is chosen up to that step; the rest as it is offered."""
        later: dict[str, Any] = {name: getattr(OFFERED, name) for each in STEPS[step.number :] for name in each.fields}
        return replace(self, **later)

    def proposal(self) -> Proposal:
        """What is asked for, in the room's own terms. Raises `Invalid` for what cannot be read."""
        return Proposal(
            role=self.role,
            client=self.client,
            target_type=self.target_type,
            max_duration=seconds(self.amount, self.unit),
            actions=self.actions,
            audiences=self.audiences,
            excluded_proofs=self.excluded_proofs,
            ends_at=instant(self.ends_at),
            owner=self.owner or None,
            description=self.description,
        )


OFFERED = Draft()


def typed_draft(form: Form) -> Draft:
    """What a step's address or form says. Raises `Invalid` for a field that comes twice."""
    return Draft(
        role=form.text("role"),
        target_type=form.text("target_type", OFFERED.target_type),
        client=form.text("client"),
        actions=_several(form, "actions"),
        amount=form.text("amount", OFFERED.amount),
        unit=form.text("unit", OFFERED.unit),
        ends_at=form.text("ends_at"),
        audiences=_several(form, "audiences"),
        excluded_proofs=_several(form, "excluded_proofs"),
        owner=form.text("owner"),
        description=form.text("description"),
    )


def _several(form: Form, name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text.strip() for text in form.all(name) if text.strip()))
